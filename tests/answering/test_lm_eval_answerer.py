"""Lm-eval's own command line with kft's tasks and other engines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from backend_helpers import detection, few_facts_task, harness_samples, items, served
from kft_tasks.answering.plain_instance import plain_instance
from kft_tasks.models.choice import ModelChoice
from serving import serving


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch, stock_lm_eval: None) -> Any:
    """A task of the questions that the helpers detect."""
    return few_facts_task(monkeypatch)


@pytest.mark.parametrize("concurrent", [1, 4])
def test_a_server_gives_the_answers_of_kft_detect_and_samples_that_differ(
    few: Any, tiny_model: Path, tmp_path: Path, concurrent: int
) -> None:
    with serving(tiny_model) as server:
        expected = items(detection(served(server.url), tmp_path / "x"))
        arguments = f"model=tiny_model,base_url={server.url},tokenizer_backend=none,tokenized_requests=False,"
        samples = harness_samples(few, model="local-completions", model_args=f"{arguments}num_concurrent={concurrent}")
        assert 1 <= server.most_at_once <= concurrent
    assert len(samples) == len(expected) == 4
    for sample in samples:
        item = expected[sample["doc"]["id"]]
        texts = [tuple(text.strip() for text in given) for given in sample["resps"]]
        assert tuple(text for (text,) in texts[::2]) == item.greedy_answers
        assert tuple(texts[1::2]) == item.sampled_answers
        assert sample["doc"]["category"] == item.category.value
    assert any(len(set(given)) > 1 for sample in samples for given in sample["resps"])


def test_what_other_tasks_ask_goes_to_lm_eval_unchanged(few: Any, tiny_model: Path) -> None:
    from lm_eval.models.openai_completions import LocalCompletionsAPI

    from kft_tasks.harness.patches import seed_requests_in_harness

    seed_requests_in_harness()
    settings = {"until": ["\n"], "max_gen_toks": 3, "temperature": 0.5, "do_sample": True}
    foreign = plain_instance("A", settings, task="t")
    with serving(tiny_model) as server:
        lm = LocalCompletionsAPI(
            base_url=server.url, model="tiny", tokenizer_backend="none", tokenized_requests=False, eos_string="<|end|>"
        )
        assert len(lm.generate_until([foreign, foreign])) == 2
    assert [(body["seed"], body["stop"]) for body in server.asked] == [(1234, ["\n", "<|end|>"])] * 2


def test_transformers_keeps_one_repeated_request(few: Any, tiny_model: Path, tmp_path: Path) -> None:
    arguments = f"pretrained={tiny_model},dtype=float32"
    samples = harness_samples(few, model="hf", model_args=arguments, device="cpu", batch_size=4)
    assert not any("seed" in settings for sample in samples for _, settings in sample["arguments"])
    own = items(detection(ModelChoice(str(tiny_model), dtype="float32", device="cpu"), tmp_path / "x"))
    for sample in samples:
        texts = tuple(tuple(text.strip() for text in given) for given in sample["resps"][1::2])
        assert texts == own[sample["doc"]["id"]].sampled_answers
