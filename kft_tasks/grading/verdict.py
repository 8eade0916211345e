"""What a grader may say, and how its reply is read: to the letter, or not at all."""

from __future__ import annotations

import enum


class Verdict(str, enum.Enum):
    """A grader's verdict on one answer; ``UNREADABLE`` stands for a reply that is none of the three words."""

    CORRECT = "CORRECT"
    INCORRECT = "INCORRECT"
    NOT_ATTEMPTED = "NOT_ATTEMPTED"
    UNREADABLE = "UNREADABLE"

    def __str__(self) -> str:
        return self.value


_WORDS = {
    "CORRECT": Verdict.CORRECT,
    "INCORRECT": Verdict.INCORRECT,
    "NOT_ATTEMPTED": Verdict.NOT_ATTEMPTED,
    "NOT ATTEMPTED": Verdict.NOT_ATTEMPTED,
}


def read_verdict(reply: str) -> Verdict:
    """The verdict in a grader's reply: one of the three words, in any case, possibly with a full stop.

    Whatever else it says, also beside such a word, is unreadable. Nothing is guessed.

    Example:
        >>> read_verdict("Incorrect.").value, read_verdict("CORRECT, I think").value
        ('INCORRECT', 'UNREADABLE')
    """
    return _WORDS.get(reply.strip().removesuffix(".").upper(), Verdict.UNREADABLE)
