"""Which questions are detected, and how a category file names them."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from kft_tasks.errors import DataError
from kft_tasks.hashing import keyed_digest
from kft_tasks.protocol.exemplars import ExemplarPool
from kft_tasks.protocol.identity import QuestionsIdentity
from kft_tasks.questions import Question, QuestionDigest, QuestionSet

QuestionStream = Callable[[], Iterator[Question]]
"""Called once per pass over the questions; every pass gives the same order."""


@dataclass(frozen=True)
class Target:
    """Which questions are detected.

    Attributes:
        source: the question set.
        split: one of its splits.
        limit: number of questions, chosen by a hash of the id; None for all.
        options: those that the set was opened with, for the record.
    """

    source: QuestionSet
    split: str
    limit: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def stream(self) -> QuestionStream:
        """Questions under test, the same in every pass."""
        return select(lambda: self.source.split(self.split), self.limit)


def select(stream: QuestionStream, limit: int | None) -> QuestionStream:
    """Choose ``limit`` questions of a stream by a hash of their ids, in the stream's order.

    A choice of 200 contains the choice of 100, and adding questions to the set hardly changes it.
    """
    if limit is None:
        return stream

    def rank(question: Question) -> bytes:
        return keyed_digest("limit", question.id, size=12)

    chosen = set(heapq.nsmallest(limit, (rank(question) for question in stream())))
    return lambda: (question for question in stream() if rank(question) in chosen)


def identify_questions(target: Target, stream: QuestionStream, exemplars: ExemplarPool) -> QuestionsIdentity:
    """Digest and count of the questions under test.

    Raises:
        DataError: there are none, or one is also an exemplar.
    """
    digest = QuestionDigest()
    for question in check_disjoint(stream(), exemplars.ids()):
        digest.add(question)
    if not digest.count:
        raise DataError(f"{target.source.name}: split {target.split!r} holds no questions. Choose another split.")
    return QuestionsIdentity(
        set=target.source.name,
        version=target.source.version,
        split=target.split,
        count=digest.count,
        digest=digest.hexdigest(),
        exemplars=exemplars.digest,
        options=dict(target.options),
    )


def check_disjoint(questions: Iterable[Question], exemplar_ids: frozenset[str]) -> Iterator[Question]:
    """Yield the questions.

    Raises:
        DataError: one is also an exemplar.
    """
    for question in questions:
        if question.id in exemplar_ids:
            raise DataError(
                f"Question {question.id!r} is also an exemplar. Move it out of the exemplars or of the questions under "
                "test."
            )
        yield question
