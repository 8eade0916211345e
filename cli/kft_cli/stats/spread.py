"""How a quantity varies over several runs of the same recipe."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, stdev
from typing import Any

from kft_cli.stats.intervals import LEVEL
from kft_tasks.errors import UsageError


@dataclass(frozen=True)
class Spread:
    """Mean of a quantity over several runs.

    Attributes:
        n: number of runs.
        deviation: sample standard deviation; None for one run.
        least: smallest value.
        most: largest value.
        low: lower end of Student's t interval of the mean; None for one run.
        high: its upper end.
    """

    n: int
    mean: float
    deviation: float | None
    least: float
    most: float
    low: float | None
    high: float | None

    def to_json(self) -> dict[str, Any]:
        """The record as JSON values."""
        return asdict(self)


def spread(values: Sequence[float]) -> Spread:
    """Mean over runs (seeds), with Student's t interval of the mean where there are two runs or more.

    The interval covers the randomness of the runs, not that of the questions. Source: Student 1908, Biometrika 6.

    Raises:
        UsageError: there are no values.
    """
    if not values:
        raise UsageError("There is no mean of no values. Give at least one run.")
    mean = fmean(values)
    if len(values) == 1:
        return Spread(1, mean, None, values[0], values[0], None, None)
    from scipy.stats import t

    deviation = stdev(values)
    # not t.interval, which gives nan where all runs are equal
    half = float(t.ppf(0.5 + LEVEL / 2, len(values) - 1)) * deviation / math.sqrt(len(values))
    return Spread(len(values), mean, deviation, min(values), max(values), mean - half, mean + half)
