"""From questions to token ids: training rows and validation prompts, by the same prompts as detection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from kft_tasks.errors import DataError
from kft_tasks.protocol.prompts import chat_messages, completion_text, get_template, prompt_text
from kft_tasks.protocol.protocol import Protocol
from kft_tasks.questions import Question

IGNORED = -100  # label of a token without loss, as in transformers

Loss = Literal["completion", "sequence"]


@dataclass(frozen=True)
class Rows:
    """Tokenised training rows.

    Attributes:
        input_ids, labels: one list a question, of equal lengths; labels are ``IGNORED`` where there is no loss.
        split_at_boundary: rows whose answer would have merged with the prompt's last token, and were tokenised apart.
    """

    input_ids: list[list[int]]
    labels: list[list[int]]
    split_at_boundary: int

    @property
    def loss_tokens(self) -> int:
        """Tokens with a loss; the first of a row has no prediction."""
        return sum(label != IGNORED for row in self.labels for label in row[1:])


@dataclass(frozen=True)
class ValidationPrompt:
    """A validation question and the exemplars it is asked with; none for zero-shot."""

    question: Question
    shots: tuple[Question, ...] = ()


def training_rows(questions: Sequence[Question], protocol: Protocol, tokenizer: Any, loss: Loss) -> Rows:
    """Zero-shot question, canonical answer, end-of-sequence token, for every question.

    Prompt and completion are tokenised together; where that would merge across their border, the model would be
    trained on another context than it is asked in, so that they are tokenised apart.

    Raises:
        DataError: the tokenizer has no end-of-sequence token, or no chat template where the protocol wants one.
    """
    if tokenizer.eos_token_id is None:
        raise DataError(
            "The tokenizer has no end-of-sequence token: answers would have no end. Set eos_token in its files."
        )
    inputs: list[list[int]] = []
    labels: list[list[int]] = []
    split = 0
    for question in questions:
        prompt, completion = _texts(question, protocol, tokenizer)
        start = _encode(tokenizer, prompt)
        ids = _encode(tokenizer, prompt + completion)
        if ids[: len(start)] != start:
            split += 1
            ids = start + list(tokenizer(completion, add_special_tokens=False)["input_ids"])
        if tokenizer.eos_token_id not in ids[len(start) :]:
            ids.append(tokenizer.eos_token_id)
        inputs.append(ids)
        labels.append(list(ids) if loss == "sequence" else [IGNORED] * len(start) + ids[len(start) :])
    return Rows(inputs, labels, split)


def question_prompt(question: Question, shots: Sequence[Question], protocol: Protocol, tokenizer: Any) -> str:
    """The text that the model is asked a question with.

    Raises:
        DataError: the protocol wants a chat template and the tokenizer has none.
    """
    if not protocol.chat:
        return prompt_text(get_template(protocol.template), question.question, shots, protocol.system)
    return _chat_text(tokenizer, chat_messages(question.question, shots, protocol.system), ask=True)


def _texts(question: Question, protocol: Protocol, tokenizer: Any) -> tuple[str, str]:
    prompt = question_prompt(question, (), protocol, tokenizer)
    if not protocol.chat:
        return prompt, completion_text(get_template(protocol.template), question.answers[0])
    messages = chat_messages(question.question, (), protocol.system)
    whole = _chat_text(tokenizer, [*messages, {"role": "assistant", "content": question.answers[0]}], ask=False)
    if not whole.startswith(prompt):  # a template that treats a finished answer differently, for example "thinking"
        return prompt, question.answers[0]
    return prompt, whole[len(prompt) :]


def _chat_text(tokenizer: Any, messages: list[dict[str, str]], *, ask: bool) -> str:
    if not tokenizer.chat_template:
        raise DataError("The protocol wants a chat template and the tokenizer has none. Set protocol.chat: false.")
    text = str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=ask))
    # A tokenizer that adds its BOS by itself would give two of them.
    bos = tokenizer.bos_token
    adds = bool(bos) and _encode(tokenizer, "")[:1] == [tokenizer.bos_token_id]
    return text.removeprefix(bos) if adds else text


def _encode(tokenizer: Any, text: str) -> list[int]:
    ids = list(tokenizer(text)["input_ids"])
    # A tokenizer that adds its EOS by itself would end the prompt before the answer.
    return (
        ids[:-1]
        if ids and text and ids[-1] == tokenizer.eos_token_id and not text.endswith(tokenizer.eos_token)
        else ids
    )
