from __future__ import annotations

import re
from pathlib import Path

import pytest

from kft_cli.report.run_layout import RETEST, RunLayout
from kft_train.recipes.plan import steps_of
from report_helpers import make_recipe, small_run

README = Path(__file__).resolve().parents[2] / "cli" / "README.md"


def test_the_layout_names_the_files_that_a_run_has(tmp_path: Path) -> None:
    layout = RunLayout(small_run(tmp_path / "run"))
    paths = [layout.recipe, layout.about, layout.retest, layout.test_categories, layout.step_record(RETEST)]
    paths += [layout.detection("stage1"), layout.answers("base"), layout.mixture("stage2"), layout.training("stage1")]
    assert [layout.name_of(path) for path in paths if path.is_file()] == [
        "recipe.yaml",
        "run.json",
        "retest-base/categories.jsonl",
        "test-categories/categories.jsonl",
        "retest-base/step.json",
        "detect-stage1/categories.jsonl",
        "evaluate-base/answers.jsonl",
        "stage2/mixture.jsonl",
        "stage1/training.json",
    ]
    assert layout.name_of(layout.adapter("stage1")) == "stage1/adapter"
    assert layout.name_of(layout.report) == "report"
    assert layout.name_of(layout.partial("stage1")) == ".stage1.partial"


def test_every_step_of_a_recipe_has_its_folder_in_the_layout(tmp_path: Path) -> None:
    recipe = make_recipe(evaluation={"shots": [0], "measurement": True, "first_categories": True, "control": True})
    layout = RunLayout(tmp_path)
    points = ["base", *(stage.name for stage in recipe.stages)]
    asked = [*points, "stage1-continued"]
    named = {layout.test_categories.parent} | {layout.detection(point).parent for point in points[:-1]}
    named |= {layout.measurement(point).parent for point in asked} | {layout.answers(point).parent for point in asked}
    named |= {layout.training(point).parent for point in asked[1:]}
    assert {layout.step(step.name) for step in steps_of(recipe)} == named


@pytest.mark.parametrize("folder", ["display", "stats", "report", "comparison"])
def test_the_map_of_the_cli_names_modules_that_exist(folder: str) -> None:
    named = re.findall(rf"`({folder}/[\w/]*(?:\.py)?)`", README.read_text(encoding="utf-8"))
    assert named
    assert [name for name in named if not (README.parent / "kft_cli" / name).exists()] == []
