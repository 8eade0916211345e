"""Servers on loopback with ``--backend local-completions``: vLLM's and llama.cpp's."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import MODEL, PROTOCOL, Detect, by_id, equal_categories, equal_greedy
from running import free_port, server

from backend_helpers import some_facts
from kft_cli.studies.rivals.gguf_file import write_gguf
from kft_cli.studies.rivals.llama_rival import find_program, program_version
from kft_tasks.categories.category_file import CategorizedQuestion
from kft_tasks.models.choice import ModelChoice
from kft_tasks.models.loading import LoadedModel, load_model
from kft_tasks.protocol.exemplars import ExemplarPool
from kft_tasks.protocol.prompt_maker import PromptMaker

AT_ONCE = (1, 4, 16)
Say = Callable[[str], None]


@pytest.fixture(scope="module", params=["vllm serve", "llama-server"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def address(
    engine: str, embedded_model: Path, tmp_path_factory: pytest.TempPathFactory, versions: dict[str, str]
) -> Iterator[str]:
    folder, port = tmp_path_factory.mktemp("server"), free_port()
    if engine == "vllm serve":
        pytest.importorskip("vllm")
        command = [str(Path(sys.executable).with_name("vllm")), "serve", str(embedded_model)]
        command += ["--served-model-name", MODEL, "--dtype", "float32", "--max-model-len", "1024", "--enforce-eager"]
        command += ["--gpu-memory-utilization", "0.2", "--no-enable-chunked-prefill", "--block-size", "32"]
        command += ["--enable-prompt-tokens-details"]
    else:
        program = find_program()
        if program is None:
            pytest.skip("llama-server is not installed")
        versions["llama.cpp"] = program_version() or "unknown"
        file = write_gguf(embedded_model, folder / "model.gguf", "float32")
        command = [program, "-m", str(file), "--alias", MODEL, "--threads", "1", "--parallel", "16"]
        command += ["--ctx-size", str(16 * 512), "--cache-type-k", "f32", "--cache-type-v", "f32", "-fa", "off"]
        command += ["--device", "none", "--no-webui"]
    with server([*command, "--host", "127.0.0.1", "--port", str(port)], port, folder / "log") as url:
        yield url


def _client(address: str, at_once: int) -> LoadedModel:
    arguments = {"base_url": address, "num_concurrent": at_once}
    return load_model(ModelChoice(MODEL, backend="local-completions", backend_args=arguments))


@pytest.fixture(scope="module")
def whole(address: str, detect_with: Detect, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return detect_with(_client(address, 4), tmp_path_factory.mktemp("served") / "whole.jsonl")


def test_greedy(engine: str, whole: Any, own: dict[str, CategorizedQuestion], result: Say) -> None:
    """Greedy answers are those of kft's engine in float32"""
    equal, all_ = equal_greedy(by_id(whole), own)
    result(f"{equal} of {all_}; equal categories: {equal_categories(by_id(whole), own)}")
    assert equal == all_


@pytest.mark.parametrize("at_once", [1, 16])
def test_seeds(
    engine: str, at_once: int, address: str, whole: Any, detect_with: Detect, tmp_path: Path, result: Say
) -> None:
    """Samples differ from seed to seed and come again under the same one"""
    again = by_id(detect_with(_client(address, at_once), tmp_path / "x.jsonl", questions=8))
    pairs = [
        pair
        for id_, item in again.items()
        for pair in zip(item.sampled_answers, by_id(whole).get(id_, item).sampled_answers, strict=True)
    ]
    same = sum(one == two for given, first in pairs for one, two in zip(given or (), first or (), strict=True))
    differing = sum(len(set(given or ())) > 1 for given, _ in pairs)
    all_ = len(pairs) * PROTOCOL.samples
    result(
        f"{at_once} at once: {same} of {all_} samples as with 4; {differing} of {len(pairs)} prompts differ in themselves"
    )
    assert differing > 0


def test_top_k(engine: str, address: str, whole: Any, detect_with: Detect, tmp_path: Path, result: Say) -> None:
    """The server keeps to top_k: with 1, every sample at temperature 2 is the greedy answer"""
    hot = dataclasses.replace(PROTOCOL, top_k=1, temperature=2.0)
    found = by_id(detect_with(_client(address, 4), tmp_path / "x.jsonl", hot, questions=4))
    pairs = [
        (text, greedy)
        for item in found.values()
        for greedy, texts in zip(item.greedy_answers, item.sampled_answers, strict=True)
        for text in texts or ()
    ]
    result(f"{sum(one == two for one, two in pairs)} of {len(pairs)}")
    assert all(one == two for one, two in pairs)


def test_defaults(engine: str, address: str, result: Say) -> None:
    """What the server would do to a sample without being told"""
    if engine == "llama-server":
        props = _get(address.removesuffix("/v1/completions") + "/props")
        given = props["default_generation_settings"]["params"]
        names = ("temperature", "top_k", "top_p", "min_p", "repeat_penalty", "samplers")
        result("; ".join(f"{name} {_short(given[name])}" for name in names if name in given) + " (kft names them all)")
        assert given["min_p"] > 0
    else:
        result("what generation_config.json of the model says; kft names top_k, top_p, min_p and repetition_penalty")


def test_stop(engine: str, address: str, result: Say) -> None:
    """A stop string ends the answer and is not part of it"""
    body = {"model": MODEL, "prompt": "1\n2\n3\n", "max_tokens": 16, "temperature": 0, "stop": ["\n"]}
    text = _post(address, body)["choices"][0]["text"]
    result(repr(text))
    assert "\n" not in text


def test_prompt_cache(engine: str, address: str, result: Say) -> None:
    """A prompt that comes again is not computed again, and the server says so"""
    prompt = "Question: What is the capital of a country?\nAnswer: a city\n" * 12
    body = {"model": MODEL, "prompt": prompt, "max_tokens": 2, "temperature": 0}
    _post(address, body)
    usage = _post(address, body)["usage"]
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens")
    result(f"{cached} of {usage['prompt_tokens']} tokens cached")
    assert cached > usage["prompt_tokens"] / 2


def test_throughput(engine: str, address: str, rates: list[dict[str, Any]], result: Say) -> None:
    """Generations per minute with 1, 4 and 16 requests at once"""
    found = []
    for at_once in AT_ONCE:
        source = some_facts(8)
        pool = ExemplarPool(source.split("exemplars"), PROTOCOL, source.name)
        prompts = PromptMaker(PROTOCOL, pool)
        opened = (
            _client(address, at_once)
            .answerer(PROTOCOL)
            .open([prompts.request(question, 0) for question in source.split("test")])
        )
        opened.greedy(range(8))  # prompts are cached and trials made
        start = time.perf_counter()
        opened.sample(range(8))
        seconds = time.perf_counter() - start
        generations = 8 * PROTOCOL.samples
        rates.append({"engine": engine, "at_once": at_once, "generations": generations, "seconds": round(seconds, 2)})
        found.append(f"{at_once}: {60 * generations / seconds:.0f}")
    result(", ".join(found))


def _get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=60) as reply:
        return json.load(reply)


def _post(url: str, body: dict[str, Any]) -> Any:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=600) as reply:
        return json.load(reply)


def _short(value: Any) -> str:
    if isinstance(value, list):
        return ";".join(map(str, value))
    return f"{value:.3g}" if isinstance(value, float) else str(value)
