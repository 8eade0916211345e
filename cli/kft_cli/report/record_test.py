"""The part of ``report.json`` on test accuracy. Keys with a default are not in reports of every version."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field, model_validator
from typing_extensions import Self

from kft_cli.report.record_cells import (
    BeforeAfterRecord,
    BothTested,
    Interval,
    MeanRecord,
    P,
    Positive,
    ReadingName,
    Real,
    ShareRecord,
)
from kft_tasks.records import Count, Record

Shots = Annotated[int, Field(ge=0, lt=1 << 31)]


class AccuracyRecord(ShareRecord):
    """Test accuracy at a point, asked in one way; ``right`` has one entry for each question."""

    point: str
    shots: Shots
    n: Positive
    other_type: bool = False
    sets: Positive = 1
    clustered: dict[ReadingName, MeanRecord] | None = None
    empty: Count | None = None
    right: str | list[Count]

    @model_validator(mode="after")
    def _check_right(self) -> Self:
        if len(self.right) != self.n:
            raise ValueError("right: must have one entry for each of n questions")
        if isinstance(self.right, str) and (self.sets != 1 or set(self.right) - {"0", "1"}):
            raise ValueError("right: must be of 0 and 1, where there is one exemplar set")
        if any(int(count) > self.sets for count in self.right):
            raise ValueError("right: more than there are exemplar sets")
        for key in ("empty", "reading", "clustered"):
            if key in self.model_fields_set and getattr(self, key) is None:
                raise ValueError(f"{key}: must not be null")
        return self


class TestChangeRecord(Interval):
    """A change of test accuracy: paired counts where there is one answer per question, means elsewhere."""

    __test__ = False  # not a test class of pytest

    shots: Shots
    other_type: bool = False
    n: Count
    gained: Count
    lost: Count
    difference: Real | None
    both: Count | None = None
    neither: Count | None = None
    mcnemar_p: P | None = None
    sets: Positive = 1
    answers_gained: Count | None = None
    gained_from_empty: Count | None = None
    mean: BeforeAfterRecord | None = None
    clustered: Annotated[BothTested, Field(min_length=1)] | None = None
    reading: ReadingName | None = None
    p: P | None = None
    holm_p: P | None

    @model_validator(mode="after")
    def _check_change(self) -> Self:
        given = self.model_fields_set
        for key in ("both", "neither", "clustered", "mean", "answers_gained", "gained_from_empty"):
            if key in given and getattr(self, key) is None:
                raise ValueError(f"{key}: must not be null")
        if ("both" in given) != ("neither" in given) or not ({"both", "mean"} & given):
            raise ValueError("both and neither, or mean: missing")
        if "both" not in given and "sets" not in given:
            raise ValueError("sets: missing")
        if self.other_type and self.mean is None:
            raise ValueError("mean: missing")
        if ("answers_gained" in given) != ("gained_from_empty" in given):
            raise ValueError("answers_gained and gained_from_empty: one without the other")
        if self.clustered is None and "mcnemar_p" not in given:
            raise ValueError("mcnemar_p, or clustered: missing")
        if self.clustered is not None and "reading" not in given:
            raise ValueError("reading: missing")
        return self


class DifferenceRecord(TestChangeRecord):
    """A change between two points."""

    before: str
    after: str
    main: bool = False


class GroupShareRecord(Record):
    """Accuracy of a group at a point; reports of older versions have an interval and a count."""

    n: Count
    share: Real | None
    count: Count | None = None
    low: Real | None = None
    high: Real | None = None


class TypeRecord(TestChangeRecord):
    """Accuracy of a group of test questions at each point, and its tested change from first to last."""

    group: str
    accuracy: dict[str, GroupShareRecord]


class CategoryRecord(TypeRecord):
    """The same for a first category, whose change is not tested where the same draw made the categories."""

    holm_p: P | None = None

    @model_validator(mode="before")
    @classmethod
    def _allow_untested(cls, row: object) -> object:
        """Rows without a test lack what tells it."""
        if isinstance(row, dict) and "clustered" not in row and "mcnemar_p" not in row:
            return {"low": None, "high": None, "mcnemar_p": None, **row}
        return row

    @model_validator(mode="after")
    def _check_test(self) -> Self:
        if self.clustered is not None and "holm_p" not in self.model_fields_set:
            raise ValueError("holm_p: missing")
        return self


class LeakRecord(TestChangeRecord):
    """The change of test questions that were trained on, or that were not."""

    trained_on: bool
    mean: BeforeAfterRecord
    clustered: Annotated[BothTested, Field(min_length=1)]


class TrainedOnRecord(Record):
    """Test questions that were trained on under another id."""

    n: Positive
    with_subject: Count
    by_text: Count
    by_subject: Count
    either: Count
    rows: list[LeakRecord]


class GroupsRecord(Record):
    """Types and subjects of the test questions, as numbers."""

    types: list[Count]
    subjects: list[Count]


class TestRecord(Record):
    """Test accuracy."""

    __test__ = False  # not a test class of pytest

    n: Positive
    digest: str
    shots: Annotated[list[Shots], Field(min_length=1)]
    groups: GroupsRecord | None = None
    accuracy: Annotated[list[AccuracyRecord], Field(min_length=1)]
    differences: list[DifferenceRecord]
    by_category: list[CategoryRecord] | None
    by_type: list[TypeRecord]
    trained_on: TrainedOnRecord | None = None

    @model_validator(mode="after")
    def _check_sizes(self) -> Self:
        if any(row.n != self.n for row in self.accuracy):
            raise ValueError("accuracy: not of n questions")
        if self.groups and not len(self.groups.types) == len(self.groups.subjects) == self.n:
            raise ValueError("groups: not of n questions")
        if any(row.shots not in self.shots for row in self.accuracy):
            raise ValueError("accuracy: shots that are not in test.shots")
        return self

    def check_points(self, points: list[str]) -> None:
        """Check that every point was asked in every way, once, and that the change from first to last is there.

        Raises:
            ValueError: something is missing.
        """
        found: dict[tuple[int, bool], dict[str, AccuracyRecord]] = {}
        for row in self.accuracy:
            way = found.setdefault((row.shots, row.other_type), {})
            if row.point in way:
                raise ValueError(f"test.accuracy: point {row.point!r} is twice in one way of asking")
            way[row.point] = row
        everywhere = set(next(iter(found.values())))
        for (shots, other), way in found.items():
            if not set(points) <= set(way) or set(way) != everywhere:
                raise ValueError(f"test.accuracy: a point is missing where shots is {shots}")
            last = self._last(points, shots, other)
            if way[points[0]].empty is not None and last.gained_from_empty is None:
                raise ValueError(f"test.differences: gained_from_empty is missing where shots is {shots}")
        for group in (*(self.by_category or ()), *self.by_type):
            if not set(points) <= set(group.accuracy):
                raise ValueError(f"test: a point of group {group.group!r} is missing")

    def check_outcomes(self, shots: list[int]) -> None:
        """Check that ways of asking that have an outcome were measured.

        Raises:
            ValueError: one was not.
        """
        asked = {row.shots for row in self.accuracy if not row.other_type}
        if not set(shots) <= asked:
            raise ValueError("verdict.test: shots that were not asked")

    def _last(self, points: list[str], shots: int, other: bool) -> DifferenceRecord:
        ends: Mapping[str, object] = {"before": points[0], "after": points[-1], "shots": shots, "other_type": other}
        for row in self.differences:
            if all(getattr(row, key) == value for key, value in ends.items()):
                return row
        raise ValueError(f"test.differences: no change from first to last point where shots is {shots}")
