"""What questions have in common, by 8-byte hashes: a split of 200,000 questions takes a few megabytes.

Two texts count as the same if they differ only in letter case, spacing, Unicode composition or the mark at the end.
Other punctuation matters: "What is C++?" and "What is C?" ask for different things.
"""

from __future__ import annotations

import unicodedata
from array import array
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from kft_tasks.question_sets.splits.splitting import key_of
from kft_tasks.questions import Question
from kft_tasks.scoring.scorers import normalize

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

    Keys = NDArray[numpy.uint64]

KINDS = ("text", "text_and_answers", "subject", "subject_and_type", "answer")
_BREAK = "\x1f"


def plain_text(text: str) -> str:
    """A text without letter case, extra spacing and the mark at its end.

    Example:
        >>> plain_text("  Who wrote  EMMA ?"), plain_text("who wrote Emma.")
        ('who wrote emma', 'who wrote emma')
    """
    folded = " ".join(unicodedata.normalize("NFC", text).casefold().split())
    return folded.rstrip(" ?.") or folded


def text_key(question: Question) -> int:
    """Equal for questions with the same text."""
    return key_of(plain_text(question.question))


def subject_key(question: Question) -> int | None:
    """Equal for questions about the same subject; None if the source does not name it."""
    subject = plain_text(question.subject)
    return key_of(subject) if subject else None


@lru_cache(maxsize=1 << 14)  # answers repeat within a set: countries, languages, kinds of music
def plain_answer(answer: str) -> str:
    """An answer as ``exact_match`` compares it; one that would normalise to nothing stays as it is."""
    return normalize(answer) or answer.strip()


@dataclass(frozen=True)
class Copies:
    """Repeats within one split.

    Attributes:
        exact: questions that repeat the text and the answers of an earlier one.
        other_answers: questions that repeat the text of an earlier one, with other answers.
        subject_and_type: questions that repeat the subject and the type of an earlier one.
    """

    exact: int
    other_answers: int
    subject_and_type: int


@dataclass
class SplitKeys:
    """Keys of one split's questions, in order."""

    count: int = 0
    _keys: dict[str, array[int]] = field(default_factory=lambda: {kind: array("Q") for kind in KINDS})
    _ends: array[int] = field(default_factory=lambda: array("Q"))

    def add(self, question: Question) -> None:
        """Add a question."""
        self.count += 1
        text = plain_text(question.question)
        answers = sorted({plain_answer(answer) for answer in question.answers})
        self._keys["text"].append(key_of(text))
        self._keys["text_and_answers"].append(key_of(_BREAK.join((text, *answers))))
        self._keys["answer"].extend(key_of(answer) for answer in answers)
        self._ends.append(len(self._keys["answer"]))
        subject = plain_text(question.subject)
        if subject:
            self._keys["subject"].append(key_of(subject))
            self._keys["subject_and_type"].append(key_of(_BREAK.join((subject, question.type))))

    @property
    def with_subject(self) -> int:
        """Questions whose subject is known."""
        return len(self._keys["subject"])

    def distinct(self, kind: str) -> Keys:
        """The distinct keys of one of :data:`KINDS`, sorted."""
        import numpy

        return numpy.unique(self._all(kind))

    def copies(self) -> Copies:
        """How many questions repeat others in the split."""
        texts, asked = len(self.distinct("text")), len(self.distinct("text_and_answers"))
        about = self.with_subject - len(self.distinct("subject_and_type"))
        return Copies(self.count - asked, asked - texts, about)

    def shared(self, kind: str, other: Keys) -> int:
        """How many questions have a key of ``kind`` (for ``answer``: at least one) that is in ``other``."""
        import numpy

        found = numpy.isin(self._all(kind), other)
        if kind != "answer":
            return int(found.sum())
        before = numpy.concatenate(([0], numpy.cumsum(found)))
        ends = numpy.frombuffer(self._ends, dtype=numpy.uint64).astype(numpy.int64)
        return int(numpy.count_nonzero(numpy.diff(before[numpy.concatenate(([0], ends))])))

    def _all(self, kind: str) -> Keys:
        import numpy

        return numpy.frombuffer(self._keys[kind], dtype=numpy.uint64)
