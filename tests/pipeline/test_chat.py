"""A recipe whose purposes are asked in different ways: plain few-shot detection, chat training text, own scorers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kft_cli.pipeline.asking import check_chat_templates
from kft_cli.pipeline.pipeline import Pipeline
from kft_cli.report.run_layout import RunLayout
from kft_tasks.categories.category_file import CategoryFile
from kft_tasks.errors import DataError
from kft_tasks.files import json_line
from kft_train.data.rows import Rows
from kft_train.recipes.recipe import Recipe, parse_recipe
from kft_train.stage import train as train_module
from kft_train.stage.validation import Validation
from tiny import make_tiny_model, make_tiny_tokenizer

MIXED = {
    "redetection": {"samples": 0},
    "training": {"chat": True, "system": "Be brief."},
    "validation": {"scorer": "answer_contained", "max_tokens": 2},
    "test": {"exemplar_sets": 1, "scorer": "paper_substring"},
}


@pytest.fixture(scope="module")
def make_recipe(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Recipe]:
    """A recipe of one stage on a tiny model, with a chat template or without."""
    from kft_tasks.models.weights import quiet_transformers

    folder = tmp_path_factory.mktemp("chat")
    with quiet_transformers():
        make_tiny_model(folder / "model")
    rows = [
        {"id": f"{split}-{n}", "question": f"What is {split} {n}?", "answers": [f"{n}"], "type": "t", "split": split}
        for split, count in (("train", 4), ("validation", 2), ("test", 2), ("exemplars", 8))
        for n in range(count)
    ]
    (folder / "questions.jsonl").write_text("".join(map(json_line, rows)), encoding="utf-8")

    def make(protocols: dict[str, Any], template: str | None = "own", **changes: Any) -> Recipe:
        tokenizer = make_tiny_tokenizer()
        if template != "own":
            tokenizer.chat_template = template
        for file in folder.glob("model/*.jinja"):
            file.unlink()
        tokenizer.save_pretrained(folder / "model")
        protocol = {"exemplar_sets": 2, "shots": 2, "samples": 1, "max_tokens": 3, "scorer": "exact_match"}
        tree = {
            "name": "mixed",
            "model": {"id": str(folder / "model"), "dtype": "float32"},
            "questions": {"set": "questions", "path": str(folder / "questions.jsonl")},
            "protocol": {**protocol, **changes},
            "protocols": protocols,
            "adapter": {"r": 2, "lora_alpha": 4},
            "stages": [{"name": "stage1", "mixture": [{"name": "any"}], "num_train_epochs": 1, "loss": "sequence"}],
            "evaluation": {"shots": [2], "other_type": False, "first_categories": False},
        }
        return parse_recipe(tree, "mixed.yaml")

    return make


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # between peft and transformers
def test_every_step_asks_or_trains_by_the_protocol_of_its_purpose(
    make_recipe: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[Rows] = []
    prompts: list[str] = []
    make_rows, requests = train_module.training_rows, Validation.requests

    def seen_rows(*arguments: Any) -> Rows:
        rows.append(make_rows(*arguments))
        return rows[-1]

    def seen_requests(self: Validation, chosen: Any) -> Any:
        made = requests(self, chosen)
        prompts.extend(request.prompt for request in made)
        return made

    monkeypatch.setattr(train_module, "training_rows", seen_rows)
    monkeypatch.setattr(Validation, "requests", seen_requests)
    Pipeline(make_recipe(MIXED, exemplars="per_question"), tmp_path / "run", ["kft", "run"]).execute()
    layout = RunLayout(tmp_path / "run")

    tokenizer = make_tiny_tokenizer()
    trained = [tokenizer.decode(ids) for made in rows for ids in made.input_ids]
    beginning = "<|start|>system\nBe brief.<|end|>\n<|start|>user\nWhat is "
    assert {text.startswith(beginning) for text in trained} == {True}
    assert {text.count("<|start|>user") for text in trained} == {1}  # no exemplars
    assert len(trained) == 4 + 2  # and the validation loss is on the same kind of text

    assert {prompt.startswith("Question: What is exemplars ") for prompt in prompts} == {True}
    assert {prompt.count("Question:") for prompt in prompts} == {3}
    exemplars = [prompt.rsplit("Question:", 1)[0] for prompt in prompts[:2]]
    assert exemplars[0] != exemplars[1]  # each question has its own

    detected = CategoryFile(layout.detection("base")).header.protocol
    assert (detected.chat, detected.scorer, detected.seed, detected.exemplars) == (
        False,
        "exact_match",
        0,
        "per_question",
    )
    for point in ("base", "stage1"):
        measured = CategoryFile(layout.measurement(point)).header.protocol
        assert (measured.chat, measured.samples, measured.seed) == (False, 0, 10_000)
    summary = json.loads(layout.training("stage1").read_text(encoding="utf-8"))
    assert "answer_contained" in summary["epochs"][0]
    assert summary["sft"]["metric_for_best_model"] == "eval_answer_contained"
    answers = [json.loads(line) for line in layout.answers("base").read_text(encoding="utf-8").splitlines()]
    assert len(answers) == 2  # one exemplar set
    recorded = layout.recipe.read_text(encoding="utf-8")
    assert "system: Be brief." in recorded
    assert "exemplars: per_question" in recorded


def test_validation_asks_with_the_first_exemplar_set_of_the_detection(make_recipe: Callable[..., Recipe]) -> None:
    from kft_cli.pipeline.stages import validation_prompts
    from kft_tasks.protocol.exemplars import ExemplarPool
    from kft_tasks.question_sets.registry import open_set

    recipe = make_recipe(MIXED)
    source = open_set("questions", recipe.questions.path)
    questions = list(source.split("validation"))
    validation = ExemplarPool(source.split("exemplars"), recipe.protocol_for("validation"))
    detection = ExemplarPool(source.split("exemplars"), recipe.protocol_for("detection"))
    for prompt in validation_prompts(recipe, validation, questions):
        assert prompt.shots == detection.sets("t")[0]
    tested = ExemplarPool(source.split("exemplars"), recipe.protocol_for("test"))
    assert tested.sets("t")[0] != detection.sets("t")[0]


@pytest.mark.parametrize(
    ("protocols", "changes", "key"),
    [
        ({"training": {"chat": True}}, {}, "protocols.training.chat"),
        ({"validation": {"chat": True}}, {}, "protocols.validation.chat"),
        ({"test": {"chat": True}}, {}, "protocols.test.chat"),
        ({}, {"chat": True}, "protocol.chat"),
    ],
)
def test_a_model_without_chat_template_is_an_error_before_anything_is_run(
    make_recipe: Callable[..., Recipe], tmp_path: Path, protocols: Any, changes: Any, key: str
) -> None:
    recipe = make_recipe(protocols, None, **changes)
    with pytest.raises(DataError, match=f"has no chat template, and {key} is true. Set it to false"):
        Pipeline(recipe, tmp_path / "run", ["kft", "run"])
    assert not list((tmp_path / "run").glob("*/step.json"))


def test_a_chat_template_that_refuses_the_system_prompt_is_an_error(
    make_recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    refusing = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}x"
    recipe = make_recipe(MIXED, refusing)
    with pytest.raises(DataError, match=r"messages of training \(no system role\). Remove protocols.training.system"):
        Pipeline(recipe, tmp_path / "run", ["kft", "run"])
    check_chat_templates(make_recipe({"training": {"chat": True}}, refusing), Path(recipe.model.id))


def test_without_chat_no_tokenizer_is_loaded(make_recipe: Callable[..., Recipe], tmp_path: Path) -> None:
    check_chat_templates(make_recipe({}), tmp_path / "absent")
