"""Questions that a mixture repeats under another id: the same text, or the same subject and type."""

from __future__ import annotations

from collections.abc import Iterable

from kft_tasks.question_sets.splits.overlap import plain_text
from kft_tasks.questions import Question


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

    def __contains__(self, question: Question) -> bool:
        subject = plain_text(question.subject)
        return plain_text(question.question) in self._texts or (question.type, subject) in self._subjects
