"""The benchmark's four ways on a tiny model: they answer alike and are counted alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForCausalLM

from kft_cli.studies.benchmark import (
    CONTENDERS,
    Settings,
    compare_answers,
    layer_weights,
    render,
    stored_layer_weights,
    worker,
)
from kft_tasks.questions import Question, write_questions
from tiny import make_tiny_model

pytestmark = pytest.mark.filterwarnings("ignore")  # among the libraries that are compared


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("benchmark")
    model = make_tiny_model(folder / "model")
    questions = [
        Question(f"{split}{n}", f"Tree {n} of {split}?", ("ash",), "tree", split, f"{split}{n}")
        for split, count in (("test", 3), ("exemplars", 40))
        for n in range(count)
    ]
    settings = Settings(str(model), "tree", "float32", 1, "cpu", 16)
    write_questions(folder / "questions.jsonl", questions)
    with pytest.MonkeyPatch.context() as patch:
        found = []
        for name in CONTENDERS:
            patch.setenv("KFT_FAST", "0" if name == "stock" else "1")
            found.append(worker(name, settings, folder / "questions.jsonl"))
    return found


def test_all_ways_give_the_same_greedy_answers_and_kfts_two_the_same_samples(results: list[dict[str, Any]]) -> None:
    equality = compare_answers(results)
    for name in ("stock", "careful", "lazy"):
        one = equality[name]
        assert one["greedy_compared"] == one["greedy_equal"] == 30  # nothing is right, so that everything is asked
        assert one["categories_equal"] == one["categories_compared"] == 3
    assert equality["lazy"]["samples_compared"] == equality["lazy"]["samples_equal"] == 3 * 10 * 16


def test_a_difference_is_seen(results: list[dict[str, Any]]) -> None:
    import copy

    changed = copy.deepcopy(results)
    lazy = changed[CONTENDERS.index("lazy")]["answers"]
    id_ = next(iter(lazy["greedy"]))
    lazy["greedy"][id_][0] += "x"
    lazy["categories"][id_] = "HighlyKnown"
    found = compare_answers(changed)["lazy"]
    assert (found["greedy_equal"], found["categories_equal"]) == (29, 2)


def test_tokens_are_counted_and_kft_computes_fewer(results: list[dict[str, Any]]) -> None:
    stock, careful, exhaustive, lazy = ((one["prefilled"], one["decoded"]) for one in results)
    assert min(stock[0], careful[0]) > 10 * exhaustive[0]
    assert exhaustive[0] == lazy[0] > 0
    assert stock[1] > exhaustive[1] >= lazy[1] > 0


def test_the_tables_hold_what_was_measured(results: list[dict[str, Any]]) -> None:
    settings = {"model": "m", "type_": "tree", "dtype": "float32", "threads": 1, "device": "cpu", "questions": 3}
    settings["batch_size"] = 16
    data = {
        "settings": settings,
        "hardware": {"cpu": "C", "cores": 2, "memory_gb": 1.0, "accelerator": None},
        "versions": {"torch": "9", "lm_eval": "8"},
        "equality": compare_answers(results),
        "results": results,
    }
    text = render(data, markdown=True)
    for one in results:
        assert f"{one['prefilled']:,}" in text
    assert "480 of 480" in text
    assert "30 of 30" in text


def test_weights_of_layers_are_those_that_every_token_is_multiplied_by(tmp_path: Path) -> None:
    folder = make_tiny_model(tmp_path / "model")
    model = AutoModelForCausalLM.from_pretrained(folder)
    vocabulary = model.get_input_embeddings().weight
    outside = {id(vocabulary), id(model.get_output_embeddings().weight)}
    expected = sum(weight.numel() for weight in model.parameters() if id(weight) not in outside)
    assert expected > 0
    assert stored_layer_weights(folder) == expected
    assert layer_weights([weight.shape for weight in model.parameters()], len(vocabulary)) == expected
