"""Detection of one chunk: lazy but exact. A generation is skipped only if no answer could change the category."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Literal, TypeVar

from kft_tasks.answering.answerer import Answerer, Answers
from kft_tasks.categories.answer_scorer import AnswerScorer
from kft_tasks.categories.category_file import CategorizedQuestion
from kft_tasks.detection.schedule import Chunk, Pair, make_rounds
from kft_tasks.errors import DataError
from kft_tasks.protocol.prompt_maker import PromptMaker
from kft_tasks.protocol.protocol import RecordedProtocol

Kind = Literal["greedy", "sampled"]
_Answer = TypeVar("_Answer")


def detect_chunk(
    chunk: Chunk,
    prompts: PromptMaker,
    answerer: Answerer,
    protocol: RecordedProtocol,
    scorer: AnswerScorer,
    *,
    lazy: bool = True,
    every_greedy: bool = False,
) -> Iterator[tuple[Kind, list[Pair]]]:
    """Ask until every question of the chunk is decided (lazy) or everything has been asked.

    ``every_greedy`` asks all greedy answers also where fewer decide, so that their share of right ones is known.

    Answers are put into the chunk; those that it already holds are not requested again.

    Yields:
        the kind of answers and the pairs that were just answered, for the journal.
    """
    rounds = make_rounds(protocol.exemplar_sets)
    requests = _Requests(chunk, prompts, answerer)
    for number, sets in enumerate(rounds):
        for pairs in requests.batches(
            _missing(chunk, protocol, scorer, "greedy", sets, lazy=lazy and not every_greedy)
        ):
            answers, places = requests.open(number, pairs)
            for (index, exemplar_set), text in zip(pairs, answers.greedy(places), strict=True):
                chunk.greedy[index][exemplar_set] = text
            yield "greedy", pairs
        if lazy:
            requests.keep_only(index for index in range(len(chunk.questions)) if not _any_right(chunk, scorer, index))
    if not protocol.samples:
        return
    for number, sets in enumerate(rounds):
        for pairs in requests.batches(_missing(chunk, protocol, scorer, "sampled", sets, lazy=lazy)):
            answers, places = requests.open(number, pairs)
            for (index, exemplar_set), texts in zip(pairs, answers.sample(places), strict=True):
                chunk.sampled[index][exemplar_set] = texts
            yield "sampled", pairs
        requests.close(number)


def finish(chunk: Chunk, scorer: AnswerScorer, protocol: RecordedProtocol) -> list[CategorizedQuestion]:
    """The records of a chunk whose questions are all decided.

    Raises:
        DataError: a question is undecided because answers are missing.
    """
    items = []
    for question, item in zip(chunk.questions, decided(chunk, scorer, protocol), strict=True):
        if item is None:
            raise DataError(
                f"Question {question.id!r} is undecided after detection. Remove the journal and detect again."
            )
        items.append(item)
    scorer.forget()
    return items


def decided(chunk: Chunk, scorer: AnswerScorer, protocol: RecordedProtocol) -> list[CategorizedQuestion | None]:
    """The record of every question of the chunk, None for undecided ones."""
    return [
        scorer.categorize(question, protocol, greedy, sampled)
        for question, greedy, sampled in zip(chunk.questions, chunk.greedy, chunk.sampled, strict=True)
    ]


class _Requests:
    """The requests of each round, opened together."""

    def __init__(self, chunk: Chunk, prompts: PromptMaker, answerer: Answerer) -> None:
        self._chunk = chunk
        self._prompts = prompts
        self._answerer = answerer
        self._opened: dict[int, tuple[Answers, dict[Pair, int]]] = {}

    def batches(self, pairs: list[Pair]) -> list[list[Pair]]:
        """Split pairs into batches that the answerer takes in one call."""
        size = getattr(self._answerer, "max_batch", 0) or len(pairs) or 1
        return [pairs[start : start + size] for start in range(0, len(pairs), size)]

    def open(self, number: int, pairs: Sequence[Pair]) -> tuple[Answers, list[int]]:
        """The answers of a round, and the positions of ``pairs`` in them."""
        if number not in self._opened or not self._opened[number][1].keys() >= set(pairs):
            requests = [self._prompts.request(self._chunk.questions[index], one) for index, one in pairs]
            self._opened[number] = (self._answerer.open(requests), {pair: at for at, pair in enumerate(pairs)})
        answers, places = self._opened[number]
        return answers, [places[pair] for pair in pairs]

    def keep_only(self, questions: Iterator[int]) -> None:
        """Free the requests of all questions but these."""
        kept_questions = set(questions)
        for number, (answers, places) in list(self._opened.items()):
            if kept := [place for (index, _), place in places.items() if index in kept_questions]:
                answers.keep(kept)
            else:
                self.close(number)

    def close(self, number: int) -> None:
        """Free a round."""
        self._opened.pop(number, None)


def _missing(
    chunk: Chunk, protocol: RecordedProtocol, scorer: AnswerScorer, kind: Kind, sets: Sequence[int], *, lazy: bool
) -> list[Pair]:
    """The pairs of a round that must still be asked.

    A round asks the questions that were undecided before it, even if an earlier run answered part of the round: this
    way a resumed chunk asks exactly what an uninterrupted one asks.
    """
    wanted = []
    for index, question in enumerate(chunk.questions):
        greedy, sampled = chunk.greedy[index], chunk.sampled[index]
        if kind == "greedy":
            greedy = _without(greedy, sets)
        else:
            sampled = _without(sampled, sets)
        if not lazy or scorer.categorize(question, protocol, greedy, sampled) is None:
            wanted.append(index)
    answers: Sequence[Sequence[object]] = chunk.greedy if kind == "greedy" else chunk.sampled
    return [(index, number) for number in sets for index in wanted if answers[index][number] is None]


def _without(answers: Sequence[_Answer | None], sets: Collection[int]) -> list[_Answer | None]:
    return [None if number in sets else given for number, given in enumerate(answers)]


def _any_right(chunk: Chunk, scorer: AnswerScorer, index: int) -> bool:
    question = chunk.questions[index]
    return any(text is not None and scorer.right(text, question) for text in chunk.greedy[index])
