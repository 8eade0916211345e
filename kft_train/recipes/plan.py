"""The steps of a recipe in order, and what each would do. No model is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from kft_train.recipes.recipe import Purpose, Recipe, StageConfig
from kft_train.recipes.sft_config import check_sft_fields, sft_values

Kind = Literal["detect", "measure", "test-categories", "evaluate", "train", "control"]


@dataclass(frozen=True)
class Step:
    """One step of a run.

    Attributes:
        kind: ``detect`` finds the categories of the train split, which choose the training questions; ``measure`` finds
            them on a draw of its own; ``test-categories`` finds those of the test split; ``evaluate`` measures test
            accuracy; ``train`` trains a stage; ``control`` trains the stage before it further.
        point: ``base``, or the stage or control whose adapter is asked, trained or evaluated.
    """

    kind: Kind
    point: str

    @property
    def name(self) -> str:
        """Name of its folder in a run."""
        if self.kind in ("train", "control"):
            return self.point
        return self.kind if self.kind == "test-categories" else f"{self.kind}-{self.point}"


def control_of(recipe: Recipe, stage: StageConfig) -> str | None:
    """The point of a stage's control: the stage before it, continued. None for the first stage or without controls."""
    index = recipe.stages.index(stage)
    return f"{recipe.stages[index - 1].name}-continued" if recipe.evaluation.control and index else None


def steps_of(recipe: Recipe) -> list[Step]:
    """All steps of a recipe, in order."""
    evaluation = recipe.evaluation
    steps = [Step("detect", "base"), *_measured(recipe, "base")]
    steps += [Step("test-categories", "base")] if evaluation.first_categories else []
    steps += [Step("evaluate", "base")]
    for stage in recipe.stages:
        steps.append(Step("train", stage.name))
        if stage is not recipe.stages[-1] or not evaluation.measurement:  # the last point chooses no questions
            steps.append(Step("detect", stage.name))
        steps += [*_measured(recipe, stage.name), Step("evaluate", stage.name)]
        if control := control_of(recipe, stage):
            steps += [Step("control", control), *_measured(recipe, control), Step("evaluate", control)]
    return steps


def _measured(recipe: Recipe, point: str) -> list[Step]:
    return [Step("measure", point)] if recipe.evaluation.measurement else []


@dataclass(frozen=True)
class PlannedStep:
    """A step with its named numbers."""

    kind: Kind
    name: str
    detail: dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """All steps of a recipe, in order."""

    recipe: Recipe
    steps: tuple[PlannedStep, ...]


def dry_run(recipe: Recipe) -> Plan:
    """Resolve a recipe without its model or questions.

    Raises:
        RecipeError: an ``sft`` field that TRL does not have (TRL is imported only if a stage has ``sft`` fields).
    """
    stages = {stage.name: stage for stage in recipe.stages}
    controls = {control_of(recipe, stage): stage for stage in recipe.stages[1:]}

    def detail(step: Step) -> dict[str, Any]:
        if step.kind == "train":
            return _train(recipe, stages[step.point])
        if step.kind == "control":
            return {**_train(recipe, controls[step.point]), "parts": ["those of the stage before"]}
        if step.kind == "evaluate":
            return _evaluate(recipe)
        return _detect(recipe, step)

    return Plan(recipe, tuple(PlannedStep(step.kind, step.point, detail(step)) for step in steps_of(recipe)))


def _train(recipe: Recipe, stage: StageConfig) -> dict[str, Any]:
    check_sft_fields(stage)
    return {
        "parts": [part.name for part in stage.mixture],
        "start": stage.start,
        "batch_size_per_process": stage.per_device_train_batch_size * stage.gradient_accumulation_steps,
        "max_epochs": stage.num_train_epochs,
        "validation_questions": recipe.questions.limit.validation,
        "sft": sft_values(stage, recipe.seed, recipe.protocol_object().scorer),
    }


def _detect(recipe: Recipe, step: Step) -> dict[str, Any]:
    limits = recipe.questions.limit
    purpose: Purpose = "detection" if step.point == "base" else "redetection"
    limit = limits.train
    if step.kind == "test-categories":
        limit = limits.test
    elif step.kind == "measure":
        purpose, limit = "measurement", limits.measurement or limits.train
    protocol = recipe.protocol_for(purpose)
    each = protocol.exemplar_sets + protocol.sampled_total
    total = None if limit is None else limit * each
    return {"questions": limit, "max_generations_per_question": each, "max_generations": total}


def _evaluate(recipe: Recipe) -> dict[str, Any]:
    limit, shots = recipe.questions.limit.test, list(recipe.evaluation.shots)
    sets = recipe.protocol_for("test").exemplar_sets
    each = sum(sets if number else 1 for number in shots) + bool(recipe.evaluation.other_type and max(shots))
    total = None if limit is None else limit * each
    return {"questions": limit, "shots": shots, "max_generations_per_question": each, "max_generations": total}
