"""Which steps of a recipe need which others, and which is best done next.

Detections and trainings follow from one another: they are the run's longest path. Measurements and tests hang on it and
can be done beside it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from kft_cli.report.run_layout import BASE
from kft_train.recipes.plan import Step, control_of
from kft_train.recipes.recipe import Recipe

_ON_THE_PATH = ("detect", "train", "control")


def is_on_the_path(step: Step) -> bool:
    """Whether other steps may wait for this one: a detection, a training or a control."""
    return step.kind in _ON_THE_PATH


def needs_of(recipe: Recipe, steps: Sequence[Step]) -> dict[Step, frozenset[Step]]:
    """For every step, the steps whose results it reads."""
    names = [stage.name for stage in recipe.stages]
    points = [BASE, *names]
    by_name = {step.name: step for step in steps}
    trained = {step.point: step for step in steps if step.kind in ("train", "control")}
    stage_of = {control_of(recipe, stage): stage.name for stage in recipe.stages}

    def names_needed(step: Step) -> Iterable[str]:
        if step.kind == "train":
            at = names.index(step.point)
            yield from (f"detect-{point}" for point in points[max(at - 1, 0) : at + 1])
        elif step.kind == "control":
            yield stage_of[step.point]  # its number of steps, and with it everything that the stage was made from
        elif step.point != BASE:
            yield trained[step.point].name

    return {step: frozenset(by_name[name] for name in names_needed(step)) for step in steps}


def next_step(
    needs: Mapping[Step, frozenset[Step]],
    done: Collection[Step],
    started: Collection[Step],
    *,
    last_point: str | None = None,
) -> Step | None:
    """The step to start next: one that many others wait for, else one that asks the model of ``last_point``.

    Args:
        needs: of every step, in the order of the recipe.
        started: steps that have been started, the done ones included.
        last_point: the point whose model the process that asks has loaded.

    Returns:
        None if nothing can be started now.
    """
    ready = [step for step in needs if step not in started and needs[step] <= set(done)]
    return min(ready, key=lambda step: (not is_on_the_path(step), step.point != last_point), default=None)
