"""The statistics of a report: pure functions of counts, small records, each with its source.

Intervals are 95 % unless a record says otherwise. Nothing here reads a file or knows what a run is.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist, fmean, stdev
from typing import Any

from kft_tasks.categories.category import KnowledgeCategory
from kft_tasks.errors import UsageError

LEVEL = 0.95
_Z = NormalDist().inv_cdf(0.5 + LEVEL / 2)


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
        mcnemar_p: exact two-sided p of McNemar's test.
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


@dataclass(frozen=True)
class Movement:
    """How categories moved between two detections of the same questions.

    Attributes:
        upgraded: category rose; of the questions that could rise (not HighlyKnown before).
        downgraded: category fell; of the questions that could fall (not Unknown before).
        forgotten: HighlyKnown before and lower after; of those HighlyKnown before. Part of ``downgraded``.
        never_right_any_more: HighlyKnown before, WeaklyKnown or Unknown after; of those HighlyKnown before.
        unchanged: same category; of all questions.
    """

    n: int
    upgraded: Share
    downgraded: Share
    forgotten: Share
    never_right_any_more: Share
    unchanged: Share

    def to_json(self) -> dict[str, Any]:
        """The record as JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class Spread:
    """Mean of a quantity over several runs: sample standard deviation, range, and Student's t interval of the mean."""

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


def wilson_share(count: int, n: int) -> Share:
    """Share with Wilson's score interval (Wilson 1927, JASA 22; no continuity correction).

    Good down to n of about 10 and for shares of 0 and 1, where the textbook interval has no width
    (Newcombe 1998, Statistics in Medicine 17:857-872, method 3).
    """
    if not 0 <= count <= n:
        raise UsageError(f"{count} of {n} is no share.")
    if n == 0:
        return Share(0, 0, None, None, None)
    low, high = _wilson(count, n)
    return Share(count, n, count / n, low, high)


def _wilson(count: int, n: int) -> tuple[float, float]:
    share, squared = count / n, _Z * _Z
    centre = (share + squared / (2 * n)) / (1 + squared / n)
    half = _Z * math.sqrt(share * (1 - share) / n + squared / (4 * n * n)) / (1 + squared / n)
    low = 0.0 if count == 0 else centre - half  # exactly, whatever the rounding
    high = 1.0 if count == n else centre + half
    return low, high


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

    Source: Newcombe 1998, Statistics in Medicine 17:2635-2650, method 10: the two Wilson intervals combined by
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


def mcnemar_exact_p(lost: int, gained: int) -> float:
    """Two-sided exact p of McNemar's test: a fair coin for every question whose answer changed between right and wrong.

    Source: McNemar 1947, Psychometrika 12; the exact form is the sign test. Questions that did not change say nothing.
    """
    changed = lost + gained
    if changed == 0:
        return 1.0
    from scipy.stats import binom

    return min(1.0, 2 * float(binom.cdf(min(lost, gained), changed, 0.5)))


def holm(ps: Sequence[float]) -> list[float]:
    """Values of p, corrected for how many comparisons are shown together (Holm 1979, Scand. J. Statistics 6)."""
    adjusted = [0.0] * len(ps)
    running = 0.0
    for position, index in enumerate(sorted(range(len(ps)), key=lambda index: ps[index])):
        running = max(running, min(1.0, (len(ps) - position) * ps[index]))
        adjusted[index] = running
    return adjusted


Categories = Mapping[str, KnowledgeCategory]
"""Category by question id."""

Matrix = dict[KnowledgeCategory, dict[KnowledgeCategory, int]]
"""Questions by category before (outer) and after (inner); all sixteen cells are there."""


def category_shares(categories: Categories) -> dict[KnowledgeCategory, Share]:
    """Count, share and interval of each of the four categories."""
    counts = Counter(categories.values())
    return {category: wilson_share(counts[category], len(categories)) for category in KnowledgeCategory}


def transition_matrix(before: Categories, after: Categories) -> Matrix:
    """Category before x category after.

    Raises:
        UsageError: the two detections are not of the same questions.
    """
    if before.keys() != after.keys():
        raise UsageError("The two detections are of different questions: there is no before and after.")
    cells = Counter((category, after[id_]) for id_, category in before.items())
    return {row: {column: cells[row, column] for column in KnowledgeCategory} for row in KnowledgeCategory}


def movement(matrix: Matrix) -> Movement:
    """Upgraded, downgraded, forgotten and unchanged questions of a transition matrix."""
    best, worst = KnowledgeCategory.HIGHLY_KNOWN, KnowledgeCategory.UNKNOWN
    cells = [(row, column, count) for row, line in matrix.items() for column, count in line.items()]
    n = sum(count for _, _, count in cells)
    highest, lowest = sum(matrix[best].values()), sum(matrix[worst].values())
    never = matrix[best][KnowledgeCategory.WEAKLY_KNOWN] + matrix[best][worst]
    return Movement(
        n=n,
        upgraded=wilson_share(sum(count for row, column, count in cells if column.rank > row.rank), n - highest),
        downgraded=wilson_share(sum(count for row, column, count in cells if column.rank < row.rank), n - lowest),
        forgotten=wilson_share(highest - matrix[best][best], highest),
        never_right_any_more=wilson_share(never, highest),
        unchanged=wilson_share(sum(matrix[category][category] for category in KnowledgeCategory), n),
    )


def is_upgraded(before: KnowledgeCategory, after: KnowledgeCategory) -> bool:
    """Did the category rise?"""
    return after.rank > before.rank


def is_forgotten(before: KnowledgeCategory, after: KnowledgeCategory) -> bool:
    """Was it HighlyKnown, and is it no longer?"""
    return before is KnowledgeCategory.HIGHLY_KNOWN and after is not before


def spread(values: Sequence[float]) -> Spread:
    """Mean over runs (seeds), with Student's t interval of the mean where there are two runs or more.

    Source: Student 1908, Biometrika 6. It speaks of the runs' own randomness, not of the questions.
    """
    if not values:
        raise UsageError("No values, no mean.")
    mean = fmean(values)
    if len(values) == 1:
        return Spread(1, mean, None, values[0], values[0], None, None)
    from scipy.stats import t

    deviation = stdev(values)
    half = float(t.ppf(0.5 + LEVEL / 2, len(values) - 1)) * deviation / math.sqrt(len(values))
    return Spread(len(values), mean, deviation, min(values), max(values), mean - half, mean + half)
