"""Means and paired changes of questions that come in types and subjects: intervals, tests, design effects.

Questions of one type share their exemplars, and questions about one subject share what the model knows of it: they are
not independent. Two readings answer two questions (:class:`Reading`); every function takes one and its record names it.

The interval is a delete-one-cluster jackknife (Quenouille 1956, Biometrika 43:353-360; as a cluster-robust variance:
Bell and McCaffrey 2002, Survey Methodology 28:169-181) with Student's t at the effective number of clusters. Measured
coverage chose it: percent of 95 % intervals that hold the true change in 20,000 data sets of 0/1 answers (bootstraps:
2,000, or 1,000 with 300 clusters; 999 resamples each). "Spread": standard deviation of the logarithm of the sizes.

===============================  ======  ========  ====  ====  ==========  ====  ===========
clusters, spread, design effect  chosen  t(G - 1)  CR1   CR2   percentile  BCa   bootstrap-t
===============================  ======  ========  ====  ====  ==========  ====  ===========
8 of about 40, .3, 2.6           95.3    95.0      94.8  95.4  87.2        86.1  93.5
8 of about 40, .6, 2.7           95.3    94.0      93.4  95.7  86.1        84.9  92.1
8 of about 40, .6, 3.7           95.2    93.8      93.0  95.7  88.1        87.1  93.8
8 of about 40, .9, 3.0           96.5    93.4      91.4  96.4  87.6        85.9  91.8
21 of about 40, .3, 2.8          95.2    95.0      94.9  95.3  92.2        91.6  94.1
21 of about 40, .6, 3.3          95.0    94.5      94.0  95.5  90.4        89.0  93.1
21 of about 40, .6, 4.5          94.4    93.9      93.2  95.1  91.6        90.4  93.5
21 of about 40, .9, 4.0          94.7    93.2      92.1  95.8  90.0        87.6  92.2
300 of about 3, .6, 1.1          95.1    95.1      95.1  95.1  94.8        94.6  94.8
300 of about 3, .9, 1.4          94.9    94.8      94.7  95.0  94.7        94.7  95.0
===============================  ======  ========  ====  ====  ==========  ====  ===========

"t(G - 1)": the jackknife with clusters - 1 degrees of freedom, as CR1 has; CR2 has those of Imbens and Kolesar 2016
(Rev. Economics and Statistics 98). Over 30 such layouts the chosen one held 94.3 to 97.0, above 96.1 only for 8
clusters of very unequal size. With types fixed it held 95.1 to 96.9 in five layouts of 16 to 741 subjects in 5 to 21
types. Where fewer than about ten questions change, no interval is exact: 93.9 to 99.9 measured, mostly too wide. Where
a few of 21 types hold all of the change, it is too narrow (89.4).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from kft_cli.stats.groups import Clusters, QuestionGroups, Reading
from kft_cli.stats.intervals import LEVEL
from kft_cli.stats.sign_flips import SEED, SIGN_FLIPS, sign_flip_test
from kft_tasks.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ClusteredMean:
    """Mean of values in [0, 1], one per question.

    Attributes:
        n: number of questions.
        clusters: number of clusters that could have been others: subjects or types, by the reading.
        mean: mean over questions; None where n is 0.
        low, high: 95 % interval; None where ``reason`` says why there is none.
        standard_error: jackknife; None where there is no interval.
        design_effect: variance with clusters over that of as many independent questions; None if all values agree.
        reason: why there is no interval, or why it is not the usual one.
    """

    reading: Reading
    n: int
    clusters: int
    mean: float | None
    low: float | None
    high: float | None
    standard_error: float | None
    design_effect: float | None
    reason: str | None

    def to_json(self) -> dict[str, Any]:
        """The record as JSON values."""
        return {**asdict(self), "reading": self.reading.value}


@dataclass(frozen=True)
class ClusteredDifference:
    """Mean change of the same questions from one point to another.

    Attributes:
        n: number of questions asked at both points.
        clusters: number of clusters that could have been others: subjects or types, by the reading.
        degrees_of_freedom: of Student's t, from the effective number of clusters.
        changed: number of questions whose value changed.
        before, after, difference: means over questions; None where n is 0.
        low, high: 95 % interval of the difference; None where ``reason`` says why there is none.
        standard_error: of the difference; None where there is no interval or nothing changed.
        design_effect: variance with clusters over that of as many independent questions; None if all changes agree.
        p: two-sided, sign flips of whole clusters; None with fewer than two clusters.
        smallest_p: the smallest p that these clusters could have reached.
        reason: why there is no interval, or why it is not the usual one.
    """

    reading: Reading
    n: int
    clusters: int
    degrees_of_freedom: float
    changed: int
    before: float | None
    after: float | None
    difference: float | None
    low: float | None
    high: float | None
    standard_error: float | None
    design_effect: float | None
    p: float | None
    smallest_p: float | None
    reason: str | None

    def to_json(self) -> dict[str, Any]:
        """The record as JSON values."""
        return {**asdict(self), "reading": self.reading.value}


def clustered_mean(values: Sequence[float] | Floats, groups: QuestionGroups, reading: Reading) -> ClusteredMean:
    """Mean of one value per question, with an interval that knows clusters.

    The interval is Student's t on the logit scale, so that it stays within 0 and 1 (Korn and Graubard 1998, Survey
    Methodology 24). Measured coverage with 20,000 data sets of 0/1 answers: 120 subjects, true mean .50 95.2, .10
    95.7, .02 96.7; 700 subjects, .006 96.2; 21 types, .40 95.3; 8 types, .40 95.8. It is too narrow where a few
    clusters make the mean: 89.8 for 21 types with a true mean of .05 that most of them never reach (without logit
    82.0; Wilson's interval at the effective number of questions 88.5).

    Where all values agree it is the rule of three over clusters (:func:`rule_of_three`).

    Args:
        values: shape (questions,), each in [0, 1]: right or wrong, or the share of exemplar sets that were right.
        groups: types and subjects of these questions.
        reading: what could have been drawn differently.

    Raises:
        UsageError: a value is outside [0, 1], or there is not one per question.
    """
    checked = _checked(values, groups)
    clusters = groups.clusters(reading)
    n = len(checked)
    if n == 0:
        return ClusteredMean(reading, 0, 0, None, None, None, None, None, "There are no questions.")
    mean = float(checked.mean())
    missing = _no_spread(clusters, reading)
    if missing:
        return ClusteredMean(reading, n, clusters.count, mean, None, None, None, None, missing)
    if checked.min() == checked.max():
        bound = rule_of_three(clusters)
        reason = f"All values agree: rule of three over {_count(clusters, reading)}."
        low, high = mean * (1 - bound), mean + (1 - mean) * bound
        return ClusteredMean(reading, n, clusters.count, mean, low, high, None, None, reason)
    independent = float(checked.var(ddof=1)) / n
    variance = float(clusters.variance(clusters.sums(checked)))
    effect = variance / independent
    if variance <= 1e-12:  # clusters with equal means: they cannot be better than independent questions by that much
        variance = independent
    error = math.sqrt(variance)
    logit, half = math.log(mean / (1 - mean)), t_quantile(clusters.degrees_of_freedom) * error / (mean * (1 - mean))
    return ClusteredMean(
        reading, n, clusters.count, mean, _expit(logit - half), _expit(logit + half), error, effect, None
    )


def clustered_difference(
    before: Sequence[float] | Floats,
    after: Sequence[float] | Floats,
    groups: QuestionGroups,
    reading: Reading,
    *,
    flips: int = SIGN_FLIPS,
    seed: int = SEED,
) -> ClusteredDifference:
    """Mean of after minus before over the same questions, with interval, test and design effect.

    The variance is the jackknife's plus half a question gained and half a question lost, 1 / n^2 (after Agresti and Min
    2005, Statistics in Medicine 24:729-740): without it, coverage at the size of the demo (150 questions, 5 changed)
    falls to 93.9 and to 89.6 where all changes are gains; with it 97.6 and 94.1. It shows only where few change.

    If nothing changed, (0, 0) would claim certainty: it is the rule of three over clusters, and ``reason`` says so.

    Args:
        before: shape (questions,), each in [0, 1].
        after: the same questions in the same order.
        groups: types and subjects of these questions.
        reading: what could have been drawn differently.
        flips: number of random sign flips, where there are more patterns than that.
        seed: of the random sign flips.

    Raises:
        UsageError: a value is outside [0, 1], or there is not one per question.
    """
    first, second = _checked(before, groups), _checked(after, groups)
    clusters = groups.clusters(reading)
    n = len(first)
    if n == 0:
        reason = "There are no questions."
        return ClusteredDifference(reading, 0, 0, 0.0, 0, *(None,) * 9, reason)
    changes = second - first
    changed = int((abs(changes) > 1e-12).sum())
    difference = float(changes.mean())
    means = float(first.mean()), float(second.mean()), difference
    head = (reading, n, clusters.count, clusters.degrees_of_freedom, changed, *means)
    missing = _no_spread(clusters, reading)
    if missing:
        return ClusteredDifference(*head, None, None, None, None, None, None, missing)
    sums = clusters.sums(changes)
    test = sign_flip_test(sums, flips=flips, seed=seed)
    if changes.max() - changes.min() <= 1e-12:
        bound = rule_of_three(clusters)
        what = "All questions changed alike" if changed else "No question changed"
        reason = f"{what}: rule of three over {_count(clusters, reading)}."
        low, high = difference - bound * (1 + difference), difference + bound * (1 - difference)
        return ClusteredDifference(*head, low, high, None, None, test.p, test.smallest_p, reason)
    variance = float(clusters.variance(sums))
    effect = variance / (float(changes.var(ddof=1)) / n)
    error = math.sqrt(variance + 1 / n**2)
    half = t_quantile(clusters.degrees_of_freedom) * error
    low, high = max(-1.0, difference - half), min(1.0, difference + half)
    return ClusteredDifference(*head, low, high, error, effect, test.p, test.smallest_p, None)


def rule_of_three(clusters: Clusters) -> float:
    """Upper 95 % bound of the share of clusters that differ, when none of those seen does: about 3 / clusters.

    Source: Hanley and Lippman-Hand 1983, JAMA 249:1743-1745; exact, 1 - .05 ** (1 / clusters), at Kish's effective
    number of clusters. It assumes nothing of how strongly the unseen clusters differ, so it is wide with few of them.
    """
    return float(1 - (1 - LEVEL) ** (1 / clusters.effective))


def t_quantile(degrees_of_freedom: float) -> float:
    """Upper quantile of Student's t for a two-sided 95 % interval."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees_of_freedom, 0.5 + LEVEL / 2))


def _checked(values: Sequence[float] | Floats, groups: QuestionGroups) -> Floats:
    import numpy as np

    checked = np.asarray(values, dtype=float)
    if checked.shape != (len(groups),):
        raise UsageError(f"Values of shape {checked.shape} for {len(groups)} questions. Pass one value per question.")
    if checked.size and not (checked.min() >= 0 and checked.max() <= 1):
        raise UsageError("A value is not between 0 and 1. Pass shares, not percentages or counts.")
    return checked


def _no_spread(clusters: Clusters, reading: Reading) -> str | None:
    """Why these clusters give no interval, or None."""
    if clusters.comparable:
        return None
    one, many = ("subject", "subjects") if reading is Reading.THESE_TYPES else ("type", "types")
    return f"There is one {one} only, which cannot show how {many} differ."


def _count(clusters: Clusters, reading: Reading) -> str:
    return f"{clusters.count:,} {'subjects' if reading is Reading.THESE_TYPES else 'types'}"


def _expit(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))
