"""From category files and a recipe to the request for a training stage."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kft_cli.pipeline.asking import check_chat_templates, with_scorer
from kft_tasks.categories.category_file import CategoryFile
from kft_tasks.detection.target import select
from kft_tasks.errors import suggest
from kft_tasks.models.choice import default_device
from kft_tasks.models.locate import model_folder
from kft_tasks.models.weights import identify, resolve_dtype
from kft_tasks.protocol.exemplars import ExemplarPool
from kft_tasks.question_sets.registry import open_set
from kft_tasks.questions import Question, QuestionSet
from kft_train.data.mixture import build_mixture, check_model
from kft_train.data.rows import ValidationPrompt
from kft_train.errors import RecipeError
from kft_train.recipes.recipe import Recipe, StageConfig
from kft_train.stage.request import StageRequest


def validation_prompts(
    recipe: Recipe, exemplars: ExemplarPool, questions: Sequence[Question]
) -> tuple[ValidationPrompt, ...]:
    """Validation questions, with as many exemplars as the test's longest prompts: the first of the detection's draw."""
    shots = recipe.evaluation.validation_shots
    return tuple(
        ValidationPrompt(question, exemplars.sets_for(question)[0][:shots] if shots else ()) for question in questions
    )


def validation_questions(recipe: Recipe, source: QuestionSet) -> list[Question]:
    """The questions that epochs are chosen by: none of a held-out type."""
    chosen = select(lambda: source.split("validation"), recipe.questions.limit.validation)()
    return [question for question in chosen if question.type not in recipe.questions.held_out_types]


def check_held_out_types(recipe: Recipe, test: Sequence[Question]) -> None:
    """Check that every held-out type has test questions, without which it would be held out for nothing.

    Raises:
        RecipeError: one has none.
    """
    types = {question.type for question in test}
    for name in recipe.questions.held_out_types:
        if name not in types:
            raise RecipeError(f"questions.held_out_types: no test question is of type {name!r}. {suggest(name, types)}")


def stage_request(
    recipe: Recipe,
    stage: StageConfig,
    *,
    now: Path,
    before: Path | None,
    previous: Path | None,
    work: Path,
    output: Path,
    any_model: bool = False,
    max_steps: int | None = None,
) -> StageRequest:
    """Choose the mixture and build the request.

    Args:
        now: category file of the latest detection.
        before: category file of the detection before that; None in the first stage.
        previous: adapter folder of the last stage.
        any_model: accept category files made for another model.
        max_steps: optimiser steps after which training ends; None leaves that to the stage's values.

    Raises:
        DataError: a category file is broken or was made for another model, the mixture is empty, or the model's chat
            template cannot make the training text or the validation prompts.
    """
    questions = recipe.questions
    source = open_set(questions.set, questions.path, questions.options)
    recipe = with_scorer(recipe, source)
    asking = recipe.protocol_for("validation")
    folder = model_folder(recipe.model.id, recipe.model.revision)
    check_chat_templates(recipe, folder, ("training", "validation"))
    dtype = resolve_dtype(recipe.model.dtype, default_device())
    current = CategoryFile(now)
    check_model(current.header, identify(recipe.model.id, folder, dtype, previous), any_model)
    earlier = None
    if before is not None:
        file = CategoryFile(before)
        if not any_model and file.header.model.weights != current.header.model.weights:
            check_model(file.header, identify(recipe.model.id, folder, dtype))
        earlier = {item.question.id: item.category for item in file}
    exemplars = ExemplarPool(source.split("exemplars"), asking, questions.set)
    validation = validation_questions(recipe, source)
    trainable = [item for item in current if item.question.type not in questions.held_out_types]
    return StageRequest(
        stage=stage,
        adapter=recipe.adapter,
        protocol=recipe.protocol_for("training"),
        asking=asking,
        seed=recipe.seed,
        model=str(folder),
        mixture=build_mixture(stage.mixture, trainable, earlier, recipe.seed),
        validation=validation_prompts(recipe, exemplars, validation),
        work=work,
        output=output,
        previous=previous,
        weights=identify(recipe.model.id, folder, dtype).weights,
        max_steps=max_steps or stage.max_steps,
    )
