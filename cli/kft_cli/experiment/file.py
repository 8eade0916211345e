"""The file of an experiment: a recipe, arms that differ from it, seeds, and hypotheses."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, model_validator
from typing_extensions import Self

from kft_cli.experiment.arms import Arm, arm_tree, resolve_likes
from kft_cli.experiment.hypothesis import Hypothesis
from kft_tasks import limits
from kft_tasks.errors import DataError, suggest
from kft_tasks.files import home_path, read_text
from kft_tasks.records import Record, first_problem
from kft_train.errors import RecipeError
from kft_train.recipes.recipe import Name, Recipe, parse_recipe, read_recipe_tree
from kft_train.recipes.strict_yaml import dump_yaml, parse_yaml, set_value

Seed = Annotated[int, Field(ge=0, lt=1 << 32)]

_ARMS = "arms"
"""The packaged file that holds no experiment, but arms for all of them."""


class ExperimentFile(Record):
    """What is compared, on which seeds, and what is expected.

    Attributes:
        recipe: name of a packaged recipe, or a path, relative to this file.
        set: values of the recipe that differ in all arms, by dotted key.
        arms: by name; one without values is the packaged arm of that name.
        seeds: of the recipe: data order, initialisation, exemplars and samples follow from it.
        hypotheses: written before the first run.
    """

    name: Name
    description: Annotated[str, Field(max_length=1000)] = ""
    recipe: Annotated[str, Field(min_length=1)]
    set: dict[str, Any] = Field(default_factory=dict)
    arms: Annotated[dict[Name, Arm | None], Field(min_length=1)]
    seeds: Annotated[list[Seed], Field(min_length=1, max_length=1000)]
    hypotheses: list[Hypothesis] = Field(default_factory=list)

    @model_validator(mode="after")
    def _check(self) -> Self:
        for what, names in (("seed", self.seeds), ("hypothesis", [one.name for one in self.hypotheses])):
            for index, name in enumerate(names):
                if name in names[:index]:
                    raise ValueError(f"{what} {name!r} is duplicated; make each unique")
        for one in self.hypotheses:
            others = [one.arm, *([one.against.arm] if one.against and one.against.arm else [])]
            for arm in others:
                if arm not in self.arms:
                    raise ValueError(f"hypothesis {one.name!r}: no arm {arm!r}. {suggest(arm, self.arms)}")
        return self


@dataclass(frozen=True)
class Experiment:
    """An experiment whose arms are recipes.

    Attributes:
        file: with every arm in full.
        tree: values of the recipe, those of the file's ``set`` included.
        where: the file it was read from.
    """

    file: ExperimentFile
    tree: Mapping[str, Any]
    where: Path

    @property
    def arms(self) -> dict[str, Arm]:
        """The arms by name, in full."""
        return {name: arm for name, arm in self.file.arms.items() if arm is not None}

    def recipes(self) -> dict[tuple[str, int], Recipe]:
        """The recipe of every arm and seed: all arms of the first seed, then those of the next.

        Raises:
            RecipeError: one does not resolve.
        """
        return {
            (name, seed): parse_recipe(
                arm_tree(self.tree, name, arm, seed, str(self.where)), f"{self.where}: arms.{name}"
            )
            for seed in self.file.seeds
            for name, arm in self.arms.items()
        }

    def to_yaml(self) -> str:
        """The file with every arm in full; relative to nothing."""
        values = self.file.model_dump(mode="json", exclude_defaults=True)
        return dump_yaml({**values, "set": dict(self.file.set)} if self.file.set else values)


def list_experiments() -> dict[str, str]:
    """The packaged experiments with their descriptions, by name."""
    return {
        name: str(parse_yaml(read_text(path, limits.MAX_YAML_BYTES), path.name).get("description", ""))
        for name, path in sorted(_packaged().items())
    }


def load_experiment(name_or_path: str) -> Experiment:
    """Load a packaged experiment by name, or an experiment's file by path.

    Raises:
        RecipeError: it cannot be found or read, or a value is wrong; file and key are named.
    """
    path = _find(name_or_path)
    try:
        values = parse_yaml(read_text(path, limits.MAX_YAML_BYTES), str(path))
    except DataError as error:
        raise RecipeError(str(error)) from error
    if not isinstance(values, dict):
        raise RecipeError(f"{path}: not an experiment. Write name, recipe, arms and seeds.")
    file = _parse(ExperimentFile, values, path)
    tree, origin = read_recipe_tree(file.recipe, path.parent)
    tree = copy.deepcopy(tree)
    for key, value in file.set.items():
        set_value(tree, key, copy.deepcopy(value), f"{path}: set")
    arms = resolve_likes(file.arms, packaged_arms(), str(path))
    packaged = origin.parent == Path(str(resources.files("kft_train"))) / "recipes"
    recipe = file.recipe if packaged else os.fspath(origin.absolute())
    full = file.model_copy(update={"arms": arms, "recipe": recipe})
    experiment = Experiment(full, tree, path)
    experiment.recipes()
    return experiment


def read_experiment_file(path: Path) -> ExperimentFile:
    """The file of an experiment alone, as its folder holds it; the recipe that it names is not read.

    Raises:
        RecipeError: it cannot be read, or a value is wrong.
    """
    try:
        values = parse_yaml(read_text(path, limits.MAX_YAML_BYTES), str(path))
    except DataError as error:
        raise RecipeError(str(error)) from error
    file: ExperimentFile = _parse(ExperimentFile, values, path)
    return file


class _ArmsFile(Record):
    """The packaged arms."""

    arms: dict[Name, Arm]


def packaged_arms() -> dict[str, Arm]:
    """The arms that come with kft, by name."""
    path = _folder() / f"{_ARMS}.yaml"
    arms = _parse(_ArmsFile, parse_yaml(read_text(path, limits.MAX_YAML_BYTES), str(path)), path).arms
    return resolve_likes(arms, arms, str(path))


def _parse(model: Any, values: Any, path: Path) -> Any:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise RecipeError(f"{path}: not a sound experiment ({first_problem(error)}). Correct the file.") from error


def _folder() -> Path:
    return Path(str(resources.files("kft_cli") / "experiment" / "experiments"))


def _packaged() -> dict[str, Path]:
    return {path.stem: path for path in _folder().glob("*.yaml") if path.stem != _ARMS}


def _find(name_or_path: str) -> Path:
    known = _packaged()
    if name_or_path in known:
        return known[name_or_path]
    path = home_path(name_or_path, "experiment")
    if path.exists():
        return path
    if path.suffix in (".yaml", ".yml") or "/" in name_or_path:
        raise RecipeError(
            f"{path}: no such file of an experiment. Check the path, or use a packaged one: {', '.join(sorted(known))}."
        )
    raise RecipeError(
        f"Unknown experiment {name_or_path!r}. {suggest(name_or_path, known)} Or give the path of a file."
    )
