"""The steps of a recipe, and what each would ask."""

from __future__ import annotations

from typing import Any

import pytest

from kft_train.recipes.plan import Step, control_of, control_stage, dry_run, purpose_of, steps_of
from kft_train.recipes.recipe import Recipe, list_recipes, load_recipe, parse_recipe

STAGE: dict[str, Any] = {"mixture": [{"name": "all"}]}


def recipe(count: int = 2, **changes: Any) -> Recipe:
    """A recipe of so many stages."""
    tree = {
        "name": "mine",
        "model": {"id": "somewhere"},
        "questions": {"set": "questions", "limit": {"train": 100, "validation": 10, "test": 20}},
        "protocol": {"exemplar_sets": 4, "samples": 8},
        "stages": [{"name": f"s{number}", **STAGE} for number in range(1, count + 1)],
    }
    return parse_recipe({**tree, **changes}, "mine.yaml")


def names(recipe: Recipe) -> list[str]:
    return [step.name for step in steps_of(recipe)]


def details(recipe: Recipe) -> dict[str, dict[str, Any]]:
    steps = zip(steps_of(recipe), dry_run(recipe).steps, strict=True)
    return {step.name: planned.detail for step, planned in steps}


def test_the_last_point_is_measured_and_chooses_nothing() -> None:
    assert names(recipe()) == [
        *("detect-base", "measure-base", "test-categories", "evaluate-base"),
        *("s1", "detect-s1", "measure-s1", "evaluate-s1"),
        *("s2", "measure-s2", "evaluate-s2"),
    ]


def test_without_measurement_every_point_is_detected() -> None:
    mine = recipe(evaluation={"measurement": False, "first_categories": False})
    assert names(mine) == [
        *("detect-base", "evaluate-base", "s1", "detect-s1", "evaluate-s1"),
        *("s2", "detect-s2", "evaluate-s2"),
    ]


def test_a_control_follows_every_stage_but_the_first() -> None:
    mine = recipe(3, evaluation={"control": True, "first_categories": False})
    assert [control_of(mine, stage) for stage in mine.stages] == [None, "s1-continued", "s2-continued"]
    found = names(mine)
    assert found[found.index("evaluate-s2") + 1 :] == [
        *("s1-continued", "measure-s1-continued", "evaluate-s1-continued"),
        *("s3", "measure-s3", "evaluate-s3"),
        *("s2-continued", "measure-s2-continued", "evaluate-s2-continued"),
    ]


def test_a_control_trains_as_the_stage_on_the_questions_of_the_stage_before() -> None:
    stages = [
        {"name": "s1", "mixture": [{"name": "first"}], "learning_rate": 1e-3},
        {"name": "s2", "mixture": [{"name": "second"}], "learning_rate": 1e-5, "start": "new", "patience": 1},
    ]
    mine = recipe(stages=stages, evaluation={"control": True})
    control = control_stage(mine, mine.stages[1])
    assert (control.name, control.learning_rate) == ("s1-continued", 1e-5)
    assert control.mixture == mine.stages[0].mixture
    assert control.patience is None  # it trains as many steps as the stage
    assert control.start == "continue"
    with pytest.raises(ValueError, match="'s1' has no control"):
        control_stage(mine, mine.stages[0])
    merged = mine.stages[1].model_copy(update={"start": "merged"})
    other = mine.model_copy(update={"stages": (mine.stages[0], merged)})
    assert control_stage(other, merged).start == "merged"


@pytest.mark.parametrize(
    ("step", "purpose"),
    [
        (Step("detect", "base"), "detection"),
        (Step("test-categories", "base"), "detection"),
        (Step("detect", "s1"), "redetection"),
        (Step("measure", "base"), "measurement"),
        (Step("measure", "s1"), "measurement"),
        (Step("evaluate", "base"), "test"),
        (Step("evaluate", "s1"), "test"),
    ],
)
def test_every_step_that_asks_has_a_purpose(step: Step, purpose: str) -> None:
    assert purpose_of(step) == purpose


def test_answers_are_counted_by_the_protocol_of_each_step() -> None:
    mine = recipe(protocols={"redetection": {"samples": 0}, "test": {"exemplar_sets": 2}})
    counts = {
        name: (detail["max_generations_per_question"], detail["max_generations"])
        for name, detail in details(mine).items()
    }
    assert counts["detect-base"] == (4 + 4 * 8, 3600)
    assert counts["measure-base"] == (4, 400)
    assert counts["test-categories"] == (36, 720)
    assert counts["evaluate-base"] == (2 + 1 + 1, 80)  # two sets, once without exemplars, once of another type
    assert counts["s1"] == (6, 60)  # before training and after each of 5 epochs
    assert counts["detect-s1"] == (4, 400)


def test_a_part_of_the_questions_can_be_measured() -> None:
    for limit, expected in ((30, 30), (1000, 100)):
        limits = {"train": 100, "validation": 10, "test": 20, "measurement": limit}
        mine = recipe(questions={"set": "questions", "limit": limits})
        assert details(mine)["measure-base"]["questions"] == expected
        assert details(mine)["detect-base"]["questions"] == 100


def test_published_sizes_stand_for_limits_unless_the_questions_are_others() -> None:
    full = details(load_recipe("worldfacts-full"))
    assert full["detect-base"]["questions"] == 1411
    assert full["evaluate-stage2"]["questions"] == 824
    assert full["stage1"]["validation_questions"] == 391
    limited = details(load_recipe("worldfacts-full", ["questions.limit.train=5000"]))
    assert limited["detect-base"]["questions"] == 1411
    own = details(load_recipe("worldfacts-full", ["questions.path=own.jsonl"]))
    assert own["detect-base"]["questions"] is None
    assert own["detect-base"]["max_generations"] is None


def test_differences_from_the_first_protocol_are_named_by_purpose() -> None:
    protocols = {"redetection": {"samples": 0}, "training": {"chat": True}, "validation": {"scorer": "exact_match"}}
    found = {
        name: detail["differs"]
        for name, detail in details(recipe(protocols=protocols, evaluation={"control": True})).items()
    }
    assert found["detect-base"] == found["test-categories"] == {}
    assert found["detect-s1"] == {"redetection": {"samples": 0}}
    assert found["measure-s2"] == {"measurement": {"samples": 0, "seed": 10_000}}
    trained = {"training": {"chat": True}, "validation": {"scorer": "exact_match"}}
    assert found["s1"] == found["s2"] == found["s1-continued"] == trained
    assert found["evaluate-s2"] == {"test": {"seed": 10_000}}


def test_the_epoch_is_chosen_by_the_scorer_of_validation() -> None:
    mine = details(recipe(protocols={"validation": {"scorer": "exact_match"}}))
    assert mine["s1"]["sft"]["metric_for_best_model"] == "eval_exact_match"


def test_packaged_recipes_measure_every_point_and_only_the_full_one_has_a_control() -> None:
    for info in list_recipes():
        mine = load_recipe(info.name)
        points = ["base", *(stage.name for stage in mine.stages)]
        assert {f"measure-{point}" for point in points} <= set(names(mine)), info.name
        assert mine.evaluation.control is (info.name == "worldfacts-full")
        assert mine.protocol_for("redetection").samples == 0
