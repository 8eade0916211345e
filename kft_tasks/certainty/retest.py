"""The chance that a repeated detection, with fresh exemplar sets and samples, gives another category.

The model: a fresh exemplar set of a question has one of three outcomes, independently of the other sets. Its greedy
answer is right; or it is wrong, but one of the samples is right; or no answer is right. Two unknown rates of the
question say how often: ``p`` for a right greedy answer, and ``q`` for a right sample if the greedy answer is wrong.
Both get a Beta prior; the question's own counts give the posterior, and the prediction for the sets of the retest is
beta-binomial.

Assumptions: the sets of both detections are draws from the same source, independent given ``p`` and ``q``. Samples of
one set share its prompt and are correlated, so they are not counted singly: a set has a right sample or it has none.
Questions are treated as independent, but those of one type share their exemplar sets, so the interval for the number
of changes is somewhat too narrow.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from kft_tasks.categories.category import KnowledgeCategory
from kft_tasks.certainty.subsets import Chances, SetScores
from kft_tasks.errors import UsageError

if TYPE_CHECKING:
    from kft_tasks.engine.decoding import F64

LEVEL = 0.95
FIT_QUESTIONS = 30  # a prior is not fitted to fewer
_BOUNDS = (0.02, 50.0)  # of the fitted parameters: identical questions would send them to 0 or to infinity
_EXACT_QUESTIONS = 20_000  # computing the exact distribution of the number of changes is quadratic


class ExemplarOutcomes(NamedTuple):
    """Number of a question's exemplar sets by outcome: greedy answer right; only a sample right; nothing right."""

    right: int
    sampled: int
    none: int


class Beta(NamedTuple):
    """Parameters of a Beta distribution."""

    a: float
    b: float


JEFFREYS = Beta(0.5, 0.5)  # Jeffreys 1946, Proc. R. Soc. A 186: the prior for a rate of which nothing is known


@dataclass(frozen=True)
class Prior:
    """Priors of ``p`` (right greedy answer) and ``q`` (right sample if the greedy answer is wrong)."""

    greedy: Beta = JEFFREYS
    sampled: Beta = JEFFREYS


class Changes(NamedTuple):
    """How many questions change category: the expected number and a central 95 % interval."""

    expected: float
    low: int
    high: int


Census = Mapping[ExemplarOutcomes, int]
"""Number of questions of each pattern."""


def exemplar_outcomes(scores: SetScores) -> ExemplarOutcomes:
    """Count the exemplar sets of a question by outcome."""
    none = sum(hits == 0 for hits in scores.hits)
    return ExemplarOutcomes(scores.right, len(scores.hits) - none, none)


def category_of(outcomes: ExemplarOutcomes) -> KnowledgeCategory:
    """The category that these outcomes give."""
    if outcomes.right:
        return KnowledgeCategory.MAYBE_KNOWN if outcomes.sampled + outcomes.none else KnowledgeCategory.HIGHLY_KNOWN
    return KnowledgeCategory.WEAKLY_KNOWN if outcomes.sampled else KnowledgeCategory.UNKNOWN


@lru_cache(maxsize=65536)
def retest_chances(outcomes: ExemplarOutcomes, sets: int, prior: Prior, *, sampling: bool = True) -> Chances:
    """Chance of each category in a retest with ``sets`` fresh exemplar sets (beta-binomial predictive).

    Args:
        sampling: whether the protocol samples at all; without samples nothing is WeaklyKnown.

    Raises:
        UsageError: a retest without exemplar sets.
    """
    if sets < 1:
        raise UsageError("A retest needs at least one exemplar set. Set sets to 1 or more.")
    missed = outcomes.sampled + outcomes.none
    all_right = _all_succeed(prior.greedy.a + outcomes.right, prior.greedy.b + missed, sets)
    none_right = _all_succeed(prior.greedy.b + missed, prior.greedy.a + outcomes.right, sets)
    no_hit = (
        _all_succeed(prior.sampled.b + outcomes.none, prior.sampled.a + outcomes.sampled, sets) if sampling else 1.0
    )
    return {
        KnowledgeCategory.HIGHLY_KNOWN: all_right,
        KnowledgeCategory.MAYBE_KNOWN: max(0.0, 1.0 - all_right - none_right),
        KnowledgeCategory.WEAKLY_KNOWN: none_right * (1.0 - no_hit),
        KnowledgeCategory.UNKNOWN: none_right * no_hit,
    }


def change_chance(outcomes: ExemplarOutcomes, sets: int, prior: Prior, *, sampling: bool = True) -> float:
    """Chance that a retest gives another category than these sets did."""
    chances = retest_chances(outcomes, sets, prior, sampling=sampling)
    own = category_of(outcomes)
    return sum(chance for category, chance in chances.items() if category is not own)


def _all_succeed(a: float, b: float, trials: int) -> float:
    """Chance that all ``trials`` succeed if the rate is Beta(a, b)."""
    return math.prod((a + step) / (a + b + step) for step in range(trials))


def fit_prior(census: Census) -> Prior:
    """The priors under which the questions of a file are likeliest (beta-binomial maximum likelihood).

    Most questions are answered always or never, and a prior that knows this predicts better than Jeffreys'. Measured on
    150 questions of worldfacts with SmolLM2-135M, with five of ten exemplar sets predicting the other five, 40 times:
    36.8 categories changed on average; this prior expected 33.1, Jeffreys' 55.5. Three-class Dirichlet and
    non-parametric priors came no closer (log loss 99 and 98; this one 95, Jeffreys' 109). With fewer than 30 questions
    the prior is Jeffreys'.
    """
    greedy: dict[tuple[int, int], int] = {}
    sampled: dict[tuple[int, int], int] = {}
    for (right, hit, none), count in sorted(census.items()):
        pair = (right, hit + none)
        greedy[pair] = greedy.get(pair, 0) + count
        if hit + none:
            sampled[hit, none] = sampled.get((hit, none), 0) + count
    return Prior(_fit(greedy), _fit(sampled) if any(hit for hit, _ in sampled) else JEFFREYS)


def _fit(counts: Mapping[tuple[int, int], int]) -> Beta:
    if sum(counts.values()) < FIT_QUESTIONS:
        return JEFFREYS
    import numpy as np
    from scipy.optimize import minimize
    from scipy.special import betaln

    yes, no = np.array(list(counts), dtype=float).T
    weight = np.array(list(counts.values()), dtype=float)
    weight /= weight.sum()

    def surprise(logs: F64) -> float:
        a, b = np.exp(logs)
        return float(-(weight * (betaln(a + yes, b + no) - betaln(a, b))).sum())

    bounds = [(math.log(_BOUNDS[0]), math.log(_BOUNDS[1]))] * 2
    found = minimize(surprise, np.log(JEFFREYS), method="L-BFGS-B", bounds=bounds)
    return Beta(*(float(value) for value in np.exp(found.x)))


def expected_changes(chances: Mapping[float, int]) -> Changes:
    """Expected number of changed categories and its interval, from the number of questions at each chance of a change.

    The number of changes is Poisson-binomial. Its distribution is computed exactly for up to 20,000 questions and
    taken as normal above, where the two intervals differ by less than a question.
    """
    expected = sum(chance * count for chance, count in chances.items())
    if sum(chances.values()) > _EXACT_QUESTIONS:
        return Changes(expected, *_normal_interval(chances, expected))
    import numpy as np
    from scipy.stats import binom

    distribution = np.ones(1)
    for chance, count in sorted(chances.items()):
        distribution = np.convolve(distribution, binom.pmf(np.arange(count + 1), count, min(1.0, chance)))
    below = np.cumsum(distribution)
    tail = (1 - LEVEL) / 2
    low, high = np.searchsorted(below, [tail, 1 - tail])
    return Changes(expected, int(low), min(int(high), len(below) - 1))


def _normal_interval(chances: Mapping[float, int], expected: float) -> tuple[int, int]:
    from statistics import NormalDist

    spread = math.sqrt(sum(chance * (1 - chance) * count for chance, count in chances.items()))
    half = NormalDist().inv_cdf(0.5 + LEVEL / 2) * spread
    return max(0, math.floor(expected - half + 0.5)), min(sum(chances.values()), math.floor(expected + half + 0.5))
