"""The questions of a page with every answer at every point: one closed record, which the page's scripts read.

Lists of the record are looked up by number: ``types[question.type]``. Answers of a question are stored once and
pointed to, since most are given many times.
"""

from __future__ import annotations

import base64
import gzip
import io
import re
from typing import Annotated, Literal

from pydantic import Field, ValidationError, model_validator
from typing_extensions import Self

from kft_tasks.errors import DataError
from kft_tasks.records import Count, Record, Share, first_problem

FORMAT: Literal["kft-page/1"] = "kft-page/1"
MAX_DATA_BYTES = 1 << 28
"""A page whose data unpack to more is refused."""

_DATA = re.compile(r'<script id="questions" type="application/gzip">([A-Za-z0-9+/=\s]*)</script>')


class ViewRecord(Record):
    """A way in which questions were sorted into categories: a detection or a measurement at a point.

    Attributes:
        told: whether the report tells what changed by it.
        scorer: the rule for right.
        levels: what each category is called here, best first; two of one name cannot be told apart.
    """

    label: str
    point: str
    told: bool
    scorer: str
    levels: Annotated[list[str], Field(min_length=4, max_length=4)]


class AskingRecord(Record):
    """A way in which test questions were asked at a point."""

    label: str
    point: str
    asked: str
    scorer: str


class MoveRecord(Record):
    """Two views of which questions are told apart by what moved between them, as numbers of ``views``."""

    label: str
    before: Count
    after: Count


class PairRecord(Record):
    """Two test views that are compared answer by answer, as numbers of ``tests``, and what the outcomes are called."""

    label: str
    before: Count
    after: Count
    gained: str
    lost: str
    right: str
    wrong: str


class GivenAnswer(Record):
    """A different answer to a question: its text, whether it is right, and why (a number of ``rules``).

    Attributes:
        ok: None where nothing says whether it is right.
        words: what the rule rests on.
    """

    text: str
    ok: bool | None
    rule: Count | None
    words: str = ""


class SortedRecord(Record):
    """A question in one view.

    Attributes:
        c: number of the category.
        g: the greedy answer of each exemplar set, as a number of the question's answers; -1 where it was not asked.
        s: sampled answers and how often each was drawn; empty where none were.
        p: right and asked answers, greedy and sampled: [right, asked, right, asked].
        r: the chance that asking again, with fresh exemplars, gives another category; None where not all was asked.
    """

    c: Annotated[int, Field(ge=0, le=3)]
    g: list[Annotated[int, Field(ge=-1)]]
    s: list[tuple[Count, Count]]
    p: tuple[Count, Count, Count, Count]
    r: Share | None


class QuestionRecord(Record):
    """A question.

    Attributes:
        sorted: one entry for each of ``views``; None where it was not asked.
        tested: one entry for each of ``tests``: an answer for each exemplar set, or None.
        trained: numbers of the stages that trained on it.
    """

    id: str
    split: Literal["train", "test"]
    type: Count
    question: str
    accepted: list[str]
    answers: list[GivenAnswer]
    sorted: list[SortedRecord | None]
    tested: list[list[Count] | None]
    trained: list[Count]

    @model_validator(mode="after")
    def _check_numbers(self) -> Self:
        used = [n for one in self.sorted if one for n in (*one.g, *(number for number, _ in one.s))]
        used += [n for one in self.tested if one for n in one]
        if max(used, default=-1) >= len(self.answers):
            raise ValueError(f"question {self.id!r}: an answer that is not there")
        return self


class PageData(Record):
    """Everything that the question explorer of a page shows.

    Attributes:
        intervals: 95 % interval (Wilson) of a share, by "right/asked".
        of: how many questions there are; more than ``questions`` where a part was drawn by a hash of the ids.
    """

    format: Literal["kft-page/1"]
    name: str
    views: list[ViewRecord]
    tests: list[AskingRecord]
    moves: list[MoveRecord]
    pairs: list[PairRecord]
    stages: list[str]
    types: list[str]
    rules: list[str]
    intervals: dict[str, tuple[Share, Share]]
    of: Count
    questions: list[QuestionRecord]

    @model_validator(mode="after")
    def _check_numbers(self) -> Self:
        for name, used, there in (
            ("views", [n for move in self.moves for n in (move.before, move.after)], self.views),
            ("tests", [n for pair in self.pairs for n in (pair.before, pair.after)], self.tests),
            ("types", [one.type for one in self.questions], self.types),
            ("stages", [n for one in self.questions for n in one.trained], self.stages),
            ("rules", [a.rule for one in self.questions for a in one.answers if a.rule is not None], self.rules),
        ):
            if max(used, default=-1) >= len(there):
                raise ValueError(f"{name}: one that is not there")
        for one in self.questions:
            if len(one.sorted) != len(self.views) or len(one.tested) != len(self.tests):
                raise ValueError(f"question {one.id!r}: not of these views")
        return self


def pack(data: PageData) -> str:
    """The record as compressed JSON in base64; the same data give the same text with the same zlib."""
    return base64.b64encode(gzip.compress(data.model_dump_json().encode("utf-8"), 9, mtime=0)).decode("ascii")


def data_of_page(html: str, where: str) -> PageData | None:
    """The questions in a page; None where it holds none.

    Raises:
        DataError: they cannot be unpacked, or are no questions.
    """
    found = _DATA.search(html)
    if found is None:
        return None
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(base64.b64decode(found[1]))) as stream:
            text = stream.read(MAX_DATA_BYTES + 1)
        if len(text) > MAX_DATA_BYTES:
            raise ValueError(f"over {MAX_DATA_BYTES >> 20} MiB")
        return PageData.model_validate_json(text)
    except ValidationError as error:
        raise DataError(f"{where}: broken questions ({first_problem(error)}). Write the page again.") from error
    except (ValueError, OSError, EOFError) as error:
        raise DataError(f"{where}: broken questions ({error}). Write the page again.") from error
