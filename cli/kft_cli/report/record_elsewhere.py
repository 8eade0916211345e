"""The section of ``report.json`` on forgetting elsewhere, as it is read."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator
from typing_extensions import Self

from kft_cli.report.record_cells import Amount, Interval, Positive, ReadingName, Real
from kft_cli.report.record_test import DifferenceRecord, Shots
from kft_tasks.records import Count, Record


class HeldOutShare(Interval):
    """Accuracy on held-out types at a point."""

    point: str
    shots: Shots
    other_type: bool
    n: Count
    share: Amount | None
    reading: ReadingName | None


class HeldOutRecord(Record):
    """Types that no stage trained on."""

    types: Annotated[list[str], Field(min_length=1)]
    accuracy: list[HeldOutShare]
    changes: list[DifferenceRecord]

    @model_validator(mode="after")
    def _check(self) -> Self:
        known = {(row.point, row.shots, row.other_type) for row in self.accuracy}
        for row in self.changes:
            if not {(point, row.shots, row.other_type) for point in (row.before, row.after)} <= known:
                raise ValueError("changes: of a point without accuracy")
            if not row.clustered:
                raise ValueError("changes.clustered: missing")
        return self


class EstimateRecord(Interval):
    """A mean with its interval."""

    n: Count
    clusters: Count
    mean: Real
    standard_error: Amount | None


class PointEstimate(EstimateRecord):
    """At a point."""

    point: str


class ChangeEstimate(EstimateRecord):
    """Between two points."""

    before: str
    after: str


class TextRecord(Record):
    """Loss of the held-out text."""

    digest: str
    passages: Positive
    tokens: Positive
    points: list[PointEstimate]
    changes: list[ChangeEstimate]

    @model_validator(mode="after")
    def _check(self) -> Self:
        known = {row.point for row in self.points}
        if any(not {row.before, row.after} <= known for row in self.changes):
            raise ValueError("changes: of a point without a loss")
        return self


class TaskPoint(Record):
    """A metric at a point."""

    point: str
    value: Real
    stderr: Amount | None


class TaskChange(Interval):
    """How a metric changed."""

    before: str
    after: str
    difference: Real


class TaskRow(Record):
    """One metric of one task."""

    task: str
    version: str
    shots: Count | None
    n: Count | None
    metric: str
    filter: str
    higher_is_better: bool | None
    main: bool
    points: list[TaskPoint]
    changes: list[TaskChange]

    @model_validator(mode="after")
    def _check(self) -> Self:
        known = {row.point for row in self.points}
        if any(not {row.before, row.after} <= known for row in self.changes):
            raise ValueError("changes: of a point without a value")
        return self


class ElsewhereRecord(Record):
    """What training did besides the questions that it was for."""

    held_out_types: HeldOutRecord | None
    text: TextRecord | None
    tasks: list[TaskRow]
