"""The one path from answers to a scored record: for detection, lm-eval and stored answers alike."""

from __future__ import annotations

from collections.abc import Sequence

from kft_tasks.categories.category_file import CategorizedQuestion, SetAnswers, categorize
from kft_tasks.protocol.protocol import RecordedProtocol
from kft_tasks.questions import Question
from kft_tasks.scoring.scorers import get_scorer

_SCORES_KEPT = 100_000


class AnswerScorer:
    """Scores answers by one rule; the same answer to the same question is scored only once.

    Raises:
        UsageError: there is no scorer of that name.
    """

    def __init__(self, scorer: str) -> None:
        self._scorer = get_scorer(scorer)
        self._known: dict[tuple[str, tuple[str, ...], str], bool] = {}

    def right(self, given: str, question: Question) -> bool:
        """Whether one answer is right."""
        key = (given, question.answers, question.question)
        if key not in self._known:
            if len(self._known) > _SCORES_KEPT:
                self._known.clear()
            self._known[key] = self._scorer(*key)
        return self._known[key]

    def can_score(self, given: str, question: Question) -> bool:
        """Whether there is a verdict on an answer; a rule always has one."""
        return True

    def forget(self) -> None:
        """Drop the remembered scores, before other questions follow."""
        self._known.clear()

    def score(
        self, question: Question, greedy: Sequence[str | None], sampled: Sequence[Sequence[str] | None]
    ) -> list[SetAnswers]:
        """Score answers against the accepted answers of ``question``: one entry per exemplar set, None if not asked."""
        return [
            SetAnswers(
                text,
                None if text is None else self.right(text, question),
                None if samples is None else tuple(samples),
                None if samples is None else sum(self.right(sample, question) for sample in samples),
            )
            for text, samples in zip(greedy, sampled, strict=True)
        ]

    def categorize(
        self,
        question: Question,
        protocol: RecordedProtocol,
        greedy: Sequence[str | None],
        sampled: Sequence[Sequence[str] | None],
    ) -> CategorizedQuestion | None:
        """The record of one question, or None while its category is undecided."""
        return categorize(question, protocol, self.score(question, greedy, sampled))
