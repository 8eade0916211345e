"""A model ready to be asked under a protocol, and whether it can be asked as a recipe says."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from kft_cli.display.console import narrate
from kft_tasks.answering.answerer import Answerer
from kft_tasks.errors import DataError
from kft_tasks.models.choice import ModelChoice
from kft_tasks.models.loading import LoadedModel, load_model
from kft_tasks.protocol.exemplars import ExemplarPool
from kft_tasks.protocol.prompt_maker import PromptMaker
from kft_tasks.protocol.prompts import chat_messages
from kft_tasks.protocol.protocol import Protocol
from kft_tasks.questions import QuestionSet
from kft_train.recipes.recipe import PURPOSES, Purpose, Recipe


def open_model(choice: ModelChoice, protocol: Protocol, pool: ExemplarPool) -> tuple[Answerer, PromptMaker]:
    """Load a model; return who answers under the protocol, and who writes the prompts.

    Raises:
        UsageError: values that do not go together.
        UnavailableError: the model is not here and cannot be fetched, or does not load.
    """
    return ready(load_model(choice), protocol, pool)


def ready(model: LoadedModel, protocol: Protocol, pool: ExemplarPool) -> tuple[Answerer, PromptMaker]:
    """Prepare a loaded model; with ``protocol.chat`` its prompts go through the model's chat template."""
    render = model.lm.apply_chat_template if protocol.chat else None
    return model.answerer(protocol), PromptMaker(protocol, pool, render)


def with_scorer(recipe: Recipe, source: QuestionSet) -> Recipe:
    """The recipe with a named scorer; says so where the question set decides which."""
    named = recipe.with_scorer_of(source)
    if named.protocol["scorer"] != recipe.protocol_object().scorer:
        narrate(
            f"Scorer: {named.protocol['scorer']}, because the accepted answers of {source.name} are whole sentences "
            f"here (protocol.scorer={recipe.protocol_object().scorer} in the recipe for the usual rule)."
        )
    return named


def check_chat_templates(recipe: Recipe, model: Path, purposes: Iterable[Purpose] = PURPOSES) -> None:
    """Check that a model's chat template can make the prompts of a recipe, before anything long is run.

    Args:
        model: folder of the model. Its tokenizer is loaded only if one of the purposes needs a chat template.

    Raises:
        DataError: the model has no chat template, or it refuses the system prompt; the recipe's key is named.
    """
    tokenizer = None
    for purpose in purposes:
        protocol = recipe.protocol_for(purpose)
        if not protocol.chat:
            continue
        if tokenizer is None:
            from transformers import AutoTokenizer

            tokenizer = AutoTokenizer.from_pretrained(model, trust_remote_code=False)
        if not tokenizer.chat_template:
            key = _key(recipe, purpose, "chat")
            raise DataError(
                f"{model}: the model has no chat template, and {key} is true. Set it to false, or use a chat model."
            )
        try:
            messages = chat_messages("Who?", (), protocol.system)
            tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        except Exception as error:  # whatever a template raises
            remedy = f"Remove {_key(recipe, purpose, 'system')}." if protocol.system else "Use another model."
            raise DataError(
                f"{model}: the model's chat template does not take the messages of {purpose} ({error}). {remedy}"
            ) from error


def _key(recipe: Recipe, purpose: Purpose, name: str) -> str:
    """Where the recipe sets a value of a purpose's protocol."""
    own = purpose != "detection" and name in getattr(recipe.protocols, purpose)
    return f"protocols.{purpose}.{name}" if own else f"protocol.{name}"
