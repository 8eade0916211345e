"""One run's mean of something that is no share, such as a loss per token, with its interval over clusters."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from kft_cli.stats.clusters import t_quantile
from kft_cli.stats.groups import QuestionGroups, Reading
from kft_cli.stats.seeds import means_as_values

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A weighted mean.

    Attributes:
        n, clusters: number of units, and of clusters that could have been others.
        low, high: 95 % interval; None with fewer than two clusters, or where all units agree.
        standard_error: linearised jackknife over clusters.
    """

    n: int
    clusters: int
    mean: float
    low: float | None
    high: float | None
    standard_error: float | None

    def to_json(self) -> dict[str, Any]:
        """The record as JSON values."""
        return asdict(self)


def weighted_mean(values: Floats, weights: Floats, groups: QuestionGroups, reading: Reading) -> Estimate:
    """Mean over units by weight, such as nats per token over passages; Student's t over clusters of units.

    Args:
        values: shape (units,).
        weights: shape (units,), above 0, such as the tokens of each passage.
        groups: types and subjects of the units.
        reading: what of the units could have been drawn differently.
    """
    mean = float((values * weights).sum() / weights.sum())
    clusters = groups.clusters(reading)
    variance = 0.0
    if clusters.comparable:
        spread = means_as_values(values[None], weights[None])[0]
        variance = float(clusters.variance(clusters.sums(spread)))
    if variance <= 0:
        return Estimate(len(groups), clusters.count, mean, None, None, None)
    half = t_quantile(clusters.degrees_of_freedom) * math.sqrt(variance)
    return Estimate(len(groups), clusters.count, mean, mean - half, mean + half, math.sqrt(variance))
