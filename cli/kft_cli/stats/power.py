"""How large a change would have been seen: power, and the minimum detectable effect beside every "not clear".

A change is seen when its two-sided 95 % interval excludes 0. Everything follows from the standard error and the degrees
of freedom of that interval: planning and reporting use the same numbers.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from kft_cli.stats.clusters import ClusteredDifference, t_quantile
from kft_cli.stats.intervals import LEVEL
from kft_cli.stats.seeds import SeedsChange
from kft_tasks.errors import UsageError

POWER = 0.8
"""The share of repetitions in which a detectable change is seen (Cohen's convention, 1988)."""


@dataclass(frozen=True)
class Detectable:
    """The smallest change that would have been seen.

    Attributes:
        effect: change of the mean, in either direction, as a share; None where ``reason`` says why there is none.
        power: how often it would have been seen.
        n: number of questions.
        design_effect: of the difference that it belongs to.
        reason: why there is no effect.
    """

    effect: float | None
    power: float
    n: int
    design_effect: float | None
    reason: str | None

    def to_json(self) -> dict[str, Any]:
        """The record as JSON values."""
        return asdict(self)

    def sentence(self) -> str:
        """One sentence for a report."""
        if self.effect is None:
            return f"The smallest change that would have been seen is unknown. {self.reason}"
        clustered = "" if self.design_effect is None else f" and a design effect of {self.design_effect:.1f}"
        return (
            f"With {self.n:,} questions{clustered}, a change of {100 * self.effect:.1f} points would have been seen "
            f"{100 * self.power:.0f} % of the time."
        )


def detectable(difference: ClusteredDifference, power: float = POWER) -> Detectable:
    """The minimum detectable effect of a measured difference, from its own standard error.

    It depends on how much the changes vary, not on how large the difference turned out: "power at the observed effect"
    would restate p (Hoenig and Heisey 2001, American Statistician 55:19-24).
    """
    n, error, freedom = difference.n, difference.standard_error, difference.degrees_of_freedom
    if error is None:
        reason = difference.reason or "There is no standard error."
        return Detectable(None, power, n, difference.design_effect, reason)
    return _detectable(error, freedom, power, n, difference.design_effect)


def detectable_over_seeds(change: SeedsChange, power: float = POWER) -> Detectable:
    """The minimum detectable effect of a mean change over seeds, from its own standard error.

    It is what the interval over seeds and clusters would have shown. The sign-flip test over seeds may show less: fewer
    than six seeds show nothing, however large the change.
    """
    if change.standard_error is None or change.degrees_of_freedom is None:
        return Detectable(None, power, change.n, None, change.reason or "There is no standard error.")
    return _detectable(change.standard_error, change.degrees_of_freedom, power, change.n, None)


def _detectable(error: float, freedom: float, power: float, n: int, design_effect: float | None) -> Detectable:
    effect = minimum_detectable_effect(error, freedom, power)
    if effect > 1:
        return Detectable(None, power, n, design_effect, "No change of a share is large enough.")
    return Detectable(effect, power, n, design_effect, None)


def standard_error_of(n: int, variance: float, design_effect: float = 1.0) -> float:
    """Standard error of a mean change over ``n`` questions, by the formula of ``clusters.clustered_difference``.

    Args:
        n: number of questions.
        variance: of the change per question; for 0/1 answers :func:`variance_of_answers`.
        design_effect: 1 for independent questions.

    Raises:
        UsageError: n is below 1, or variance or design effect are negative.
    """
    if n < 1 or variance < 0 or design_effect < 0:
        raise UsageError(
            f"No standard error for n = {n}, variance {variance}, design effect {design_effect}. "
            "Pass at least one question and no negative value."
        )
    return math.sqrt(variance * design_effect / n + 1 / n**2)


def variance_of_answers(discordance: float, effect: float = 0.0) -> float:
    """Variance of a 0/1 answer's change: ``discordance - effect**2`` (Connor 1987, Biometrics 43:207-211).

    Args:
        discordance: share of questions that are right at one of the two points only.
        effect: mean change; its size is at most the discordance.

    Raises:
        UsageError: the effect is larger than the discordance.
    """
    if not abs(effect) <= discordance <= 1:
        raise UsageError(
            f"A change of {effect} needs at least that share of changed answers, not {discordance}. "
            "Pass a discordance from the size of the effect to 1."
        )
    return discordance - effect**2


def power_of(effect: float, standard_error: float, degrees_of_freedom: float) -> float:
    """Probability that the 95 % interval excludes 0 if the true change is ``effect``: a two-sided t test.

    Source: the noncentral t distribution, noncentrality effect / standard error (Cohen 1988, chapter 2).

    Args:
        effect: true change of the mean, as a share.
        standard_error: of the measured change, above 0.
        degrees_of_freedom: as in the record of the difference; ``math.inf`` gives the normal test.
    """
    from scipy.stats import nct, norm

    shift = abs(effect) / standard_error
    if math.isinf(degrees_of_freedom):
        limit = float(norm.ppf(0.5 + LEVEL / 2))
        return float(norm.sf(limit - shift) + norm.cdf(-limit - shift))
    limit = t_quantile(degrees_of_freedom)
    if shift == 0:
        return 1 - LEVEL
    # The far tail is below 1e-9 from a shift of 4 on, where scipy's noncentral cdf loses digits.
    far = float(nct.cdf(-limit, degrees_of_freedom, shift)) if shift < 4 else 0.0
    return float(nct.sf(limit, degrees_of_freedom, shift)) + far


def minimum_detectable_effect(standard_error: float, degrees_of_freedom: float, power: float = POWER) -> float:
    """The change whose 95 % interval excludes 0 with the given power; about 2.8 standard errors with many clusters.

    Source: Bloom 1995, Evaluation Review 19:547-556; with the noncentral t where he adds two central quantiles.

    Args:
        standard_error: of the measured change, above 0.
        degrees_of_freedom: as in :func:`power_of`.
        power: above .05 and below 1.

    Raises:
        UsageError: the power is not in that range.
    """
    from scipy.optimize import brentq

    if not 1 - LEVEL < power < 1:
        raise UsageError(f"A power of {power} is out of range. Pass a value above {1 - LEVEL:.2f} and below 1.")
    upper = 4.0
    while power_of(upper, 1.0, degrees_of_freedom) < power:
        upper *= 2
    return standard_error * float(
        brentq(lambda shift: power_of(shift, 1.0, degrees_of_freedom) - power, 0.0, upper, xtol=1e-10)
    )


def mcnemar_power(effect: float, n: int, discordance: float) -> float:
    """Probability of p < .05 in McNemar's exact test of ``n`` independent questions with 0/1 answers.

    Exact: a sum over how many answers change and how many of those are gains (Duffy 1984, Biometrics 40:1005-1015).
    The demo's 150 questions with 7 changed answers had .24 for +3 points, where the interval has .36 by
    :func:`power_of`; on what is seen 80 % of the time the two agree: 5.2 and 5.3 points.

    Args:
        effect: true change of the share of right answers.
        n: number of questions.
        discordance: probability that an answer changes, at least the size of the effect.

    Raises:
        UsageError: the effect is larger than the discordance.
    """
    import numpy as np
    from scipy.stats import binom

    variance_of_answers(discordance, effect)  # refuses what cannot be
    if discordance == 0:
        return 0.0
    gain = (discordance + abs(effect)) / (2 * discordance)
    total = 0.0
    for changed in range(1, n + 1):
        weight = float(binom.pmf(changed, n, discordance))
        if weight > 1e-12:
            gains = np.arange(changed + 1)
            clear = 2 * binom.cdf(np.minimum(gains, changed - gains), changed, 0.5) < 1 - LEVEL
            total += weight * float(binom.pmf(gains[clear], changed, gain).sum())
    return total
