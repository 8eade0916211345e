"""A run that measures forgetting elsewhere: types held out, text and a task before and after; and what was not done."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from further_task import task_folder
from kft_cli.pipeline.pipeline import Pipeline
from kft_cli.report.render import render_report
from kft_cli.report.report import build_report, read_report
from kft_tasks.errors import DataError
from kft_tasks.files import json_line, read_json, write_json
from kft_train.data.mixture import read_mixture
from kft_train.errors import RecipeError
from kft_train.recipes.recipe import Recipe, parse_recipe

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*is_gradient_checkpointing:FutureWarning"
)  # of PEFT's use of transformers

TYPES = ("even", "odd", "prime")


def make_recipe(folder: Path, model: Path, **changes: Any) -> Recipe:
    rows = []
    for split, count in (("train", 12), ("validation", 6), ("test", 9), ("exemplars", 12)):
        for n in range(count):
            row = {"id": f"{split}-{n}", "question": f"What follows {split} {n}?", "answers": [f"{n}"]}
            rows.append(row | {"type": TYPES[n % 3], "split": split, "subject": f"{split} {n}"})
    (folder / "questions.jsonl").write_text("".join(json_line(row) for row in rows), encoding="utf-8")
    stage = {"num_train_epochs": 1, "per_device_train_batch_size": 4, "learning_rate": 0.01}
    tree: dict[str, Any] = {
        "name": "elsewhere",
        "model": {"id": str(model), "dtype": "float32"},
        "questions": {
            "set": "questions",
            "path": str(folder / "questions.jsonl"),
            "held_out_types": ["prime"],
        },
        "protocol": {"exemplar_sets": 2, "shots": 2, "samples": 1, "max_tokens": 3},
        "adapter": {"r": 2, "lora_alpha": 4},
        "stages": [{"name": "stage1", "mixture": [{"name": "any"}], **stage}],
        "evaluation": {
            "shots": [2],
            "first_categories": False,
            "text": True,
            "also": ["tiny_choice"],
            "also_folder": str(folder / "tasks"),
            "also_limit": 8,
        },
    }
    return parse_recipe({**tree, **changes}, "test")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("elsewhere")
    task_folder(folder / "tasks")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("datasets.config.HF_DATASETS_CACHE", folder / "datasets")
        patch.setattr("kft_cli.report.figures.draw_figures", lambda report, folder: [])
        Pipeline(make_recipe(folder, tiny_model), folder / "run", ["kft", "run"]).execute()
        yield folder / "run"


def test_held_out_types_are_measured_and_tested_and_never_trained(run: Path) -> None:
    trained = read_mixture(run / "stage1" / "mixture.jsonl").items
    assert {item.question.type for item in trained} == {"even", "odd"}
    assert len(trained) == 8
    training = read_json(run / "stage1" / "training.json")
    assert [epoch["asked"] for epoch in training["epochs"]] == [4, 4]  # nor is an epoch chosen by them
    report = read_report(run / "report" / "report.json")
    assert (report["run"]["questions"]["train"], report["test"]["n"]) == (12, 9)
    held_out = report["elsewhere"]["held_out_types"]
    assert held_out["types"] == ["prime"]
    assert {row["n"] for row in held_out["accuracy"]} == {3}
    assert {(row["before"], row["after"]) for row in held_out["changes"]} == {("base", "stage1")}


def test_text_and_tasks_are_in_the_report_before_and_after(run: Path) -> None:
    found = read_report(run / "report" / "report.json")["elsewhere"]
    base, stage = found["text"]["points"]
    (change,) = found["text"]["changes"]
    assert change["mean"] == pytest.approx(stage["mean"] - base["mean"], abs=1e-4)  # rounded
    assert change["low"] < change["mean"] < change["high"]
    assert change["standard_error"] < base["standard_error"]  # the same passages twice
    (task,) = found["tasks"]
    assert (task["task"], task["metric"], task["n"], task["main"]) == ("tiny_choice", "acc", 8, True)
    text = render_report(read_report(run / "report" / "report.json"))
    assert "## Forgetting elsewhere" in text
    assert "**Types that no stage trained on** and no epoch was chosen by: prime." in text
    assert "40 passages of prose" in text
    assert "| tiny_choice | acc | 8 | base → stage1 |" in text


def test_what_was_measured_is_not_measured_again_and_a_new_task_is(run: Path, tiny_model: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in run.glob("*/step.json")}
    recipe = make_recipe(run.parent, tiny_model)
    Pipeline(recipe, run, ["kft", "run"]).execute()
    assert {path: path.stat().st_mtime_ns for path in run.glob("*/step.json")} == before
    evaluation = recipe.evaluation.model_copy(update={"also_limit": 7})
    Pipeline(recipe.model_copy(update={"evaluation": evaluation}), run, ["kft", "run"]).execute()
    changed = {path.parent.name for path, time in before.items() if path.stat().st_mtime_ns != time}
    assert changed == {"elsewhere-base", "elsewhere-stage1"}


def test_points_that_measured_other_texts_are_refused(run: Path) -> None:
    path = run / "elsewhere-stage1" / "text_loss.json"
    kept = path.read_text(encoding="utf-8")
    step = run / "elsewhere-stage1" / "step.json"
    recorded = step.read_text(encoding="utf-8")
    try:
        for file in run.glob("*/step.json"):  # so that only the content is looked at
            write_json(file, {**read_json(file), "outputs": None})
        write_json(path, {**json.loads(kept), "digest": "other"})
        with pytest.raises(DataError, match="measured another text or other tasks than the base model"):
            build_report(run)
    finally:
        path.write_text(kept, encoding="utf-8")
        step.write_text(recorded, encoding="utf-8")


def test_a_type_without_test_questions_is_an_error_before_anything_is_run(tmp_path: Path, tiny_model: Path) -> None:
    recipe = make_recipe(tmp_path, tiny_model)
    questions = recipe.questions.model_copy(update={"held_out_types": ("primes",)})
    with pytest.raises(RecipeError, match="no test question is of type 'primes'. Did you mean 'prime'"):
        Pipeline(recipe.model_copy(update={"questions": questions}), tmp_path / "run", ())


def test_recipes_without_it_keep_their_digest(tmp_path: Path, tiny_model: Path) -> None:
    recipe = make_recipe(tmp_path, tiny_model, evaluation={"shots": [2]})
    values = recipe.model_dump(mode="json")
    assert not {"text", "also", "also_folder", "also_limit"} & set(values["evaluation"])
    questions = recipe.questions.model_copy(update={"held_out_types": ()})
    assert "held_out_types" not in questions.model_dump(mode="json")
    assert "elsewhere" not in {step.kind for step in Pipeline(recipe, tmp_path / "run", ()).steps}
