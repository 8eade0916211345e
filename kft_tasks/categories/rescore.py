"""Rescoring the stored answers of a category file, by another rule or with corrected answers, without the model.

A lazy file does not hold all answers. If those it holds do not decide a category under the new rule, the question is
undecided. Nothing is guessed: undecided questions are an error, or are left out, counted and named. Memory holds the
corrected answers and the ids of undecided questions only.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kft_tasks.categories.answer_scorer import AnswerScorer
from kft_tasks.categories.category import KnowledgeCategory
from kft_tasks.categories.category_file import (
    CategorizedQuestion,
    CategoryFile,
    GradedBy,
    Header,
    Rescored,
    write_category_file,
)
from kft_tasks.errors import DataError, UsageError
from kft_tasks.files import sha256_of_file
from kft_tasks.outputs import check_output
from kft_tasks.progress import ProgressCallback, no_progress
from kft_tasks.protocol.protocol import RecordedProtocol
from kft_tasks.questions import Question, QuestionDigest, digest_questions
from kft_tasks.scoring.explanation import Explanation, explain
from kft_tasks.scoring.scorers import get_scorer, is_graded

UNDECIDED = "undecided"
_NAMED = 5  # number of undecided questions that an error message names
_SUFFIX = ".categories.jsonl"

Move = tuple[KnowledgeCategory, "KnowledgeCategory | None"]
"""Category before and after; None: undecided."""


@dataclass(frozen=True)
class Verdicts:
    """Verdicts on the stored answers that no rule computes: a grader's.

    Attributes:
        name: of the scorer, as the new file's protocol has it.
        scorer: gives the verdicts.
        graded: who gave them, for the new file's header.
    """

    name: str
    scorer: AnswerScorer
    graded: GradedBy


@dataclass(frozen=True)
class Corrections:
    """Accepted answers that replace those of a category file.

    Attributes:
        questions: by id.
    """

    questions: Mapping[str, Question]

    def digest(self) -> str:
        """Digest of all corrections, independent of their order."""
        return digest_questions(self.questions.values())


@dataclass(frozen=True)
class Example:
    """A question whose category changed.

    Attributes:
        accepted: accepted answers now; ``accepted_before`` those of the source.
        given: a stored answer that is scored differently now, and whether it is right now; None if there is none,
            because the source's own rule has changed since the file was written.
        why: why ``given`` was found right or wrong before, and now; None if it was not asked for or there is none.
    """

    id: str
    question: str
    accepted_before: tuple[str, ...]
    accepted: tuple[str, ...]
    before: KnowledgeCategory
    after: KnowledgeCategory | None
    given: tuple[str, bool] | None
    why: tuple[Explanation, Explanation] | None = None

    def to_json(self) -> dict[str, Any]:
        """The example as JSON values."""
        given: dict[str, Any] | None = None
        if self.given is not None:
            given = {"answer": self.given[0], "right_now": self.given[1]}
            if self.why is not None:
                given |= {"why_before": self.why[0].to_json(), "why_now": self.why[1].to_json()}
        return {
            "id": self.id,
            "question": self.question,
            "answers_before": list(self.accepted_before),
            "answers": list(self.accepted),
            "category_before": self.before.value,
            "category": self.after.value if self.after else None,
            "given": given,
        }


@dataclass
class Rescoring:
    """What was rescored, and what moved.

    Attributes:
        moves: number of questions by category before and after.
        examples: some of the questions that moved, for each kind of move.
        undecided: ids of questions that the stored answers do not decide.
        used: number of corrections whose question is in the file.
        corrected: number of questions whose accepted answers changed.
    """

    source: Path
    output: Path
    header: Header
    moves: Counter[Move] = field(default_factory=Counter)
    examples: dict[Move, list[Example]] = field(default_factory=dict)
    undecided: list[str] = field(default_factory=list)
    used: int = 0
    corrected: int = 0

    @property
    def total(self) -> int:
        """Number of questions of the source."""
        return sum(self.moves.values())

    @property
    def moved(self) -> int:
        """Number of questions whose category changed, not counting the undecided ones."""
        return sum(count for (before, after), count in self.moves.items() if after not in (before, None))

    def to_json(self) -> dict[str, Any]:
        """The result as JSON values."""
        columns: list[KnowledgeCategory | None] = [*KnowledgeCategory, None]
        return {
            "source": str(self.source),
            "file": str(self.output),
            **{key: value for key, value in self.header.to_json().items() if key != "format"},
            "moved": self.moved,
            "moves": {
                row.value: {column.value if column else UNDECIDED: self.moves[row, column] for column in columns}
                for row in KnowledgeCategory
            },
            "corrections_used": self.used,
            "undecided": self.undecided,
            "examples": [example.to_json() for examples in self.examples.values() for example in examples],
        }


def read_corrections(path: Path) -> Corrections:
    """Read a question file of any kind that kft reads (JSON Lines, CSV, TSV, JSON, Parquet).

    Raises:
        DataError: the file is broken, has a duplicate id, or holds no questions.
    """
    from kft_tasks.question_sets.loaders.own_files import open_questions

    found: dict[str, Question] = {}
    for question, _, _ in open_questions(path).rows():
        if question.id in found:
            raise DataError(f"{path}: id {question.id!r} is duplicated. Keep one of its rows.")
        found[question.id] = question
    if not found:
        raise DataError(f"{path}: holds no questions. Write one row per corrected question.")
    return Corrections(found)


def default_output(source: Path, scorer: str) -> Path:
    """``NAME.<scorer>.categories.jsonl`` beside ``NAME.categories.jsonl``.

    Raises:
        UsageError: there is no such scorer.
    """
    if Path(scorer).name != scorer:  # it would lie elsewhere
        get_scorer(scorer)
    name = source.name
    for suffix in (_SUFFIX, ".jsonl"):
        if name.endswith(suffix) and name != suffix:
            name = name.removesuffix(suffix)
            break
    return source.with_name(f"{name}.{scorer}{_SUFFIX}")


def rescore(
    source: Path,
    output: Path | None = None,
    *,
    scorer: str | None = None,
    verdicts: Verdicts | None = None,
    corrections: Corrections | None = None,
    allow_undecided: bool = False,
    overwrite: bool = False,
    examples: int = 3,
    explained: bool = False,
    progress: ProgressCallback = no_progress,
) -> Rescoring:
    """Rescore the stored answers of ``source`` and write a new category file.

    The source is streamed twice: first to count and decide, then to write.

    Args:
        output: the new file; by default :func:`default_output`.
        scorer: rule for "right"; by default the source's own.
        verdicts: taken in place of a rule's.
        corrections: accepted answers for the questions with the same ids; other questions keep theirs.
        allow_undecided: leave out questions that the stored answers do not decide, instead of refusing.
        overwrite: replace an existing ``output``.
        examples: largest number of examples for each kind of move.
        explained: say in the new file of every answer, and of each example's answer before and now, why it is found
            right or wrong; the reasons of a grader's verdicts are not known.

    Raises:
        DataError: a broken source, corrections of other questions, or undecided questions.
        StateError: the output exists.
        UsageError: nothing to change or to explain, or an unknown scorer.
    """
    if scorer is None and corrections is None and verdicts is None and not explained:
        raise UsageError(
            "Nothing would change. Name a scorer, a file of questions with corrected answers, or both; or ask for "
            "reasons."
        )
    file = CategoryFile(source)
    name = verdicts.name if verdicts else scorer or file.header.protocol.scorer
    protocol = dataclasses.replace(file.header.protocol, scorer=name)
    output = output or default_output(source, protocol.scorer)
    check_output(output, [source], overwrite=overwrite)
    rescorer = _Rescorer(file.header.protocol, protocol, verdicts, corrections, explained)
    result = Rescoring(source, output, file.header)
    digest = _survey(file, rescorer, result, examples, progress)
    _check_result(result, corrections, allow_undecided)
    result.header = _new_header(result, protocol, corrections, digest)
    if verdicts:
        complete = result.header.exhaustive and not verdicts.graded.unreadable
        result.header = dataclasses.replace(result.header, graded=verdicts.graded, exhaustive=complete)
    write_category_file(output, result.header, rescorer.all(file))
    return result


class _Rescorer:
    """Scores stored answers by the new rule, or verdicts in its place, and the corrected answers."""

    def __init__(
        self,
        old: RecordedProtocol,
        new: RecordedProtocol,
        verdicts: Verdicts | None,
        corrections: Corrections | None,
        explained: bool,
    ) -> None:
        self._protocol = new
        self._old = None if is_graded(old.scorer) else AnswerScorer(old.scorer)
        self._new = verdicts.scorer if verdicts else AnswerScorer(new.scorer)
        self._explained = explained and not verdicts
        self._rules = (old.scorer, new.scorer) if explained and self._old and not verdicts else None
        self._corrections = corrections.questions if corrections else {}

    def known(self, id_: str) -> bool:
        """Whether there is a correction for this question."""
        return id_ in self._corrections

    def question(self, question: Question) -> Question:
        """The question with the answers that are accepted now.

        Raises:
            DataError: the correction has another question text.
        """
        correction = self._corrections.get(question.id)
        if correction is None:
            return question
        if correction.question != question.question:
            raise DataError(
                f"question {question.id!r} is {question.question!r} in the category file and "
                f"{correction.question!r} in the corrections. Correct only the answers, or detect again."
            )
        return dataclasses.replace(question, answers=correction.answers)

    def rescore(self, item: CategorizedQuestion, question: Question) -> CategorizedQuestion | None:
        """The new record of one question, or None if its stored answers do not decide it."""
        return self._new.categorize(question, self._protocol, item.greedy_answers, item.sampled_answers)

    def all(self, file: CategoryFile) -> Iterator[CategorizedQuestion]:
        """The new records of all decided questions."""
        for item in file:
            if (rescored := self.rescore(item, self.question(item.question))) is not None:
                yield self._with_why(rescored) if self._explained else rescored

    def _with_why(self, item: CategorizedQuestion) -> CategorizedQuestion:
        accepted, question = item.question.answers, item.question.question
        rule = self._protocol.scorer
        why = {text: explain(rule, text, accepted, question) for text in item.different_answers()}
        return dataclasses.replace(item, why=why)

    def example(self, item: CategorizedQuestion, question: Question, after: KnowledgeCategory | None) -> Example:
        """A question that moved, with a stored answer that shows why."""
        before, old = item.question, self._old
        texts = [given for given in item.greedy_answers if given is not None]
        texts += [text for given in item.sampled_answers if given is not None for text in given]
        given = None
        for text in texts:
            right = self._new.right(text, question)
            if old and self._new.can_score(text, question) and right is not old.right(text, before):
                given = (text, right)
                break
        why = None
        if self._rules and given is not None:
            why = (
                explain(self._rules[0], given[0], before.answers, before.question),
                explain(self._rules[1], given[0], question.answers, question.question),
            )
        return Example(before.id, before.question, before.answers, question.answers, item.category, after, given, why)


def _survey(
    file: CategoryFile, rescorer: _Rescorer, result: Rescoring, examples: int, progress: ProgressCallback
) -> QuestionDigest:
    """First pass: what moves, what is undecided, and the digest of the questions that stay."""
    digest = QuestionDigest()
    for done, item in enumerate(file, start=1):
        question = rescorer.question(item.question)
        rescored = rescorer.rescore(item, question)
        move = (item.category, rescored.category if rescored else None)
        result.moves[move] += 1
        result.used += rescorer.known(question.id)
        result.corrected += question.answers != item.question.answers
        if rescored is None:
            result.undecided.append(question.id)
        else:
            digest.add(question)
        if move[0] is not move[1] and len(result.examples.setdefault(move, [])) < examples:
            result.examples[move].append(rescorer.example(item, question, move[1]))
        progress(done, file.header.questions.count, "")
    return digest


def _check_result(result: Rescoring, corrections: Corrections | None, allow_undecided: bool) -> None:
    source, undecided = result.source, len(result.undecided)
    if corrections and not result.used:
        known = next(iter(corrections.questions))
        raise DataError(
            f"{source}: no question has an id of the corrections (the first is {known!r}). "
            'Copy "id" and "question" from the category file.'
        )
    remedy = "Detect again, exhaustively to keep all answers, or with the new scorer and answers"
    if undecided and undecided == result.total:
        raise DataError(f"{source}: the stored answers no longer decide any question. {remedy}.")
    if undecided and not allow_undecided:
        more = ", ..." if undecided > _NAMED else ""
        raise DataError(
            f"{source}: {undecided:,} of {result.total:,} questions are undecided: lazy detection did not ask for the "
            f"answers that would decide them now ({', '.join(result.undecided[:_NAMED])}{more}). {remedy}; or allow "
            "undecided questions to leave them out."
        )


def _new_header(
    result: Rescoring, protocol: RecordedProtocol, corrections: Corrections | None, digest: QuestionDigest
) -> Header:
    from kft_tasks.version import __version__

    old = result.header
    counts = {new.value: sum(result.moves[before, new] for before in KnowledgeCategory) for new in KnowledgeCategory}
    questions = old.questions
    if result.corrected or result.undecided:
        questions = dataclasses.replace(questions, count=digest.count, digest=digest.hexdigest())
    return Header(
        __version__,
        old.model,
        protocol,
        questions,
        old.exhaustive,
        counts,
        Rescored(
            sha256_of_file(result.source),
            old.protocol.scorer,
            corrections.digest() if corrections else None,
            result.corrected,
            len(result.undecided),
        ),
        imported=old.imported,
    )
