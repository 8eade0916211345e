"""How a quantity varies over several runs of the same recipe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, stdev
from typing import Any

from kft_tasks.errors import UsageError


@dataclass(frozen=True)
class Spread:
    """Mean of a quantity over several runs: a description, for :mod:`kft_cli.stats.seeds` makes the interval.

    Attributes:
        n: number of runs.
        deviation: sample standard deviation; None for one run.
        least: smallest value.
        most: largest value.
    """

    n: int
    mean: float
    deviation: float | None
    least: float
    most: float

    def to_json(self) -> dict[str, Any]:
        """The record as JSON values."""
        return asdict(self)


def spread(values: Sequence[float]) -> Spread:
    """Mean, sample standard deviation, smallest and largest value over runs (seeds).

    Raises:
        UsageError: there are no values.
    """
    if not values:
        raise UsageError("There is no mean of no values. Give at least one run.")
    deviation = stdev(values) if len(values) > 1 else None
    return Spread(len(values), fmean(values), deviation, min(values), max(values))
