"""Detection: lazy but exact. A generation is skipped only where no answer to it could change the category."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from kft_tasks.asking import Answerer, Answers, PromptMaker
from kft_tasks.categories import KnowledgeCategory
from kft_tasks.category_file import CategorizedQuestion, categorize
from kft_tasks.errors import DataError
from kft_tasks.protocol import Protocol
from kft_tasks.questions import Question
from kft_tasks.scoring import Scorer, get_scorer

# Fixed, so that a chunk is the same computation in every run; enough to fill the matrix units, with little cache.
CHUNK_QUESTIONS = 128
_WINDOW = 16  # chunks' worth of questions that are sorted by type at a time; bounds memory
_FIRST_WAVES = (2, 2, 3)  # exemplar sets asked together: few at first, because many questions are decided early

Pair = tuple[int, int]
"""(index of a question in its chunk, number of an exemplar set)."""


@dataclass
class Chunk:
    """Questions that are detected together, with the answers they have so far.

    ``greedy`` is indexed [question][exemplar set], ``sampled`` likewise with a tuple of samples; None: not asked.
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


def make_waves(exemplar_sets: int) -> list[list[int]]:
    """Exemplar sets in the order and the company in which they are asked."""
    waves: list[list[int]] = []
    start = 0
    while start < exemplar_sets:
        size = _FIRST_WAVES[min(len(waves), len(_FIRST_WAVES) - 1)]
        waves.append(list(range(start, min(start + size, exemplar_sets))))
        start += size
    return waves


class Judge:
    """Scores the answers of a chunk and tells which questions are decided."""

    def __init__(self, protocol: Protocol) -> None:
        self._protocol = protocol
        self._scorer: Scorer = get_scorer(protocol.scorer)
        self._memory: dict[tuple[str, tuple[str, ...], str], bool] = {}

    def right(self, given: str, question: Question) -> bool:
        """Score one answer; what the scorer was asked before is not asked again."""
        key = (given, question.answers, question.question)
        if key not in self._memory:
            if len(self._memory) > 100_000:
                self._memory.clear()
            self._memory[key] = self._scorer(*key)
        return self._memory[key]

    def forget(self) -> None:
        """Let go of the scores: the questions of another chunk are others."""
        self._memory.clear()

    def categorized(self, chunk: Chunk, index: int) -> CategorizedQuestion | None:
        """The record of one question of a chunk, or None while it is undecided."""
        question = chunk.questions[index]
        greedy, sampled = chunk.greedy[index], chunk.sampled[index]
        right = [None if given is None else self.right(given, question) for given in greedy]
        hits = [None if given is None else sum(self.right(text, question) for text in given) for given in sampled]
        return categorize(question, self._protocol, greedy, sampled, right, hits)


def detect_chunk(
    chunk: Chunk, prompts: PromptMaker, answerer: Answerer, protocol: Protocol, judge: Judge, *, lazy: bool = True
) -> Iterator[tuple[str, list[Pair]]]:
    """Ask until every question of the chunk is decided (lazy) or everything was asked.

    Answers are put into the chunk; answers that stand there already are not asked for again.

    Yields:
        ("greedy" or "sampled", what was just answered), for the journal.
    """
    waves = make_waves(protocol.exemplar_sets)
    opened: dict[int, tuple[Answers, dict[Pair, int]]] = {}

    def wanted(numbers: Sequence[int], answers: Sequence[list[Any]]) -> list[Pair]:
        """A wave is asked of questions that were open before it, also where a part of it was answered earlier."""
        given = [[row[number] for number in numbers] for row in answers]
        for row in answers:
            for number in numbers:
                row[number] = None
        open_ = [i for i in range(len(chunk.questions)) if not lazy or judge.categorized(chunk, i) is None]
        for row, texts in zip(answers, given, strict=True):
            for number, text in zip(numbers, texts, strict=True):
                row[number] = text
        return [(index, number) for number in numbers for index in open_ if answers[index][number] is None]

    def ready(wave: int, pairs: Sequence[Pair]) -> tuple[Answers, list[int]]:
        if wave not in opened or not opened[wave][1].keys() >= set(pairs):
            asks = [prompts.ask(chunk.questions[index], number) for index, number in pairs]
            opened[wave] = (answerer.open(asks), {pair: place for place, pair in enumerate(pairs)})
        answers, places = opened[wave]
        return answers, [places[pair] for pair in pairs]

    def parts(pairs: list[Pair]) -> list[list[Pair]]:
        size = getattr(answerer, "together", 0) or len(pairs) or 1
        return [pairs[start : start + size] for start in range(0, len(pairs), size)]

    for wave, numbers in enumerate(waves):
        for pairs in parts(wanted(numbers, chunk.greedy)):
            answers, places = ready(wave, pairs)
            for (index, number), text in zip(pairs, answers.greedy(places), strict=True):
                chunk.greedy[index][number] = text
            yield "greedy", pairs
        if lazy:
            _free(opened, chunk, judge)
    for wave, numbers in enumerate(waves):
        for pairs in parts(wanted(numbers, chunk.sampled) if protocol.samples else []):
            answers, places = ready(wave, pairs)
            for (index, number), texts in zip(pairs, answers.sample(places), strict=True):
                chunk.sampled[index][number] = texts
            yield "sampled", pairs
        opened.pop(wave, None)


def _free(opened: dict[int, tuple[Answers, dict[Pair, int]]], chunk: Chunk, judge: Judge) -> None:
    """Of the asks opened keep those that may be sampled later: every greedy answer so far is wrong."""
    for wave, (answers, places) in list(opened.items()):
        if kept := [place for (index, _), place in places.items() if not _any_right(chunk, judge, index)]:
            answers.keep(kept)
        else:
            del opened[wave]


def _any_right(chunk: Chunk, judge: Judge, index: int) -> bool:
    question = chunk.questions[index]
    return any(text is not None and judge.right(text, question) for text in chunk.greedy[index])


@dataclass
class DetectionCount:
    """What a detection did: for progress and for the report.

    Attributes:
        categories: questions decided, by category.
        made: generations made; greedy answers and samples both count.
        exhaustive: generations that the exhaustive protocol would have made for the same questions.
    """

    categories: Counter[str] = field(default_factory=Counter)
    made: int = 0
    exhaustive: int = 0

    @property
    def questions(self) -> int:
        """Questions decided."""
        return sum(self.categories.values())

    @property
    def saved(self) -> int:
        """Generations that laziness saved."""
        return self.exhaustive - self.made

    def add(self, items: Sequence[CategorizedQuestion], protocol: Protocol) -> None:
        """Count decided questions in."""
        for item in items:
            self.categories[item.category.value] += 1
            self.made += item.greedy.asked + item.sampled.asked
            self.exhaustive += protocol.exemplar_sets + protocol.sampled_total

    def line(self) -> str:
        """A short note for a progress bar."""
        shares = " ".join(f"{category} {self.categories.get(category.value, 0)}" for category in KnowledgeCategory)
        return f"{shares} | {self.made:,} generations, {self.saved:,} saved"


def finish(chunk: Chunk, judge: Judge) -> list[CategorizedQuestion]:
    """The records of a chunk that is answered.

    Raises:
        DataError: a question is undecided: answers are missing.
    """
    items = []
    for index, question in enumerate(chunk.questions):
        item = judge.categorized(chunk, index)
        if item is None:
            raise DataError(
                f"question {question.id!r} is undecided after detection. Remove the journal and detect again."
            )
        items.append(item)
    judge.forget()
    return items


def check_disjoint(questions: Iterable[Question], exemplar_ids: frozenset[str]) -> Iterator[Question]:
    """Pass questions on, refusing one that is also an exemplar."""
    for question in questions:
        if question.id in exemplar_ids:
            raise DataError(
                f"question {question.id!r} is also an exemplar. Exemplars never come from the questions under test."
            )
        yield question


QuestionStream = Callable[[], Iterator[Question]]
"""Called anew for every pass over the questions; every pass gives the same order."""
