"""The small parts of ``report.json`` that many of its sections have: shares, changes, counts by category."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from kft_cli.stats.groups import Reading
from kft_tasks.records import Count, Record

LIKE_THESE, THESE = Reading.TYPES_LIKE_THESE.value, Reading.THESE_TYPES.value

Amount = Annotated[float, Field(ge=0, le=1e15)]
Real = Annotated[float, Field(ge=-1e15, le=1e15)]
P = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(ge=1, lt=1 << 63)]
ReadingName = Literal["these types", "types like these"]


class Interval(Record):
    """A number with its interval, or without one."""

    low: Real | None
    high: Real | None

    @model_validator(mode="after")
    def _check_interval(self) -> Self:
        if (self.low is None) != (self.high is None):
            raise ValueError("low and high: one without the other")
        return self


class ShareRecord(Interval):
    """Questions that have something, out of n; ``reading`` is that of the interval, where it has one."""

    count: Count
    n: Count
    share: Amount | None
    reading: ReadingName | None = None


class CategoriesRecord(Record):
    """A share for each category."""

    HighlyKnown: ShareRecord
    MaybeKnown: ShareRecord
    WeaklyKnown: ShareRecord
    Unknown: ShareRecord


class CountsRecord(Record):
    """A number of questions for each category."""

    HighlyKnown: Count
    MaybeKnown: Count
    WeaklyKnown: Count
    Unknown: Count


class MatrixRecord(Record):
    """Category before x category after."""

    HighlyKnown: CountsRecord
    MaybeKnown: CountsRecord
    WeaklyKnown: CountsRecord
    Unknown: CountsRecord


class MovementRecord(Record):
    """What moved between two points."""

    n: Count
    upgraded: ShareRecord
    downgraded: ShareRecord
    forgotten: ShareRecord
    never_right_any_more: ShareRecord
    unchanged: ShareRecord


class PairedRecord(Interval):
    """The same questions twice, as reports of older versions compared the stages with the retest."""

    n: Count
    both: Count
    lost: Count
    gained: Count
    neither: Count
    difference: Real | None
    mcnemar_p: P
    holm_p: P | None = None


class MeanRecord(Interval):
    """A mean over questions, by one reading."""

    reading: ReadingName
    n: Count
    clusters: Count
    mean: Real | None
    standard_error: Amount | None
    design_effect: Amount | None
    reason: str | None


class DetectableRecord(Record):
    """The change that would have been seen."""

    effect: Amount | None
    power: P
    n: Count
    design_effect: Amount | None
    reason: str | None


class ChangeRecord(Interval):
    """A change that is not tested, by one reading."""

    reading: ReadingName
    n: Count
    clusters: Count
    degrees_of_freedom: Real
    changed: Count
    before: Real | None
    after: Real | None
    difference: Real | None
    standard_error: Amount | None
    design_effect: Amount | None
    reason: str | None


class TestedRecord(ChangeRecord):
    """A change that is tested, by one reading."""

    __test__ = False  # not a test class of pytest

    p: P | None
    smallest_p: P | None
    detectable: DetectableRecord
    holm_p: P | None

    @model_validator(mode="after")
    def _check_test(self) -> Self:
        if self.holm_p is not None and (self.p is None or self.smallest_p is None):
            raise ValueError("holm_p without p or smallest_p")
        return self


class BeforeAfterRecord(Record):
    """Means before and after."""

    before: Real | None
    after: Real | None


BothChanges = dict[ReadingName, ChangeRecord]
BothTested = dict[ReadingName, TestedRecord]


def check_readings(found: BothChanges | BothTested) -> None:
    """Check that both readings are there.

    Raises:
        ValueError: one is missing.
    """
    for name in (LIKE_THESE, THESE):
        if name not in found:
            raise ValueError(f"clustered: {name!r} is missing")
