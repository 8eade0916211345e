"""Categories from a grader's verdicts: a category file is scored again, by the verdicts in place of a rule."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kft_tasks.categories.answer_scorer import AnswerScorer
from kft_tasks.categories.category_file import GradedBy, SetAnswers
from kft_tasks.categories.rescore import Rescoring, Verdicts, rescore
from kft_tasks.errors import UsageError
from kft_tasks.grading.agreement import Agreement
from kft_tasks.grading.grader import Grader, GraderIdentity
from kft_tasks.grading.prompt import make_pair
from kft_tasks.grading.stored import StoredAnswers
from kft_tasks.grading.verdict import Verdict
from kft_tasks.questions import Question
from kft_tasks.scoring.scorers import GRADED


class VerdictScorer(AnswerScorer):
    """Scores answers by a grader's verdicts: CORRECT is right, everything else that is readable is wrong.

    An answer whose verdict is unreadable counts as one that was not asked for. Where the others do not decide the
    category without it, the question is undecided, as with lazy detection.
    """

    def __init__(self, grader: Grader) -> None:
        self._grader = grader

    def _verdict(self, given: str, question: Question) -> Verdict:
        return self._grader.grade(make_pair(question.question, question.answers, given)).verdict

    def right(self, given: str, question: Question) -> bool:
        """Whether the grader finds one answer CORRECT."""
        return self._verdict(given, question) is Verdict.CORRECT

    def can_score(self, given: str, question: Question) -> bool:
        """Whether the verdict on an answer is readable."""
        return self._verdict(given, question) is not Verdict.UNREADABLE

    def forget(self) -> None:
        """Nothing is remembered here."""

    def score(
        self, question: Question, greedy: Sequence[str | None], sampled: Sequence[Sequence[str] | None]
    ) -> list[SetAnswers]:
        """Score answers; those without a readable verdict are left out."""

        def readable(text: str | None) -> str | None:
            return text if text is not None and self.can_score(text, question) else None

        kept = [
            None if given is None else [text for text in given if self.can_score(text, question)] for given in sampled
        ]
        return super().score(question, [readable(text) for text in greedy], kept)


def apply_verdicts(
    stored: StoredAnswers,
    output: Path,
    grader: Grader,
    identity: GraderIdentity,
    agreement: Agreement | None,
    *,
    allow_undecided: bool = False,
    overwrite: bool = False,
    examples: int = 3,
) -> Rescoring:
    """Write a category file whose categories rest on a grader's verdicts; they were asked for before.

    Raises:
        UsageError: the grader was never measured on judged answers, or the answers are not those of a category file.
        DataError: undecided questions.
        StateError: the output exists.
    """
    check_source(stored)
    measured = check_measured(identity, agreement)
    unreadable = 0
    for answer in stored.read():
        if grader.grade(answer.pair).verdict is Verdict.UNREADABLE:
            unreadable += answer.greedy + answer.sampled
    graded = GradedBy(
        model=identity.model,
        prompt_version=identity.prompt_version,
        prompt_digest=identity.prompt_digest,
        chat=identity.chat,
        judged=measured.verdicts.total,
        agreed=measured.verdicts.agreed,
        unreadable=unreadable,
    )
    verdicts = Verdicts(f"{GRADED}{identity.model.id}", VerdictScorer(grader), graded)
    return rescore(
        stored.path,
        output,
        verdicts=verdicts,
        allow_undecided=allow_undecided,
        overwrite=overwrite,
        examples=examples,
    )


def check_source(stored: StoredAnswers) -> None:
    """Check that a file has categories.

    Raises:
        UsageError: it has none.
    """
    if stored.kind != "categories":
        raise UsageError(f"{stored.path}: holds no categories that verdicts could change. Name a category file.")


def check_measured(identity: GraderIdentity, agreement: Agreement | None) -> Agreement:
    """Check that a grader was measured on judged answers; return the agreement.

    Raises:
        UsageError: it never was.
    """
    if agreement is None:
        raise UsageError(
            f"Grader {identity.model.id}: never measured on judged answers with this prompt, so its verdicts alone do "
            "not make categories."
        )
    return agreement
