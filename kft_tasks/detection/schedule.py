"""The order of the work: questions in chunks, and the exemplar sets of a chunk in rounds."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from kft_tasks.questions import Question

# Fixed, so that a chunk is the same computation in every run; enough to fill the matrix units with a small cache.
CHUNK_QUESTIONS = 128
_WINDOW = 16  # number of chunks whose questions are sorted by type at a time; bounds memory
_ROUND_SIZES = (2, 2, 3)  # exemplar sets per round, the last repeated: few at first, many questions are decided early

Pair = tuple[int, int]
"""(index of a question in its chunk, number of an exemplar set)."""


@dataclass
class Chunk:
    """Questions that are detected together, with their answers so far.

    ``greedy`` and ``sampled`` are indexed [question][exemplar set]; an entry of ``sampled`` is a tuple of samples. None
    stands for "not asked".
    """

    number: int
    questions: list[Question]
    greedy: list[list[str | None]] = field(default_factory=list)
    sampled: list[list[tuple[str, ...] | None]] = field(default_factory=list)

    def clear(self, exemplar_sets: int) -> None:
        """Forget all answers."""
        self.greedy = [[None] * exemplar_sets for _ in self.questions]
        self.sampled = [[None] * exemplar_sets for _ in self.questions]


def make_chunks(questions: Iterable[Question], size: int = CHUNK_QUESTIONS) -> Iterator[Chunk]:
    """Cut a stream of questions into chunks of neighbours in type; memory holds a fixed number of questions."""
    stream = iter(questions)
    number = 0
    while window := sorted(itertools.islice(stream, size * _WINDOW), key=lambda question: question.type):
        for start in range(0, len(window), size):
            yield Chunk(number, window[start : start + size])
            number += 1


def make_rounds(exemplar_sets: int) -> list[list[int]]:
    """Numbers of the exemplar sets in the order in which they are asked; those of one round are asked together."""
    rounds: list[list[int]] = []
    start = 0
    while start < exemplar_sets:
        size = _ROUND_SIZES[min(len(rounds), len(_ROUND_SIZES) - 1)]
        rounds.append(list(range(start, min(start + size, exemplar_sets))))
        start += size
    return rounds
