"""Questions that a mixture repeats under another id: the same text, or the same subject and type."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from kft_tasks.question_sets.splits.overlap import plain_text
from kft_tasks.questions import Question


class Asks(Protocol):
    """What is compared of a question."""

    @property
    def question(self) -> str:
        """Its text."""
        ...

    @property
    def type(self) -> str:
        """Its type."""
        ...

    @property
    def subject(self) -> str:
        """The entity asked about, or ""."""
        ...


class Repeats:
    """Tells whether a question asks what one of some others asks.

    Texts and subjects are compared without letter case, extra spacing and the mark at the end. Questions whose subject
    is not known are compared by their text only.

    Args:
        questions: the others.
    """

    def __init__(self, questions: Iterable[Question]) -> None:
        self._texts: set[str] = set()
        self._subjects: set[tuple[str, str]] = set()
        for question in questions:
            self._texts.add(plain_text(question.question))
            if subject := plain_text(question.subject):
                self._subjects.add((question.type, subject))

    def same_text(self, question: Asks) -> bool:
        """Whether one of the others has this text."""
        return plain_text(question.question) in self._texts

    def same_subject(self, question: Asks) -> bool:
        """Whether one of the others has this type and subject; not if the subject is unknown."""
        return (question.type, plain_text(question.subject)) in self._subjects

    def __contains__(self, question: Asks) -> bool:
        return self.same_text(question) or self.same_subject(question)
