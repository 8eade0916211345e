"""Deterministic splits, types and ids: functions of content, never of position or of a random generator."""

from __future__ import annotations

import re
from array import array
from collections.abc import Sequence

from kft_tasks.hashing import keyed_digest, keyed_int
from kft_tasks.questions import Question

Shares = tuple[tuple[str, float], ...]

FOUR_WAY: Shares = (("exemplars", 0.05), ("test", 0.15), ("validation", 0.10), ("train", 0.70))
MIN_EXEMPLARS = 8  # 8 exemplars make 70 different 4-shot sets; 10 are needed
_SPACE = 1 << 64
_SALT = b"kft-split-1"

QUESTION_WORDS = ("who", "when", "where", "what", "which", "how_many", "how", "why", "other")
_WORD = re.compile(r"\b(how many|how much|how|whom|whose|who|when|where|what|which|why)\b")
_SAME = {"whom": "who", "whose": "who", "how many": "how_many", "how much": "how_many"}


def key_of(text: str) -> int:
    """A 64-bit hash of a text."""
    return keyed_int(text)


def place_of(text: str) -> int:
    """A place in 0 .. 2^64, which decides the split; letter case and spacing are ignored."""
    folded = " ".join(text.casefold().split())
    return keyed_int(folded, key=_SALT)


def in_share(text: str, share: float) -> bool:
    """Whether ``text`` falls into the first ``share`` of all texts."""
    return place_of(text) < share * _SPACE


def question_word(text: str) -> str:
    """The first question word in a text: one of :data:`QUESTION_WORDS`."""
    match = _WORD.search(text.lower())
    return _SAME.get(match.group(1), match.group(1)) if match else "other"


def disambiguated_id(base: str, answers: Sequence[str]) -> str:
    """An id for one of several rows with the same text: a hash of the answers tells them apart."""
    text = "\n".join(answers)
    return f"{base}-{keyed_digest(text, size=3).hex()}"


def numbered(id_: str, copy: int) -> str:
    """An id for one of several identical rows, counted from 1.

    Such rows are interchangeable, so the number does not make ids depend on row order.
    """
    return f"{id_}.{copy}" if copy > 1 else id_


def split_key(question: Question) -> str:
    """What keeps questions in the same split: the subject if it is known, else the text."""
    return question.subject or question.question


class Divider:
    """Divides questions into splits by a hash of their subject, so that small types still get exemplars.

    A subject's place in 0 .. 1 decides: the first share belongs to the first split, and so on. Adding questions
    therefore never moves others, except in a type with fewer than :data:`MIN_EXEMPLARS` subjects in the exemplars'
    share: there the share is widened to the first :data:`MIN_EXEMPLARS` subjects, but to at most half of the type.
    """

    def __init__(self, shares: Shares) -> None:
        self._shares = shares
        self._places: dict[str, array[int]] = {}
        self._widened: dict[str, int] | None = None

    def add(self, question: Question) -> None:
        """Register a question."""
        self._places.setdefault(question.type, array("Q")).append(place_of(split_key(question)))

    def freeze(self) -> None:
        """Decide, now that all questions are registered, which types need a wider exemplars' share."""
        bound = int(self._shares[0][1] * _SPACE)
        widened = {}
        for type_, places in self._places.items():
            if sum(1 for place in places if place < bound) < 4 * MIN_EXEMPLARS:
                subjects = sorted(set(places))
                wanted = min(MIN_EXEMPLARS, len(subjects) // 2)
                if wanted and subjects[wanted - 1] >= bound:
                    widened[type_] = subjects[wanted - 1] + 1
        self._places, self._widened = {}, widened

    def split_of(self, question: Question) -> str:
        """The split a question belongs to."""
        if self._widened is None:
            self.freeze()
        assert self._widened is not None
        first, share = self._shares[0]
        bound = self._widened.get(question.type, int(share * _SPACE))
        place = place_of(split_key(question))
        if place < bound:
            return first
        rest = (place - bound) / (_SPACE - bound) * (1 - share)
        for name, width in self._shares[1:]:
            if rest < width:
                return name
            rest -= width
        return self._shares[-1][0]
