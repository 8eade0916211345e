from __future__ import annotations

import itertools

import pytest

from kft_cli.pipeline.order import is_on_the_path, needs_of, next_step
from kft_train.recipes.plan import Step, steps_of
from kft_train.recipes.recipe import Recipe, load_recipe


@pytest.fixture(params=["demo", "worldfacts-full", "paper-qwen2-7b"])
def recipe(request: pytest.FixtureRequest) -> Recipe:
    return load_recipe(request.param)


def names(steps: frozenset[Step]) -> set[str]:
    return {step.name for step in steps}


def test_a_step_needs_what_it_reads() -> None:
    recipe = load_recipe("worldfacts-full")
    needs = {step.name: names(needed) for step, needed in needs_of(recipe, steps_of(recipe)).items()}
    assert needs == {
        "detect-base": set(),
        "measure-base": set(),
        "test-categories": set(),
        "evaluate-base": set(),
        "stage1": {"detect-base"},
        "detect-stage1": {"stage1"},
        "measure-stage1": {"stage1"},
        "evaluate-stage1": {"stage1"},
        "stage2": {"detect-base", "detect-stage1"},
        "measure-stage2": {"stage2"},
        "evaluate-stage2": {"stage2"},
        "stage1-continued": {"stage2"},
        "measure-stage1-continued": {"stage1-continued"},
        "evaluate-stage1-continued": {"stage1-continued"},
    }


def test_the_order_of_the_recipe_respects_the_needs(recipe: Recipe) -> None:
    steps = steps_of(recipe)
    for step, needed in needs_of(recipe, steps).items():
        assert all(steps.index(one) < steps.index(step) for one in needed)


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_any_number_of_workers_ends_with_every_step_once(recipe: Recipe, workers: int) -> None:
    steps = steps_of(recipe)
    needs = needs_of(recipe, steps)
    started: list[Step] = []
    done: set[Step] = set()
    running: list[Step] = []
    for turn in itertools.count():
        for _ in range(workers - len(running)):
            step = next_step(needs, done, started)
            if step is not None:
                assert needs[step] <= done
                started.append(step)
                running.append(step)
        if running:
            done.add(running.pop(0))
        if len(done) == len(steps):
            break
        assert turn < 100
    assert sorted(map(str, started)) == sorted(map(str, steps))


def test_the_longest_path_comes_first_and_then_the_model_that_is_loaded() -> None:
    recipe = load_recipe("worldfacts-full")
    needs = needs_of(recipe, steps_of(recipe))
    by_name = {step.name: step for step in needs}
    done = {by_name["detect-base"], by_name["stage1"]}
    assert next_step(needs, done, done) == by_name["detect-stage1"]
    rest = {*done, by_name["detect-stage1"]}
    assert next_step(needs, done, rest, last_point="stage1") == by_name["measure-stage1"]
    assert next_step(needs, done, rest, last_point="base") == by_name["measure-base"]


def test_nothing_is_started_before_what_it_needs() -> None:
    recipe = load_recipe("demo")
    needs = needs_of(recipe, steps_of(recipe))
    bases = {step for step in needs if not needs[step]}
    assert next_step(needs, set(), bases) is None
    assert {is_on_the_path(step) for step in bases} == {True, False}
