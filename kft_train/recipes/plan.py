"""The steps of a recipe in order, and what each would do. No model is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from kft_train.recipes.recipe import Recipe, StageConfig
from kft_train.recipes.sft_config import check_sft_fields, sft_values

Kind = Literal["detect", "retest", "test-categories", "evaluate", "train"]


@dataclass(frozen=True)
class Step:
    """One step of a run.

    Attributes:
        kind: ``detect`` finds the categories of the train split; ``retest`` repeats that with another seed;
            ``test-categories`` finds those of the test split; ``evaluate`` measures test accuracy; ``train`` trains a
            stage.
        point: ``base``, or the stage whose adapter is asked, trained or evaluated.
    """

    kind: Kind
    point: str

    @property
    def name(self) -> str:
        """Name of its folder in a run."""
        if self.kind == "train":
            return self.point
        return self.kind if self.kind == "test-categories" else f"{self.kind}-{self.point}"


def steps_of(recipe: Recipe) -> list[Step]:
    """All steps of a recipe, in order."""
    evaluation = recipe.evaluation
    steps = [Step("detect", "base")]
    steps += [Step("retest", "base")] if evaluation.retest else []
    steps += [Step("test-categories", "base")] if evaluation.first_categories else []
    steps += [Step("evaluate", "base")]
    for stage in recipe.stages:
        steps += [Step("train", stage.name), Step("detect", stage.name), Step("evaluate", stage.name)]
    return steps


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

    def detail(step: Step) -> dict[str, Any]:
        if step.kind == "train":
            return _train(recipe, stages[step.point])
        if step.kind == "evaluate":
            return _evaluate(recipe)
        limits = recipe.questions.limit
        return _detect(recipe, limits.test if step.kind == "test-categories" else limits.train)

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


def _detect(recipe: Recipe, limit: int | None) -> dict[str, Any]:
    protocol = recipe.protocol_object()
    each = protocol.exemplar_sets + protocol.sampled_total
    total = None if limit is None else limit * each
    return {"questions": limit, "max_generations_per_question": each, "max_generations": total}


def _evaluate(recipe: Recipe) -> dict[str, Any]:
    limit, shots = recipe.questions.limit.test, list(recipe.evaluation.shots)
    total = None if limit is None else limit * len(shots)
    return {"questions": limit, "shots": shots, "max_generations": total}
