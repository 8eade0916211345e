"""From a question and its exemplars to the text of a prompt: the one renderer of detection, evaluation and training."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kft_tasks.protocol.prompts import chat_messages, get_template, prompt_text
from kft_tasks.protocol.protocol import Protocol
from kft_tasks.questions import Question

ChatRenderer = Callable[[list[dict[str, str]]], str]
"""Turns chat messages into a prompt, as ``lm.apply_chat_template`` does."""


def render_prompt(
    question: Question,
    shots: Sequence[Question],
    protocol: Protocol,
    render: ChatRenderer | None = None,
    *,
    multiturn: bool = True,
) -> str:
    """The text that asks ``question`` after the exemplars ``shots``.

    Args:
        render: the model's chat template; None writes a base-model prompt.
        multiturn: with a chat template, each exemplar is a turn of its own.
    """
    template = get_template(protocol.template)
    if render is None:
        return prompt_text(template, question.question, shots, protocol.system)
    return render(chat_messages(question.question, shots, protocol.system, multiturn=multiturn, template=template))
