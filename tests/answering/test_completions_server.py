"""Detection through a completions server on loopback that serves a tiny_model model."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from backend_helpers import PROTOCOL, detection, greedy, items, served
from kft_tasks.categories.category_file import CategoryFile
from kft_tasks.errors import DataError, StateError, UnavailableError, UsageError
from kft_tasks.models.backends import identify_choice
from kft_tasks.models.choice import ModelChoice
from serving import CompletionServer, serving


def _requests(server: CompletionServer) -> list[tuple[str, float, int | None]]:
    return [(body["prompt"], body["temperature"], body["seed"]) for body in server.work]


def test_greedy_answers_are_those_of_the_engine_and_samples_differ(tiny_model: Path, tmp_path: Path) -> None:
    protocol = dataclasses.replace(PROTOCOL, samples=6)
    own = detection(ModelChoice(str(tiny_model), dtype="float32", device="cpu"), tmp_path / "own", protocol)
    with serving(tiny_model) as server:
        result = detection(served(server.url), tmp_path / "served", protocol)
    assert greedy(result) == greedy(own)
    drawn = [texts for item in items(result).values() for texts in item.sampled_answers]
    assert len(drawn) == 8
    assert all(texts is not None and len(set(texts)) > 2 for texts in drawn)
    seeds = Counter(body["seed"] for body in server.work if body["temperature"] > 0)
    assert len(seeds) == 4 * 2 * 6
    assert set(seeds.values()) == {1}


def test_a_request_says_all_that_the_protocol_fixes_and_nothing_that_confuses_servers(
    tiny_model: Path, tmp_path: Path
) -> None:
    with serving(tiny_model) as server:
        detection(served(server.url), tmp_path / "x", limit=2)
    fixed = {"model": "tiny", "max_tokens": 4, "stop": ["\n"], "top_p": 1.0, "repetition_penalty": 1.0}
    for body in server.work:
        assert body.items() >= fixed.items()
        assert isinstance(body["prompt"], str)
        assert set(body) - fixed.keys() - {"prompt", "temperature", "seed", "top_k", "min_p"} == set()
        assert (body["temperature"], body.get("top_k"), body.get("min_p")) in [(0, None, None), (0.5, 40, 0.0)]
        assert 0 <= body["seed"] < 1 << 31


def test_the_header_says_that_weights_are_unknown_and_not_where_the_server_was(
    tiny_model: Path, tmp_path: Path
) -> None:
    with serving(tiny_model) as server:
        result = detection(served(server.url), tmp_path / "x", limit=2)
    model = CategoryFile(result.path).header.model
    assert model.weights == "served:tiny at /v1/completions"
    assert (model.id, model.adapter, model.dtype) == ("tiny", None, "local-completions:unknown")
    assert "127.0.0.1" not in result.path.read_text()


def test_training_refuses_the_categories_of_a_served_model_unless_told_otherwise(
    tiny_model: Path, tmp_path: Path
) -> None:
    from kft_train.data.mixture import check_model

    with serving(tiny_model) as server:
        header = CategoryFile(detection(served(server.url), tmp_path / "x", limit=2).path).header
    local = identify_choice(ModelChoice(str(tiny_model)))
    with pytest.raises(DataError, match=r"made for tiny \(served, weights unknown\), but training starts from"):
        check_model(header, local)
    check_model(header, local, allow=True)


def test_seeds_and_answers_depend_neither_on_the_company_nor_on_concurrency(tiny_model: Path, tmp_path: Path) -> None:
    with serving(tiny_model) as server:
        one = detection(served(server.url), tmp_path / "one")
        few = detection(served(server.url), tmp_path / "few", limit=3)
        alone = set(_requests(server))
        assert server.most_at_once == 1
        server.asked.clear()
        many = detection(served(server.url, num_concurrent=4), tmp_path / "many", chunk_questions=128)
        assert server.most_at_once > 1
    assert set(_requests(server)) == alone
    assert many.path.read_bytes() == one.path.read_bytes()
    assert items(few) == {id_: items(one)[id_] for id_ in items(few)}


def test_lazy_categories_are_the_exhaustive_ones(tiny_model: Path, tmp_path: Path) -> None:
    with serving(tiny_model) as server:
        full = detection(served(server.url, num_concurrent=4), tmp_path / "full")
        lazy = detection(served(server.url, num_concurrent=4), tmp_path / "lazy", lazy=True)
    assert {id_: item.category for id_, item in items(full).items()} == {
        id_: item.category for id_, item in items(lazy).items()
    }


@pytest.mark.parametrize("fail_after", [4, 19, 33])
def test_interrupted_detection_goes_on_and_asks_nothing_twice(
    tiny_model: Path, tmp_path: Path, fail_after: int
) -> None:
    with serving(tiny_model) as server:
        whole = detection(served(server.url), tmp_path / "whole").path.read_bytes()
        expected = Counter(_requests(server))
    output = tmp_path / "x"
    with (
        serving(tiny_model, fail_after=fail_after) as broken,
        pytest.raises(UnavailableError, match="run the same command"),
    ):
        detection(served(broken.url, max_retries=1), output)
    with serving(tiny_model) as server:
        result = detection(served(server.url), output)
    assert result.path.read_bytes() == whole
    asked = Counter(_requests(server))
    assert set(asked.values()) == {1}
    assert asked <= expected
    recorded = expected - asked
    assert not recorded - Counter(_requests(broken))
    # only the answers of the failed call can be lost
    lost = Counter(_requests(broken)) - recorded
    assert sum(lost.values()) <= 4 * PROTOCOL.samples * PROTOCOL.exemplar_sets


def test_a_server_that_does_not_sample_is_found_out(tiny_model: Path, tmp_path: Path) -> None:
    with (
        serving(tiny_model, ignores=("temperature",)) as server,
        pytest.raises(
            UnavailableError, match=r"same answer for four seeds .* Use a server that samples, or set samples to 0"
        ),
    ):
        detection(served(server.url), tmp_path / "x")
    with serving(tiny_model, ignores=("temperature",)) as server:
        detection(served(server.url), tmp_path / "y", dataclasses.replace(PROTOCOL, samples=0))


def test_a_server_that_does_not_keep_to_seeds_is_named(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import torch

    numbers = iter(range(10**6))
    seed = torch.manual_seed
    with serving(tiny_model) as server, caplog.at_level(logging.WARNING, "kft"):
        monkeypatch.setattr(torch, "manual_seed", lambda given: seed(next(numbers)))
        detection(served(server.url), tmp_path / "x", limit=2)
    assert caplog.text.count("ignores seeds") == 1


def test_transformers_serve_is_told_in_its_own_way_to_sample(tiny_model: Path, tmp_path: Path) -> None:
    with serving(tiny_model) as server:
        expected = detection(served(server.url), tmp_path / "x").path.read_bytes()
    with serving(tiny_model, extra=("generation_config",)) as server:
        assert detection(served(server.url), tmp_path / "y").path.read_bytes() == expected
    sampled = next(body for body in server.work if body["temperature"] > 0)
    assert json.loads(sampled["generation_config"]) == {
        "do_sample": True,
        "top_k": 40,
        "top_p": 1.0,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
    }


def test_a_server_that_refuses_min_p_is_sent_none(tiny_model: Path, tmp_path: Path) -> None:
    with serving(tiny_model, extra=("top_k", "repetition_penalty")) as server:
        detection(served(server.url), tmp_path / "x", limit=2)
    assert server.work
    assert not any("min_p" in body for body in server.work)


def test_llama_cpps_server_is_told_all_its_samplers(tiny_model: Path, tmp_path: Path) -> None:
    fields = ("samplers", "dynatemp_range", "mirostat", "top_k")
    with serving(tiny_model, extra=fields, owner="llamacpp") as server:
        detection(served(server.url), tmp_path / "x", limit=2)
    chain = {"samplers": ["top_k", "temperature"], "dynatemp_range": 0, "mirostat": 0}
    assert {body["top_k"] for body in server.work if body["temperature"]} == {40}
    for body in server.work:
        assert body.items() >= chain.items()
        assert not {"min_p", "repetition_penalty"} & set(body)


@pytest.mark.parametrize(("owner", "no_limit"), [("vllm", -1), ("sglang", -1), ("llamacpp", 0), ("library", None)])
def test_the_whole_vocabulary_is_named_where_a_default_of_the_model_would_apply(
    tiny_model: Path, owner: str, no_limit: int | None
) -> None:
    from kft_tasks.answering.server_dialects import candidates

    with serving(tiny_model, owner=owner) as server:
        lm = SimpleNamespace(base_url=server.url, header={}, verify_certificate=True)
        dialect = candidates(lm, whole_vocabulary=True)[0]
    assert dialect({"top_k": 1_000_000}).get("top_k") == no_limit
    assert dialect({"top_k": 40})["top_k"] == 40


def test_the_tokens_of_a_server_are_those_it_reports(tiny_model: Path, tmp_path: Path) -> None:
    with serving(tiny_model) as server:
        cost = detection(served(server.url), tmp_path / "x", limit=2).cost
    work = len(server.asked) - 1 - 5  # the trials come before the first question or are part of its cost
    assert cost["prompt_tokens"] == 10 * cost["decoded"] / 4
    assert work <= cost["decoded"] / 4 <= len(server.asked)
    assert cost["prefilled"] == 0  # what it had in its cache is not reported


def test_a_server_without_top_k_is_refused_unless_the_whole_vocabulary_is_asked_for(
    tiny_model: Path, tmp_path: Path
) -> None:
    with serving(tiny_model, extra=()) as server:
        with pytest.raises(UnavailableError, match=r"does not accept .* top_k .*422.* set top_k to 1000000"):
            detection(served(server.url), tmp_path / "x")
        assert not server.asked
        detection(served(server.url), tmp_path / "y", dataclasses.replace(PROTOCOL, top_k=1_000_000), limit=2)
    assert not any("top_k" in body for body in server.asked)


def test_no_server_is_one_clear_error_and_the_journal_stays(tiny_model: Path, tmp_path: Path) -> None:
    with serving(tiny_model) as server:
        url = server.url
    with pytest.raises(
        UnavailableError, match="LocalCompletionsAPI gave no answers .ConnectionError: .*Fix that and run"
    ):
        detection(served(url), tmp_path / "x")
    assert (tmp_path / "x.journal" / "0.jsonl").exists()


def test_the_journal_of_another_engine_is_not_continued(tiny_model: Path, tmp_path: Path) -> None:
    with serving(tiny_model) as server:
        url = server.url
    with pytest.raises(UnavailableError):
        detection(served(url), tmp_path / "x")
    with pytest.raises(StateError, match="started for something else: model is"):
        detection(ModelChoice(str(tiny_model), dtype="float32", device="cpu"), tmp_path / "x")


def test_chat_needs_the_tokenizer_and_sends_the_rendered_text_as_tokens(tiny_model: Path, tmp_path: Path) -> None:
    chat = dataclasses.replace(PROTOCOL, chat=True)
    with serving(tiny_model) as server:
        with pytest.raises(UsageError, match="Add tokenizer=FOLDER to the backend arguments"):
            detection(served(server.url), tmp_path / "x", chat)
        result = detection(served(server.url, tokenizer=str(tiny_model)), tmp_path / "y", chat)
        text = server.tokenizer.decode(server.work[0]["prompt"][0])
    assert text.startswith("<|start|>user\n")
    assert text.endswith("<|start|>assistant\n")
    own = detection(ModelChoice(str(tiny_model), dtype="float32", device="cpu"), tmp_path / "own", chat)
    assert greedy(result) == greedy(own)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"backend": "local-completions"}, r"base_url is None. Add base_url=http://HOST:PORT/v1/comp"),
        ({"backend": "local-completions", "backend_args": {"base_url": "http://h/v1"}}, r"base_url is 'http://h/v1'"),
        ({"backend": "local-completions", "adapter": Path("a")}, "give the name under which the server offers it"),
        ({"backend": "sglang", "adapter": Path("a")}, "takes no adapter. Merge the adapter, or use backend vllm"),
        (
            {"backend": "vllm", "backend_args": {"pretrained": "x"}},
            "Backend argument pretrained: kft sets it itself. Give the model",
        ),
        ({"backend_args": {"tp_plan": "auto"}}, "divides questions among processes. Use parallelize=true"),
    ],
)
def test_arguments_that_do_not_go_together_are_refused(choice: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        identify_choice(ModelChoice("tiny", **choice))


@pytest.mark.parametrize(
    ("backend", "package", "install"),
    [
        ("vllm", "vllm", r'pip install "lm-eval\[vllm\]"'),
        ("sglang", "sglang", r'pip install "sglang\[all\]"'),
        ("local-completions", "tenacity", r'pip install "lm-eval\[api\]"'),
    ],
)
def test_a_missing_package_is_one_error_with_the_command(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, backend: str, package: str, install: str
) -> None:
    import importlib.util

    from kft_tasks.models.backends import build

    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == package else find(name))
    with pytest.raises(UnavailableError, match=f"Backend {backend} needs {package}. Install it with: {install}"):
        build(ModelChoice(str(tiny_model), backend=backend))


def test_the_command_detects_and_evaluates_on_a_server(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from kft_cli.main import main

    monkeypatch.chdir(tmp_path)
    with serving(tiny_model) as server:
        engine = ["--model", "tiny", "--backend", "local-completions", "--backend-args", f"base_url={server.url}"]
        engine += ["--backend-args", "num_concurrent=2"]
        protocol = ["--exemplar-sets", "2", "--shots", "1", "--samples", "2", "--max-tokens", "4", "--limit", "4"]
        with pytest.raises(SystemExit) as end:
            main(["detect", *engine, *protocol, "--json"])
        assert end.value.code == 0
        data = json.loads(capsys.readouterr().out)
        assert data["model"]["weights"] == "served:tiny at /v1/completions"
        assert data["generations"]["made"] == len(server.work)
        with pytest.raises(SystemExit) as end:
            main(["eval", *engine, *protocol, "--with-shots", "1", "--json"])
        assert end.value.code == 0
    assert json.loads(capsys.readouterr().out)["results"][0]["n"] == 4
