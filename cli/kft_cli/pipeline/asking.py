"""A model ready to be asked under a protocol."""

from __future__ import annotations

from kft_tasks.answering.answerer import Answerer
from kft_tasks.models.choice import ModelChoice
from kft_tasks.models.loading import LoadedModel, load_model
from kft_tasks.protocol.exemplars import ExemplarPool
from kft_tasks.protocol.prompt_maker import PromptMaker
from kft_tasks.protocol.protocol import Protocol


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
