"""An answer that begins on the next line, from every kind of engine."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from backend_helpers import PROTOCOL, detection, few_facts_task, greedy, harness_samples, items, served, some_facts
from kft_tasks.answering.blank_lines import skip_blank_lines
from kft_tasks.answering.engine_answerer import PlainAnswerer
from kft_tasks.answering.plain_instance import plain_instance
from kft_tasks.engine.stop_strings import cut_at
from kft_tasks.models.choice import ModelChoice
from kft_tasks.models.weights import quiet_transformers
from kft_tasks.protocol.exemplars import ExemplarPool
from kft_tasks.protocol.prompt_maker import PromptMaker, PromptRequest
from kft_tasks.protocol.protocol import Protocol
from serving import CompletionServer, serving
from tiny import make_newline_model

STOPPING = dataclasses.replace(PROTOCOL, skip_blank_lines=False)


def _all_requests(protocol: Protocol = PROTOCOL) -> list[PromptRequest]:
    source = some_facts(4)
    prompts = PromptMaker(protocol, ExemplarPool(source.split("exemplars"), protocol, source.name))
    return [prompts.request(one, number) for one in source.split("test") for number in range(protocol.exemplar_sets)]


@pytest.fixture(scope="module")
def newline_model(tiny_folder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model that begins some of its answers to the questions of :func:`detection` with a newline."""
    with quiet_transformers():
        prompts = [request.prompt for request in _all_requests()]
        return make_newline_model(tiny_folder("qwen2"), tmp_path_factory.mktemp("newline") / "qwen2", prompts)


def _local(folder: Path) -> ModelChoice:
    return ModelChoice(str(folder), dtype="float32", device="cpu")


Greedy = dict[str, tuple[str | None, ...]]


@pytest.fixture(scope="module")
def by_engine(newline_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Greedy:
    """The engine's greedy answers; some that begin with a newline have text after it, others begin without one."""
    folder = tmp_path_factory.mktemp("engine")
    skipping = greedy(detection(_local(newline_model), folder / "skipping"))
    stopping = greedy(detection(_local(newline_model), folder / "stopping", STOPPING))
    pairs = [pair for id_ in skipping for pair in zip(skipping[id_], stopping[id_], strict=True)]
    assert sum(bool(new) and not old for new, old in pairs) >= 2
    assert all(new == old for new, old in pairs if old)
    assert any(old for _, old in pairs)
    return skipping


def test_transformers_own_generation_gives_the_engines_answers(newline_model: Path, by_engine: Greedy) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(newline_model, dtype=torch.float32).eval()
    answerer = PlainAnswerer(model, AutoTokenizer.from_pretrained(newline_model), PROTOCOL)
    requests = _all_requests()
    given = answerer.open(requests).greedy(range(len(requests)))
    assert given == [by_engine[request.question_id][request.exemplar_set] for request in requests]


def test_lm_evals_own_generation_gives_the_engines_answers(
    newline_model: Path, by_engine: Greedy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KFT_FAST", "0")
    assert greedy(detection(_local(newline_model), tmp_path / "stock")) == by_engine


def test_a_server_gives_the_engines_answers(newline_model: Path, by_engine: Greedy, tmp_path: Path) -> None:
    with serving(newline_model) as server:
        result = detection(served(server.url), tmp_path / "served")
    assert greedy(result) == by_engine
    assert result.count.made == 4 * 2 * (1 + PROTOCOL.samples) < len(server.work)  # answers that were asked for again
    again = [body for body in server.work if body["stop"] is None]
    first = {_key(body) for body in server.work if body["stop"] == ["\n"]}
    assert again
    assert {_key(body) for body in again} <= first
    assert len(first) == result.count.made


def _key(body: dict[str, Any]) -> str:
    """All that a server is told, except for the stop strings."""
    return json.dumps({name: value for name, value in body.items() if name != "stop"}, sort_keys=True)


@pytest.mark.parametrize("fast", ["1", "0"], ids=["engine", "stock"])
def test_the_harness_gives_the_engines_answers(
    newline_model: Path, by_engine: Greedy, monkeypatch: pytest.MonkeyPatch, stock_lm_eval: None, fast: str
) -> None:
    """With ``KFT_FAST=0`` as any model of lm-eval does that knows nothing of kft: no stop strings, cut by the task."""
    monkeypatch.setenv("KFT_FAST", fast)
    arguments = {"model": "hf", "model_args": f"pretrained={newline_model},dtype=float32", "device": "cpu"}
    samples = harness_samples(few_facts_task(monkeypatch), **arguments, batch_size=4)
    given = {one["doc"]["id"]: tuple(texts[0] for texts in one["filtered_resps"][::2]) for one in samples}
    assert given == by_engine


def test_the_harness_sends_a_server_what_kft_detect_sends(
    newline_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stock_lm_eval: None
) -> None:
    with serving(newline_model) as server:
        expected = items(detection(served(server.url), tmp_path / "x"))
        sent = sorted(json.dumps(body, sort_keys=True) for body in server.work)
        server.asked.clear()
        arguments = f"model=tiny,base_url={server.url},tokenizer_backend=none,tokenized_requests=False"
        samples = harness_samples(few_facts_task(monkeypatch), model="local-completions", model_args=arguments)
        assert sorted(json.dumps(body, sort_keys=True) for body in server.work) == sent
    for sample in samples:
        item = expected[sample["doc"]["id"]]
        assert tuple(texts[0] for texts in sample["filtered_resps"][::2]) == item.greedy_answers
        assert tuple(map(tuple, sample["filtered_resps"][1::2])) == item.sampled_answers


# --- a scripted server: what is asked again, and what is not --------------------------------------------------------


@contextmanager
def scripted(folder: Path, monkeypatch: pytest.MonkeyPatch, script: Callable[[dict[str, Any]], str]) -> Iterator[Any]:
    """A server whose model would say ``script(request)``; like a real one, it ends at stop strings."""
    monkeypatch.setattr(
        CompletionServer, "_generate", lambda self, prompt, body: cut_at(script(body), body["stop"] or ())
    )
    with serving(folder) as server:
        yield server


def _sample(body: dict[str, Any]) -> str:
    """Different for every seed, and the same for the same."""
    return f"sample {body['seed'] % 1000003}"


GREEDY = dataclasses.replace(PROTOCOL, samples=0, exemplar_sets=1)


@pytest.mark.parametrize(
    ("text", "answer", "requests"),
    [
        (" Paris\nQuestion:", "Paris", 1),
        ("\n\nParis \nQuestion:", "Paris", 2),
        ("\n \n", "", 2),
        ("", "", 2),  # the server cannot say why there was nothing
    ],
)
def test_an_empty_answer_is_asked_for_once_more_without_stop_strings(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, answer: str, requests: int
) -> None:
    with scripted(tiny_model, monkeypatch, lambda body: text) as server:
        result = detection(served(server.url), tmp_path / "x", GREEDY, limit=1)
        assert [body["stop"] for body in server.work] == [["\n"], None][:requests]
        assert len({_key(body) for body in server.work}) == 1
        assert list(greedy(result).values()) == [(answer,)]
        assert result.count.made == 1
        server.asked.clear()
        stopping = dataclasses.replace(GREEDY, skip_blank_lines=False)
        old = detection(served(server.url), tmp_path / "y", stopping, limit=1)
        assert [body["stop"] for body in server.work] == [["\n"]]
        assert list(greedy(old).values()) == [("" if text.startswith("\n") else answer,)]


def test_a_sample_is_asked_for_again_with_its_own_seed(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def script(body: dict[str, Any]) -> str:
        return "\n" * (body["seed"] % 2) + _sample(body) + "\nmore"

    with scripted(tiny_model, monkeypatch, script) as server:
        result = detection(served(server.url), tmp_path / "x")
    sampled = [body for body in server.work if body["temperature"] > 0]
    first = [body for body in sampled if body["stop"] == ["\n"]]
    again = [body for body in sampled if body["stop"] is None]
    assert len(first) == 4 * 2 * 3
    assert {_key(body) for body in again} == {_key(body) for body in first if body["seed"] % 2}
    assert 0 < len(again) < len(first)
    given = {text for item in items(result).values() for texts in item.sampled_answers for text in texts or ()}
    assert given == {_sample(body) for body in first}


def test_samples_that_cannot_be_repeated_are_drawn_once_and_to_the_end(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Drawing again whatever began with a newline would make such samples rarer than the model makes them."""
    numbers = iter(range(10**6))

    def script(body: dict[str, Any]) -> str:
        return f"\nanswer {next(numbers)}\nmore"

    with scripted(tiny_model, monkeypatch, script) as server:
        result = detection(served(server.url), tmp_path / "x")
    sampled = [body for body in server.work if body["temperature"] > 0]
    assert [body["stop"] for body in sampled] == [None] * (4 * 2 * 3)
    given = [text for item in items(result).values() for texts in item.sampled_answers for text in texts or ()]
    assert all(text.startswith("answer ") and "more" not in text for text in given)
    assert len(set(given)) == len(given) == 4 * 2 * 3


def test_a_server_that_ends_no_answer_at_stop_strings_is_cut_here(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CompletionServer, "_generate", lambda self, prompt, body: "\nParis\nmore")
    with serving(tiny_model) as server:
        result = detection(served(server.url), tmp_path / "x", GREEDY, limit=1)
    assert list(greedy(result).values()) == [("Paris",)]


def test_a_server_that_is_told_its_end_of_sequence_keeps_it_as_the_only_stop_string(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with scripted(tiny_model, monkeypatch, lambda body: "\nParis<|end|>more") as server:
        result = detection(served(server.url, eos_string="<|end|>"), tmp_path / "x", GREEDY, limit=1)
    assert [body["stop"] for body in server.work] == [["\n", "<|end|>"], ["<|end|>"]]
    assert list(greedy(result).values()) == [("Paris",)]


def test_only_what_came_back_empty_is_asked_again_and_in_one_batch() -> None:
    texts = {"a": " A\nx", "b": "\nB\nx", "c": "", "d": "\nD\nx", "e": "\nE\nx"}
    calls: list[list[tuple[str, tuple[str, ...]]]] = []

    def ask(requests: Any) -> list[str]:
        calls.append([(request.args[0], tuple(request.args[1]["until"])) for request in requests])
        return [cut_at(texts[request.args[0]], request.args[1]["until"]) for request in requests]

    requests = [plain_instance(name, {"until": []}) for name in texts]
    stops = [("\n",), ("\n",), ("\n",), ("\n",), ()]
    given = skip_blank_lines(ask, requests, stops, [True, True, True, False, True])
    assert given == [" A", "\nB", "", "\nD", "\nE\nx"]
    assert calls == [
        [("a", ("\n",)), ("b", ("\n",)), ("c", ("\n",)), ("d", ()), ("e", ())],
        [("b", ()), ("c", ())],
    ]
