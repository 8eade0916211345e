"""Scoring answers that a category file holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from kft_tasks.category_file import CategorizedQuestion
from kft_tasks.questions import Question
from kft_tasks.scoring import get_scorer


class Marks(NamedTuple):
    """Scores of one question's stored answers, one entry an exemplar set; None where nothing was asked.

    Attributes:
        right: whether the greedy answer is right.
        hits: right ones among the samples.
    """

    right: Sequence[bool | None]
    hits: Sequence[int | None]


class StoredScorer:
    """A scorer for stored answers; equal answers to a question are scored once."""

    def __init__(self, scorer: str) -> None:
        self._scorer = get_scorer(scorer)
        self._question: Question | None = None
        self._known: dict[str, bool] = {}

    def right(self, given: str, question: Question) -> bool:
        """Score one answer."""
        if question is not self._question:
            self._question, self._known = question, {}
        if given not in self._known:
            self._known[given] = self._scorer(given, question.answers, question.question)
        return self._known[given]

    def mark(self, item: CategorizedQuestion, question: Question) -> Marks:
        """Score all stored answers of ``item`` by the accepted answers of ``question``."""
        right = [None if given is None else self.right(given, question) for given in item.greedy_answers]
        hits = [
            None if given is None else sum(self.right(text, question) for text in given)
            for given in item.sampled_answers
        ]
        return Marks(right, hits)
