"""The stored answers of a category file or of an answers file: each different answer to a question once."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kft_tasks.categories.answer_scorer import AnswerScorer
from kft_tasks.categories.category_file import FORMAT as CATEGORIES_FORMAT
from kft_tasks.categories.category_file import CategoryFile
from kft_tasks.errors import DataError
from kft_tasks.evaluation.evaluate import Answered, read_answers
from kft_tasks.files import read_jsonl
from kft_tasks.grading.prompt import GradedPair, make_pair
from kft_tasks.protocol.identity import ModelIdentity
from kft_tasks.scoring.scorers import is_graded

Kind = Literal["categories", "answers"]


@dataclass(frozen=True)
class StoredAnswer:
    """One of the different answers to a question.

    Attributes:
        answers: the accepted ones.
        greedy, sampled: how often it was given. What an answers file holds is greedy.
        right: whether the file's rule finds it right.
    """

    id: str
    question: str
    answers: tuple[str, ...]
    given: str
    greedy: int
    sampled: int
    right: bool

    @property
    def pair(self) -> GradedPair:
        """What a grader is shown of it."""
        return make_pair(self.question, self.answers, self.given)


@dataclass(frozen=True)
class StoredAnswers:
    """A file of stored answers, which can be read again and again.

    Attributes:
        scorer: the file's rule for "right"; None for an answers file, which does not say.
        model: the one that gave the answers; None for an answers file.
        questions: number of questions, to show progress; 0 if it is not known.
        read: streams the answers, those to one question after another.
    """

    path: Path
    kind: Kind
    scorer: str | None
    model: ModelIdentity | None
    questions: int
    read: Callable[[], Iterator[StoredAnswer]]


def open_stored(path: Path) -> StoredAnswers:
    """Open a category file, or an answers file of ``kft eval`` or of a run.

    Raises:
        DataError: the file is neither, is broken, holds no answers, or was itself made from a grader's verdicts.
    """
    _, first = next(read_jsonl(path), (0, {}))
    if not first:
        raise DataError(f"{path}: holds no answers. Name a category file, or an answers file of `kft eval -o`.")
    if first.get("format") == CATEGORIES_FORMAT:
        return _categories(path)
    if "format" in first:
        raise DataError(
            f"{path}: neither a category file nor answers of `kft eval` (its format is {str(first['format'])[:40]!r}). "
            "Name one of these."
        )
    rows = read_answers(path)
    grouped = [list(group) for _, group in itertools.groupby(sorted(rows, key=_question_of), key=_question_of)]
    return StoredAnswers(path, "answers", None, None, len(grouped), lambda: _from_rows(grouped))


def _categories(path: Path) -> StoredAnswers:
    file = CategoryFile(path)
    scorer = file.header.protocol.scorer
    if is_graded(scorer):
        raise DataError(
            f"{path}: its categories are a grader's verdicts already ({scorer}). Grade the file that it was made from."
        )
    return StoredAnswers(
        path, "categories", scorer, file.header.model, file.header.questions.count, lambda: _from_categories(file)
    )


def _from_categories(file: CategoryFile) -> Iterator[StoredAnswer]:
    scorer = AnswerScorer(file.header.protocol.scorer)
    for item in file:
        scorer.forget()
        question = item.question
        greedy = Counter(text for text in item.greedy_answers if text is not None)
        sampled = Counter(text for given in item.sampled_answers if given is not None for text in given)
        for text in dict.fromkeys((*greedy, *sampled)):
            right = scorer.right(text, question)
            yield StoredAnswer(
                question.id, question.question, question.answers, text, greedy[text], sampled[text], right
            )


def _question_of(row: Answered) -> tuple[str, str, tuple[str, ...]]:
    return row.id, row.question, row.answers


def _from_rows(grouped: list[list[Answered]]) -> Iterator[StoredAnswer]:
    for rows in grouped:
        given = Counter((row.given, row.right) for row in rows)
        for (text, right), times in given.items():
            yield StoredAnswer(rows[0].id, rows[0].question, rows[0].answers, text, times, 0, right)
