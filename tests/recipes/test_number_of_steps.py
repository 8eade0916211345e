"""Stages of a given number of optimiser steps, and recipes without stages."""

from __future__ import annotations

import pytest

from kft_cli.report.sections import overview
from kft_train.errors import RecipeError
from kft_train.recipes.plan import dry_run, steps_of
from kft_train.recipes.recipe import load_recipe, parse_recipe


def test_a_stage_may_take_a_number_of_steps_over_any_number_of_epochs() -> None:
    recipe = load_recipe("demo", ["stages.0.max_steps=30"])
    first, second = (step.detail for step in dry_run(recipe).steps if step.kind == "train")
    assert (first["steps"], first["max_epochs"], first["max_generations"]) == ("30", None, None)
    assert "steps" not in second
    assert second["max_epochs"] == 3
    assert "30 optimiser steps" in overview._training(recipe.stages[0].model_dump(mode="json"))
    assert "up to 3 epochs" in overview._training(recipe.stages[1].model_dump(mode="json"))


def test_recipes_that_do_not_say_how_many_steps_keep_their_digest() -> None:
    recipe = load_recipe("demo")
    assert "max_steps" not in recipe.to_yaml()
    assert parse_recipe(recipe.model_dump(mode="json"), "x") == recipe
    assert load_recipe("demo", ["stages.0.max_steps=null"]).digest() == recipe.digest()
    assert load_recipe("demo", ["stages.0.max_steps=30"]).digest() != recipe.digest()


@pytest.mark.parametrize("value", ["0", "-1", "2.5"])
def test_a_wrong_number_of_steps_is_refused(value: str) -> None:
    with pytest.raises(RecipeError, match=r"stages\.0\.max_steps"):
        load_recipe("demo", [f"stages.0.max_steps={value}"])


def test_without_stages_the_base_model_is_measured() -> None:
    recipe = load_recipe("demo", ["stages=[]"])
    assert {step.point for step in steps_of(recipe)} == {"base"}
    assert [step.name for step in dry_run(recipe).steps] == ["base"] * len(steps_of(recipe))
    assert parse_recipe(recipe.model_dump(mode="json"), "x") == recipe
