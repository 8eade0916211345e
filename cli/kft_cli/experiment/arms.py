"""From an arm, which says how it differs, to the values of its recipe."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field

from kft_tasks.errors import suggest
from kft_tasks.records import Record
from kft_train.errors import RecipeError
from kft_train.recipes.recipe import Name
from kft_train.recipes.strict_yaml import set_value

Tree = dict[str, Any]


class LikeStage(Record):
    """A stage of an arm that differs from one of the recipe.

    Attributes:
        name: its own.
        like: the stage of the recipe that it has its values from.
        set: values that differ, by dotted key.
        as_many_steps_as: stages of the recipe whose ``max_steps`` together are its own.
    """

    name: Name
    like: Name
    set: dict[str, Any] = Field(default_factory=dict)
    as_many_steps_as: list[Name] = Field(default_factory=list)


class Arm(Record):
    """How an arm differs from the recipe of the experiment.

    Attributes:
        description: one line.
        like: a packaged arm to start from.
        stages: names of the recipe's stages, or stages that differ from one of them; all of the recipe where it is not
            given, none for no training.
        set: values of the recipe that differ, by dotted key; stages are numbered as in ``stages``.
    """

    description: Annotated[str, Field(max_length=400)] = ""
    like: Name | None = None
    stages: list[Name | LikeStage] | None = None
    set: dict[str, Any] = Field(default_factory=dict)


def resolve_likes(arms: Mapping[str, Arm | None], packaged: Mapping[str, Arm], where: str) -> dict[str, Arm]:
    """Every arm in full: one without values is the packaged arm of its name.

    Raises:
        RecipeError: there is no such packaged arm.
    """
    return {name: _resolve(arm or Arm(like=name), packaged, f"{where}: arms.{name}") for name, arm in arms.items()}


def _resolve(arm: Arm, packaged: Mapping[str, Arm], where: str) -> Arm:
    if arm.like is None:
        return arm
    if arm.like not in packaged:
        raise RecipeError(f"{where}: no packaged arm {arm.like!r}. {suggest(arm.like, packaged)}")
    base = packaged[arm.like]
    return Arm(
        description=arm.description or base.description,
        stages=base.stages if arm.stages is None else arm.stages,
        set={**base.set, **arm.set},
    )


def arm_tree(recipe: Mapping[str, Any], name: str, arm: Arm, seed: int, where: str) -> Tree:
    """The values of the recipe of an arm under a seed, not checked yet.

    Args:
        recipe: values of the experiment's recipe; they are left as they are.
        where: file, for messages.

    Raises:
        RecipeError: a stage or a key that is not there.
    """
    tree = copy.deepcopy(dict(recipe))
    where = f"{where}: arms.{name}"
    if arm.stages is not None:
        tree["stages"] = _stages(tree.get("stages"), arm.stages, where)
    for key, value in arm.set.items():
        set_value(tree, key, copy.deepcopy(value), f"{where}.set")
    return {**tree, "name": name, "description": arm.description, "seed": seed}


def _stages(known: Any, wanted: Sequence[str | LikeStage], where: str) -> list[Any]:
    by_name = {str(stage["name"]): stage for stage in known or [] if isinstance(stage, dict) and "name" in stage}

    def get(name: str) -> Tree:
        if name not in by_name:
            raise RecipeError(f"{where}.stages: the recipe has no stage {name!r}. {suggest(name, by_name)}")
        return copy.deepcopy(by_name[name])

    def make(stage: LikeStage) -> Tree:
        values = get(stage.like)
        steps = [get(name).get("max_steps") for name in stage.as_many_steps_as]
        if steps:
            if not all(type(number) is int for number in steps):
                raise RecipeError(
                    f"{where}.stages: as_many_steps_as needs stages of a given number of steps. "
                    "Give each of them max_steps in the experiment's `set`."
                )
            values["max_steps"] = sum(steps)
        values["name"] = stage.name
        for key, value in stage.set.items():
            set_value(values, key, copy.deepcopy(value), f"{where}.stages.{stage.name}.set")
        return values

    return [get(stage) if isinstance(stage, str) else make(stage) for stage in wanted]
