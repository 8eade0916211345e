"""The steps of a recipe in order, and what each would do. No model is loaded."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from kft_tasks.question_sets.registry import SETS
from kft_train.recipes.recipe import Purpose, Recipe, StageConfig
from kft_train.recipes.sft_config import check_sft_fields, sft_values

Kind = Literal["detect", "measure", "test-categories", "evaluate", "elsewhere", "train", "control"]


@dataclass(frozen=True)
class Step:
    """One step of a run.

    Attributes:
        kind: ``detect`` finds the categories of the train split, which choose the training questions; ``measure`` finds
            them on a draw of its own; ``test-categories`` finds those of the test split; ``evaluate`` measures test
            accuracy; ``elsewhere`` measures held-out text and further tasks; ``train`` trains a stage; ``control``
            trains the stage before it further.
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


def control_stage(recipe: Recipe, stage: StageConfig) -> StageConfig:
    """What the control of a stage trains: the stage's values, on the questions of the stage before it.

    It starts from the adapter of the stage before also where the stage does not. It has no patience: one that stopped
    early would have had fewer steps than the stage. Its learning rate falls over these steps; that of a stage that
    ended early was to fall over all its epochs.

    Raises:
        ValueError: the first stage, or a recipe without controls.
    """
    name = control_of(recipe, stage)
    if name is None:
        raise ValueError(f"stage {stage.name!r} has no control")
    mixture = recipe.stages[recipe.stages.index(stage) - 1].mixture
    start = "continue" if stage.start == "new" else stage.start
    return stage.model_copy(update={"name": name, "mixture": mixture, "start": start, "patience": None})


def steps_of(recipe: Recipe) -> list[Step]:
    """All steps of a recipe, in order."""
    evaluation = recipe.evaluation
    steps = [Step("detect", "base"), *_measured(recipe, "base")]
    steps += [Step("test-categories", "base")] if evaluation.first_categories else []
    steps += _evaluated(recipe, "base")
    for stage in recipe.stages:
        steps.append(Step("train", stage.name))
        if stage is not recipe.stages[-1] or not evaluation.measurement:  # the last point chooses no questions
            steps.append(Step("detect", stage.name))
        steps += [*_measured(recipe, stage.name), *_evaluated(recipe, stage.name)]
        if control := control_of(recipe, stage):
            steps += [Step("control", control), *_measured(recipe, control), *_evaluated(recipe, control)]
    return steps


def _measured(recipe: Recipe, point: str) -> list[Step]:
    return [Step("measure", point)] if recipe.evaluation.measurement else []


def _evaluated(recipe: Recipe, point: str) -> list[Step]:
    elsewhere = [Step("elsewhere", point)] if recipe.evaluation.elsewhere else []
    return [Step("evaluate", point), *elsewhere]


@dataclass(frozen=True)
class PlannedStep:
    """A step with its named numbers. Numbers that depend on the questions or on the training are None.

    Attributes:
        name: the point.
        detail: for every kind ``max_generations_per_question`` and ``max_generations``, greedy and sampled; and
            ``differs``: by purpose, the values of its protocol that are not those of the first detection.
    """

    kind: Kind
    name: str
    detail: dict[str, Any]

    @property
    def step(self) -> Step:
        """The step."""
        return Step(self.kind, self.name)


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
            return _control(recipe, controls[step.point])
        if step.kind == "evaluate":
            return _evaluate(recipe)
        if step.kind == "elsewhere":
            return _elsewhere(recipe)
        return _detect(recipe, step)

    return Plan(recipe, tuple(PlannedStep(step.kind, step.point, detail(step)) for step in steps_of(recipe)))


def purpose_of(step: Step) -> Purpose:
    """The purpose of a step that asks questions: which of the recipe's protocols it asks under."""
    if step.kind == "measure":
        return "measurement"
    if step.kind == "evaluate":
        return "test"
    return "detection" if step.point == "base" else "redetection"


def _train(recipe: Recipe, stage: StageConfig) -> dict[str, Any]:
    check_sft_fields(stage)
    limit = _questions(recipe, "validation")
    epochs = None if stage.max_steps else stage.num_train_epochs  # how many the steps are depends on the questions
    asked = None if epochs is None else epochs + 1  # also before training
    return {
        "parts": [part.name for part in stage.mixture],
        "start": stage.start,
        "batch_size_per_process": stage.per_device_train_batch_size * stage.gradient_accumulation_steps,
        "max_epochs": epochs,
        "validation_questions": limit,
        "max_generations_per_question": asked,
        "max_generations": None if limit is None or asked is None else limit * asked,
        **({"steps": str(stage.max_steps)} if stage.max_steps else {}),
        "differs": _differs(recipe, "training", "validation"),
        "sft": sft_values(stage, recipe.seed, recipe.protocol_for("validation").scorer),
    }


def _control(recipe: Recipe, stage: StageConfig) -> dict[str, Any]:
    """As the stage, on the questions of the stage before it; how many epochs its steps are depends on their number."""
    unknown = {"max_epochs": None, "max_generations_per_question": None, "max_generations": None}
    return {**_train(recipe, control_stage(recipe, stage)), **unknown, "steps": f"as many as {stage.name} took"}


def _detect(recipe: Recipe, step: Step) -> dict[str, Any]:
    questions = _questions(recipe, "test" if step.kind == "test-categories" else "train")
    if step.kind == "measure" and (limit := recipe.questions.limit.measurement):
        questions = min(limit, questions or limit)
    purpose = purpose_of(step)
    protocol = recipe.protocol_for(purpose)
    each = protocol.exemplar_sets + protocol.sampled_total
    return {**_generations(questions, each), "differs": _differs(recipe, purpose)}


def _evaluate(recipe: Recipe) -> dict[str, Any]:
    shots = list(recipe.evaluation.shots)
    sets = recipe.protocol_for("test").exemplar_sets
    each = sum(sets if number else 1 for number in shots) + bool(recipe.evaluation.other_type and max(shots))
    generations = _generations(_questions(recipe, "test"), each)
    return {**generations, "shots": shots, "differs": _differs(recipe, "test")}


def _elsewhere(recipe: Recipe) -> dict[str, Any]:
    unknown = {"questions": None, "max_generations_per_question": None, "max_generations": None}
    evaluation = recipe.evaluation
    return {**unknown, "text": evaluation.text, "also": list(evaluation.also), "differs": {}}


def _questions(recipe: Recipe, split: Literal["train", "validation", "test"]) -> int | None:
    """Number of questions in a split, at most: its limit, or the set's published size where that is smaller."""
    questions = recipe.questions
    info = SETS.get(questions.set)
    size = info.sizes.get(split) if info and questions.path is None and not questions.options else None
    known = [number for number in (getattr(questions.limit, split), size) if number is not None]
    return min(known, default=None)


def _generations(questions: int | None, each: int) -> dict[str, Any]:
    total = None if questions is None else questions * each
    return {"questions": questions, "max_generations_per_question": each, "max_generations": total}


def _differs(recipe: Recipe, *purposes: Purpose) -> dict[str, dict[str, Any]]:
    """By purpose, the values in which its protocol differs from that of the first detection."""
    first = dataclasses.asdict(recipe.protocol_object())
    found = {}
    for purpose in purposes:
        own = dataclasses.asdict(recipe.protocol_for(purpose))
        found[purpose] = {key: value for key, value in own.items() if value != first[key]}
    return {purpose: values for purpose, values in found.items() if values}
