"""Graded files (``*.graded.jsonl``): a header line, then every different stored answer with its verdict."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from kft_tasks.categories.header_record import ModelRecord
from kft_tasks.errors import DataError
from kft_tasks.files import atomic_write, json_line, read_jsonl, sha256_of_file
from kft_tasks.grading.agreement import Agreement, Confusion, GraderRecord, grader_record
from kft_tasks.grading.grader import Grader, GraderIdentity
from kft_tasks.grading.stored import Kind, StoredAnswer, StoredAnswers
from kft_tasks.grading.verdict import Verdict
from kft_tasks.records import Count, Record, parse_record

GRADED_FORMAT = "kft-graded/1"
_REMEDY = "Grade again, or use the kft that wrote it."


class SourceRecord(Record):
    """The file whose answers were graded.

    Attributes:
        scorer: its rule for "right"; None if the file does not say.
        model: the one that gave the answers; None if the file does not say.
    """

    name: str
    kind: Kind
    sha256: str
    scorer: str | None = None
    model: ModelRecord | None = None


class GradedHeader(Record):
    """First line of a graded file.

    Attributes:
        agreement: how the grader agrees with judged pairs; None if it was never measured.
        rows: number of lines that follow.
        answers: verdicts on all stored answers, by the verdict of the source's rule.
    """

    format: Literal["kft-graded/1"] = "kft-graded/1"
    kft_version: str
    source: SourceRecord
    grader: GraderRecord
    agreement: Agreement | None = None
    rows: Count
    answers: Confusion


class GradedRow(Record):
    """One of the different answers to a question.

    Attributes:
        greedy, sampled: how often it was given.
        right: whether the source's rule finds it right.
        reply: what the grader said; None for an empty answer, which is not asked about.
    """

    id: str
    question: str
    answers: Annotated[tuple[str, ...], Field(strict=False)]
    given: str
    greedy: Count
    sampled: Count
    right: bool
    verdict: Annotated[Verdict, Field(strict=False)]
    reply: str | None

    @property
    def disagrees(self) -> bool:
        """Whether grader and rule say different things; an unreadable verdict says nothing."""
        return self.verdict is not Verdict.UNREADABLE and self.right is not (self.verdict is Verdict.CORRECT)


def write_graded_file(
    path: Path, stored: StoredAnswers, grader: Grader, identity: GraderIdentity, agreement: Agreement | None
) -> GradedHeader:
    """Write the verdicts on all answers of a file, which were asked for before; whole or not at all."""
    from kft_tasks.version import __version__

    rows, answers = 0, Confusion()
    for row in _rows(stored, grader):
        rows += 1
        answers = answers.plus(row.right, row.verdict, row.greedy + row.sampled)
    header = GradedHeader(
        kft_version=__version__,
        source=SourceRecord(
            name=stored.path.name,
            kind=stored.kind,
            sha256=sha256_of_file(stored.path),
            scorer=stored.scorer,
            model=ModelRecord(**vars(stored.model)) if stored.model else None,
        ),
        grader=grader_record(identity),
        agreement=agreement,
        rows=rows,
        answers=answers,
    )
    with atomic_write(path) as stream:
        stream.write(json_line(header.model_dump(mode="json")))
        for row in _rows(stored, grader):
            stream.write(json_line(row.model_dump(mode="json")))
    return header


def _rows(stored: StoredAnswers, grader: Grader) -> Iterator[GradedRow]:
    return (_row(answer, grader) for answer in stored.read())


def _row(answer: StoredAnswer, grader: Grader) -> GradedRow:
    grade = grader.grade(answer.pair)
    return GradedRow(
        id=answer.id,
        question=answer.question,
        answers=answer.answers,
        given=answer.given,
        greedy=answer.greedy,
        sampled=answer.sampled,
        right=answer.right,
        verdict=grade.verdict,
        reply=grade.reply,
    )


class GradedFile:
    """A graded file: the header is read and checked at once, the rows are streamed.

    Raises:
        DataError: the file is missing, of another kind, broken or truncated; the message names file and line.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        number, row = next(read_jsonl(path), (0, {}))
        if row.get("format") != GRADED_FORMAT:
            raise DataError(f"{path}:{max(number, 1)}: not a graded file of format {GRADED_FORMAT}. Make one again.")
        self.header = parse_record(GradedHeader, row, f"{path}:1", _REMEDY, "broken header")

    def __iter__(self) -> Iterator[tuple[int, GradedRow]]:
        """Line numbers and rows."""
        rows, answers = 0, Confusion()
        for number, row in read_jsonl(self.path):
            if number == 1:
                continue
            parsed = parse_record(GradedRow, row, f"{self.path}:{number}", _REMEDY, "broken line")
            rows += 1
            answers = answers.plus(parsed.right, parsed.verdict, parsed.greedy + parsed.sampled)
            yield number, parsed
        if rows != self.header.rows or answers != self.header.answers:
            raise DataError(f"{self.path}: truncated or edited: the lines do not add up to the header. {_REMEDY}")
