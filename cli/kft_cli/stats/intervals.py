"""Shares and paired differences with their intervals and tests. All intervals are 95 %.

Wilson's interval, the exact test and Holm's correction are those of statsmodels and scipy, which are slow to import and
therefore imported where they are used. Newcombe's paired interval is in neither, so it is written out here.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

from kft_tasks.errors import UsageError

LEVEL = 0.95
ALPHA = 0.05


@dataclass(frozen=True)
class Share:
    """``count`` of ``n``, with its Wilson score interval; share and interval are None where n is 0."""

    count: int
    n: int
    share: float | None
    low: float | None
    high: float | None

    def to_json(self) -> dict[str, Any]:
        """The record as JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class PairedDifference:
    """Right answers to the same questions at two points.

    Attributes:
        n: questions asked at both points.
        both: right before and after.
        lost: right before, wrong after.
        gained: wrong before, right after.
        neither: wrong before and after.
        difference: accuracy after minus accuracy before, with its interval (low, high); None where n is 0.
        mcnemar_p: two-sided p of McNemar's exact test.
    """

    n: int
    both: int
    lost: int
    gained: int
    neither: int
    difference: float | None
    low: float | None
    high: float | None
    mcnemar_p: float

    def to_json(self) -> dict[str, Any]:
        """The record as JSON values."""
        return asdict(self)


def wilson_share(count: int, n: int) -> Share:
    """Share with Wilson's score interval (Wilson 1927, JASA 22; no continuity correction).

    It holds down to an n of about 10 and for shares of 0 and 1, where the textbook interval has no width
    (Newcombe 1998, Statistics in Medicine 17:857-872, method 3).

    Raises:
        UsageError: the count is negative or larger than n.
    """
    if not 0 <= count <= n:
        raise UsageError(f"A share of {count} out of {n} does not exist. The count must be between 0 and {n}.")
    if n == 0:
        return Share(0, 0, None, None, None)
    low, high = _wilson(count, n)
    return Share(count, n, count / n, low, high)


@lru_cache(maxsize=65536)  # a call takes 0.1 ms, and reports and Newcombe's interval ask for the same shares again
def _wilson(count: int, n: int) -> tuple[float, float]:
    from statsmodels.stats.proportion import proportion_confint

    low, high = proportion_confint(count, n, alpha=1 - LEVEL, method="wilson")
    # exactly 0 and 1, whatever the rounding
    return (0.0 if count == 0 else float(low)), (1.0 if count == n else float(high))


def paired_difference(before: Sequence[bool], after: Sequence[bool]) -> PairedDifference:
    """Accuracy after minus before on the same questions: Newcombe's interval and McNemar's exact test."""
    cells = Counter(zip(before, after, strict=True))
    return paired_difference_of_counts(
        both=cells[True, True], lost=cells[True, False], gained=cells[False, True], neither=cells[False, False]
    )


def paired_difference_of_counts(*, both: int, lost: int, gained: int, neither: int) -> PairedDifference:
    """As :func:`paired_difference`, from the four counts."""
    n = both + lost + gained + neither
    p = mcnemar_exact_p(lost, gained)
    if n == 0:
        return PairedDifference(0, 0, 0, 0, 0, None, None, None, p)
    low, high = newcombe_paired_interval(both=both, lost=lost, gained=gained, neither=neither)
    return PairedDifference(n, both, lost, gained, neither, (gained - lost) / n, low, high, p)


def newcombe_paired_interval(*, both: int, lost: int, gained: int, neither: int) -> tuple[float, float]:
    """Interval of (share right after) - (share right before) for paired answers.

    Source: Newcombe 1998, Statistics in Medicine 17:2635-2650, method 10: the two Wilson intervals, combined by
    squaring and adding, less their correlation phi, whose estimate is corrected for continuity.
    """
    n = both + lost + gained + neither
    after, before = both + gained, both + lost
    (low_a, high_a), (low_b, high_b) = _wilson(after, n), _wilson(before, n)
    p_a, p_b = after / n, before / n
    phi = _newcombe_phi(both, lost, gained, neither)
    down_a, up_a, down_b, up_b = p_a - low_a, high_a - p_a, p_b - low_b, high_b - p_b
    below = math.sqrt(max(0.0, down_a**2 - 2 * phi * down_a * up_b + up_b**2))
    above = math.sqrt(max(0.0, up_a**2 - 2 * phi * up_a * down_b + down_b**2))
    return max(-1.0, p_a - p_b - below), min(1.0, p_a - p_b + above)


def _newcombe_phi(both: int, lost: int, gained: int, neither: int) -> float:
    product = (both + lost) * (gained + neither) * (both + gained) * (lost + neither)
    if product == 0:
        return 0.0
    cross = both * neither - lost * gained
    corrected = max(cross - (both + lost + gained + neither) / 2, 0.0) if cross > 0 else float(cross)
    return corrected / math.sqrt(product)


@lru_cache(maxsize=65536)
def mcnemar_exact_p(lost: int, gained: int) -> float:
    """Two-sided exact p of McNemar's test: a fair coin for every question that went from right to wrong or back.

    Source: McNemar 1947, Psychometrika 12; the exact form is the sign test. Questions that did not change say nothing.
    """
    if lost + gained == 0:
        return 1.0
    from scipy.stats import binomtest

    return float(binomtest(min(lost, gained), lost + gained).pvalue)


def holm(ps: Sequence[float], main: Sequence[bool] | None = None) -> list[float]:
    """The p values, corrected for the number of comparisons shown together (Holm 1979, Scand. J. Statistics 6).

    Args:
        main: which comparisons were the question before anything was measured. They share half of the error, all others
            the other half (Holm's procedure with weights, section 4 there); the whole keeps its level.
    """
    if not ps:
        return []
    if main is not None and any(main) and not all(main):
        return _weighted_holm(ps, [0.5 / (sum(main) if one else len(main) - sum(main)) for one in main])
    from statsmodels.stats.multitest import multipletests

    return [float(p) for p in multipletests(ps, method="holm")[1]]


def _weighted_holm(ps: Sequence[float], weights: Sequence[float]) -> list[float]:
    corrected = [1.0] * len(ps)
    left, largest = sum(weights), 0.0
    for index in sorted(range(len(ps)), key=lambda index: ps[index] / weights[index]):
        largest = max(largest, min(1.0, left * ps[index] / weights[index]))
        corrected[index] = largest
        left -= weights[index]
    return corrected


def is_clear(p: float, low: float | None, high: float | None) -> bool:
    """Whether a difference is called clear: its corrected p is below 0.05 and its interval does not contain 0."""
    return p < ALPHA and low is not None and high is not None and (low > 0 or high < 0)
