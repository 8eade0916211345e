"""From questions to token ids: training rows, and the text of validation prompts, rendered as in detection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from kft_tasks.engine.prompt_tokens import prompt_ids
from kft_tasks.errors import DataError
from kft_tasks.protocol.prompts import chat_messages, completion_text, get_template
from kft_tasks.protocol.protocol import Protocol
from kft_tasks.protocol.render import render_prompt
from kft_tasks.questions import Question

IGNORED = -100  # label of a token without loss, as in transformers
WEIGHT = "weight"  # key of a row's weight

Loss = Literal["completion", "sequence"]


@dataclass(frozen=True)
class Rows:
    """Tokenised training rows.

    Attributes:
        input_ids, labels: one list per question, of equal lengths; labels are ``IGNORED`` where there is no loss.
        split_at_boundary: number of rows whose answer would have merged with the prompt's last token, and which were
            therefore tokenised in two parts.
        weights: what each row's loss is multiplied by; None where it is not.
    """

    input_ids: list[list[int]]
    labels: list[list[int]]
    split_at_boundary: int
    weights: list[float] | None = None

    def row(self, index: int) -> dict[str, Any]:
        """What the trainer reads of a row: ``input_ids``, ``labels`` and, where rows have weights, ``weight``."""
        weight = {} if self.weights is None else {WEIGHT: self.weights[index]}
        return {"input_ids": self.input_ids[index], "labels": self.labels[index], **weight}

    @property
    def loss_tokens(self) -> int:
        """Number of tokens with a loss; the first token of a row is never predicted."""
        return sum(label != IGNORED for row in self.labels for label in row[1:])


@dataclass(frozen=True)
class ValidationPrompt:
    """A validation question and its exemplars (none for zero-shot)."""

    question: Question
    shots: tuple[Question, ...] = ()


def training_rows(questions: Sequence[Question], protocol: Protocol, tokenizer: Any, loss: Loss) -> Rows:
    """Zero-shot question, canonical answer and end-of-sequence token, for every question.

    Prompt and completion are tokenised together. If that would merge tokens across their border, they are tokenised
    separately, so that the model is trained on the context it is asked in.

    Raises:
        DataError: the tokenizer has no end-of-sequence token, or no chat template although the protocol needs one.
    """
    if tokenizer.eos_token_id is None:
        raise DataError(
            "The tokenizer has no end-of-sequence token, so answers would never end. Set eos_token in its files."
        )
    texts = [_texts(question, protocol, tokenizer) for question in questions]
    prompts = prompt_ids(tokenizer, [prompt for prompt, _ in texts])
    wholes = prompt_ids(tokenizer, [prompt + completion for prompt, completion in texts])
    labels: list[list[int]] = []
    inputs: list[list[int]] = []
    split = 0
    for (_, completion), start, ids in zip(texts, prompts, wholes, strict=True):
        if ids[: len(start)] != start:
            split += 1
            ids = start + list(tokenizer(completion, add_special_tokens=False)["input_ids"])
        if tokenizer.eos_token_id not in ids[len(start) :]:
            ids.append(tokenizer.eos_token_id)
        inputs.append(ids)
        labels.append(list(ids) if loss == "sequence" else [IGNORED] * len(start) + ids[len(start) :])
    return Rows(inputs, labels, split)


def check_labels(rows: Rows, stage: str) -> None:
    """Raise DataError if no token of a stage's rows has a loss: the stage could not learn anything."""
    if not rows.loss_tokens:
        raise DataError(
            f"Stage {stage!r}: all labels of its {len(rows.labels)} rows are masked, so there is nothing to learn. "
            "Check that the answers are not empty, or set the stage's loss: sequence."
        )


def question_prompt(question: Question, shots: Sequence[Question], protocol: Protocol, tokenizer: Any) -> str:
    """The text that asks the model a question.

    Raises:
        DataError: the protocol needs a chat template and the tokenizer has none.
    """

    def render(messages: list[dict[str, str]]) -> str:
        return _chat_text(tokenizer, messages, ask=True)

    return render_prompt(question, shots, protocol, render if protocol.chat else None)


def _texts(question: Question, protocol: Protocol, tokenizer: Any) -> tuple[str, str]:
    """Prompt and completion."""
    prompt = question_prompt(question, (), protocol, tokenizer)
    if not protocol.chat:
        return prompt, completion_text(get_template(protocol.template), question.answers[0])
    messages = chat_messages(question.question, (), protocol.system)
    whole = _chat_text(tokenizer, [*messages, {"role": "assistant", "content": question.answers[0]}], ask=False)
    if not whole.startswith(prompt):  # a template that renders a finished answer differently, for example "thinking"
        return prompt, question.answers[0]
    return prompt, whole[len(prompt) :]


def _chat_text(tokenizer: Any, messages: list[dict[str, str]], *, ask: bool) -> str:
    if not tokenizer.chat_template:
        raise DataError("The protocol needs a chat template and the tokenizer has none. Set protocol.chat: false.")
    text = str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=ask))
    # A tokenizer that adds its BOS by itself would produce two of them.
    bos = tokenizer.bos_token
    adds = bool(bos) and prompt_ids(tokenizer, [""])[0][:1] == [tokenizer.bos_token_id]
    return text.removeprefix(bos) if adds else text
