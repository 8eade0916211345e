"""From a question to the text that asks it: one question under one exemplar set is a :class:`PromptRequest`."""

from __future__ import annotations

from dataclasses import dataclass

from kft_tasks.engine.decoding import context_key
from kft_tasks.errors import UsageError
from kft_tasks.protocol.exemplars import ExemplarPool
from kft_tasks.protocol.protocol import Protocol as DetectionProtocol
from kft_tasks.protocol.render import ChatRenderer, render_prompt
from kft_tasks.questions import Question


@dataclass(frozen=True)
class PromptRequest:
    """One question under one exemplar set, as the text that is sent to the model.

    Attributes:
        key: 64-bit key of its samples, see :func:`kft_tasks.engine.decoding.context_key`.
        group: requests of the same group begin with the same exemplars.
    """

    question_id: str
    exemplar_set: int
    prompt: str
    key: int
    group: str = ""


class PromptMaker:
    """Makes the prompts of a protocol: the same for ``kft detect``, the lm-eval tasks and evaluation.

    Args:
        render: the model's chat template; None makes prompts for base models.
        multiturn: with a chat template, make every exemplar a separate turn.
    """

    def __init__(
        self,
        protocol: DetectionProtocol,
        exemplars: ExemplarPool,
        render: ChatRenderer | None = None,
        *,
        multiturn: bool = True,
    ) -> None:
        self._protocol = protocol
        self._exemplars = exemplars
        self._render = render
        self._multiturn = multiturn

    def prompt(
        self, question: Question, exemplar_set: int, *, shots: int | None = None, exemplar_type: str | None = None
    ) -> str:
        """The text that asks ``question`` with exemplar set number ``exemplar_set``, or with its first ``shots`` only.

        Args:
            exemplar_type: type of the exemplars; that of the question where it is not given.

        Raises:
            UsageError: more shots than the protocol's sets have.
        """
        if shots is not None and shots > self._protocol.shots:
            raise UsageError(
                f"{shots} shots are more than the protocol's {self._protocol.shots}. Raise the protocol's shots."
            )
        exemplars = () if shots == 0 else self._exemplars.sets_for(question, exemplar_type)[exemplar_set][:shots]
        return render_prompt(question, exemplars, self._protocol, self._render, multiturn=self._multiturn)

    def request(self, question: Question, exemplar_set: int) -> PromptRequest:
        """The :class:`PromptRequest` for one question and exemplar set."""
        key = context_key(self._protocol.seed, question.id, exemplar_set)
        group = f"{exemplar_set}|{question.type}"
        return PromptRequest(question.id, exemplar_set, self.prompt(question, exemplar_set), key, group)
