"""What a recipe would do, worked out without loading a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from kft_train.recipe import Recipe
from kft_train.settings import check_sft_fields, sft_values


@dataclass(frozen=True)
class PlannedStep:
    """One step of a run.

    Attributes:
        kind: what is done.
        name: ``base``, or the stage whose adapter is detected, trained or evaluated.
        detail: its numbers, by name.
    """

    kind: Literal["detect", "train", "evaluate"]
    name: str
    detail: dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """All steps of a recipe, in order."""

    recipe: Recipe
    steps: tuple[PlannedStep, ...]


def dry_run(recipe: Recipe) -> Plan:
    """Resolve a recipe without its model or its questions.

    Raises:
        RecipeError: an ``sft`` field that TRL does not have (TRL is imported only where a stage has ``sft`` fields).
    """
    limit = recipe.questions.limit
    steps = [_detect(recipe, "base", limit.train)]
    steps += [_detect(recipe, "base, other seed", limit.train)] if recipe.evaluation.retest else []
    steps += [_detect(recipe, "base, test questions", limit.test)] if recipe.evaluation.first_categories else []
    steps += [_evaluate(recipe, "base")]
    for stage in recipe.stages:
        check_sft_fields(stage)
        batch = stage.per_device_train_batch_size * stage.gradient_accumulation_steps
        detail = {
            "parts": [part.name for part in stage.mixture],
            "start": stage.start,
            "batch_size_per_process": batch,
            "epochs_at_most": stage.num_train_epochs,
            "validation_questions": recipe.questions.limit.validation,
            "sft": sft_values(stage, recipe.seed, recipe.protocol_object().scorer),
        }
        steps += [PlannedStep("train", stage.name, detail)]
        steps += [_detect(recipe, stage.name, limit.train), _evaluate(recipe, stage.name)]
    return Plan(recipe, tuple(steps))


def _detect(recipe: Recipe, name: str, limit: int | None) -> PlannedStep:
    protocol = recipe.protocol_object()
    each = protocol.exemplar_sets + protocol.sampled_total
    most = None if limit is None else limit * each
    return PlannedStep(
        "detect", name, {"questions": limit, "generations_a_question_at_most": each, "generations_at_most": most}
    )


def _evaluate(recipe: Recipe, name: str) -> PlannedStep:
    limit, shots = recipe.questions.limit.test, list(recipe.evaluation.shots)
    return PlannedStep(
        "evaluate",
        name,
        {"questions": limit, "shots": shots, "generations_at_most": None if limit is None else limit * len(shots)},
    )
