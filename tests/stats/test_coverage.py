"""Simulations: intervals hold the truth in 95 +- 1 % of data sets, tests of a true null come out clear in 5 +- 1 %.

Answers are 0/1 (right or wrong) in clusters of unequal size whose members resemble one another. Every test is seeded, so a
failure is a change of the code and not bad luck. The whole file takes less than a minute on one core.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pytest

from kft_cli.stats.clusters import (
    ClusteredDifference,
    clustered_difference,
    clustered_mean,
)
from kft_cli.stats.groups import QuestionGroups, Reading
from kft_cli.stats.power import power_of
from kft_cli.stats.seeds import seeds_change
from kft_cli.stats.sign_flips import sign_flip_test

pytestmark = pytest.mark.slow

REPETITIONS = 3_000
THESE, LIKE_THESE = Reading.THESE_TYPES, Reading.TYPES_LIKE_THESE


@dataclass(frozen=True)
class World:
    """Clusters of unequal size, each with its own probabilities that a wrong answer is gained and a right one lost.

    Attributes:
        size: mean number of questions per cluster, about.
        gain: share of all questions that are wrong before and right after, over clusters; at most .5.
        loss: share that is right before and wrong after; at most .5.
        likeness: intra-cluster correlation of each kind, that of a beta distribution: 1 / (1 + a + b).
        spread: standard deviation of the logarithm of the sizes.
    """

    clusters: int
    size: float
    gain: float
    loss: float
    likeness: float
    spread: float = 0.6

    @cached_property
    def cluster(self) -> np.ndarray:
        """Cluster per question."""
        draws = np.random.default_rng(17).lognormal(np.log(self.size) - self.spread**2 / 2, self.spread, self.clusters)
        return np.repeat(np.arange(self.clusters), np.maximum(1, np.rint(draws)).astype(int))

    @cached_property
    def groups(self) -> QuestionGroups:
        return QuestionGroups([f"type {number}" for number in self.cluster], [str(i) for i in range(len(self.cluster))])

    @property
    def truth(self) -> float:
        return self.gain - self.loss

    def points(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Right answers before and after; half of the questions are right before."""
        before = rng.random(len(self.cluster)) < 0.5
        draw = rng.random(len(self.cluster))
        after = np.where(before, draw >= self._rates(rng, 2 * self.loss), draw < self._rates(rng, 2 * self.gain))
        return before.astype(float), after.astype(float)

    def _rates(self, rng: np.random.Generator, mean: float) -> np.ndarray:
        total = 1 / self.likeness - 1
        return rng.beta(mean * total, (1 - mean) * total, self.clusters)[self.cluster]

    def repetitions(self, count: int, reading: Reading = LIKE_THESE, flips: int = 9) -> list[ClusteredDifference]:
        rng = np.random.default_rng(1)
        # A seed each: the level of few random sign flips is that of their average, not of one fixed draw.
        return [
            clustered_difference(*self.points(rng), self.groups, reading, flips=flips, seed=seed)
            for seed in range(count)
        ]


def held(results: list[ClusteredDifference], truth: float) -> float:
    return float(
        np.mean([one.low is not None and one.high is not None and one.low <= truth <= one.high for one in results])
    )


@pytest.mark.parametrize(
    "world",
    [
        pytest.param(World(8, 40, 0.15, 0.10, 0.1), id="8 clusters"),
        pytest.param(World(21, 40, 0.12, 0.08, 0.1), id="21 clusters"),
        pytest.param(World(21, 40, 0.20, 0.20, 0.3), id="21 clusters, high likeness"),
        pytest.param(World(21, 40, 0.12, 0.08, 0.01, 0.9), id="21 clusters, very unequal, little likeness"),
        pytest.param(World(300, 3, 0.10, 0.07, 0.3), id="300 clusters"),
    ],
)
def test_interval_of_a_difference_holds_the_truth_in_95_percent(world: World) -> None:
    assert held(world.repetitions(REPETITIONS), world.truth) == pytest.approx(0.95, abs=0.01)


def test_interval_of_independent_questions_misses_the_truth_where_types_move_as_one() -> None:
    world = World(21, 40, 0.12, 0.08, 0.1)
    results = world.repetitions(1_000, THESE)
    assert held(results, world.truth) < 0.80
    assert np.mean([one.design_effect for one in world.repetitions(1_000)]) > 3


def test_percentile_bootstrap_that_was_not_chosen_misses_the_truth_with_8_clusters() -> None:
    world, rng, found = World(8, 40, 0.15, 0.10, 0.1), np.random.default_rng(1), []
    clusters = world.groups.clusters(LIKE_THESE)
    for _ in range(1_000):
        before, after = world.points(rng)
        weights = rng.multinomial(8, np.full(8, 1 / 8), 999)
        means = weights @ clusters.sums(after - before) / (weights @ clusters.sizes)
        low, high = np.quantile(means, [0.025, 0.975])
        found.append(low <= world.truth <= high)
    assert np.mean(found) < 0.92


@pytest.mark.parametrize(("types", "subjects", "questions"), [(21, 20, 2), (8, 30, 3)])
def test_interval_of_fixed_types_holds_their_own_mean_in_95_percent(types: int, subjects: int, questions: int) -> None:
    rng = np.random.default_rng(12)
    world = World(types * subjects, questions, 0, 0, 0.3)
    type_of = np.repeat(np.arange(types), subjects)[world.cluster]
    gains, losses = rng.uniform(0, 0.4, types)[type_of], rng.uniform(0, 0.2, types)[type_of]
    groups = QuestionGroups([str(one) for one in type_of], [str(one) for one in world.cluster])
    truth, found = (gains - losses).mean() / 2, []
    for _ in range(2 * REPETITIONS):
        moves = 2 * (rng.random(types * subjects) < 0.5)[world.cluster]  # every second subject moves, twice as often
        before, draw = rng.random(len(type_of)) < 0.5, rng.random(len(type_of))
        after = np.where(before, draw >= moves * losses, draw < moves * gains)
        found.append(clustered_difference(before, after, groups, THESE, flips=9))
    assert held(found, truth) == pytest.approx(0.95, abs=0.01)


@pytest.mark.parametrize(
    ("clusters", "size", "mean", "likeness"),
    [(8, 40, 0.4, 0.1), (21, 40, 0.4, 0.2), (21, 40, 0.2, 0.05), (300, 3, 0.1, 0.2)],
)
def test_interval_of_a_mean_holds_the_truth_in_95_percent(
    clusters: int, size: float, mean: float, likeness: float
) -> None:
    world, rng, found = World(clusters, size, 0, 0, likeness), np.random.default_rng(3), []
    for _ in range(REPETITIONS):
        right = rng.random(len(world.cluster)) < world._rates(rng, mean)
        one = clustered_mean(right, world.groups, LIKE_THESE)
        found.append((one.low or 0) <= mean <= (one.high or 1))
    assert np.mean(found) == pytest.approx(0.95, abs=0.01)


@pytest.mark.parametrize(("clusters", "size"), [(8, 40), (21, 40), (300, 3)])
def test_test_and_interval_find_a_change_in_5_percent_when_nothing_changes(clusters: int, size: float) -> None:
    """Shares of ten exemplar sets, measured twice with fresh exemplars that suit a type more or less."""
    world, rng, results = World(clusters, size, 0, 0, 0.1), np.random.default_rng(4), []
    known = rng.beta(0.5, 0.5, len(world.cluster))
    for seed in range(4_000):
        before, after = (
            rng.binomial(10, np.clip(known + rng.normal(0, 0.1, clusters)[world.cluster], 0, 1)) / 10 for _ in range(2)
        )
        results.append(clustered_difference(before, after, world.groups, LIKE_THESE, flips=999, seed=seed))
    assert np.mean([one.p is not None and one.p < 0.05 for one in results]) == pytest.approx(0.05, abs=0.01)
    assert held(results, 0) == pytest.approx(0.95, abs=0.01)


@pytest.mark.parametrize(("clusters", "lowest"), [(8, 0.025), (21, 0.035)])
def test_ties_between_right_and_wrong_answers_make_the_test_careful_and_never_rash(
    clusters: int, lowest: float
) -> None:
    results = World(clusters, 40, 0.12, 0.12, 0.1).repetitions(2_000, flips=499)
    assert lowest < np.mean([one.p is not None and one.p < 0.05 for one in results]) < 0.05


def test_exact_sign_flips_of_seeds_keep_their_level() -> None:
    rng = np.random.default_rng(5)
    for seeds, level in [(5, 0.0), (6, 2 / 64)]:
        clear = [sign_flip_test(row).p < 0.05 for row in rng.normal(0, 1, (1_000, seeds))]
        assert np.mean(clear) == pytest.approx(level, abs=0.01)


def test_power_is_what_it_says() -> None:
    world = World(21, 40, 0.17, 0.10, 0.1)
    results = world.repetitions(REPETITIONS)
    deviation = float(np.std([one.difference for one in results]))
    seen = np.mean([(one.low or 0) > 0 or (one.high or 0) < 0 for one in results])
    assert 0.5 < seen < 0.95
    assert power_of(world.truth, deviation, results[0].degrees_of_freedom) == pytest.approx(seen, abs=0.03)


@pytest.mark.parametrize(("seeds", "clusters"), [(3, 21), (5, 21), (6, 8), (10, 8)])
def test_interval_over_seeds_holds_the_truth_in_95_percent_or_a_little_more(seeds: int, clusters: int) -> None:
    world, rng, found = World(clusters, 30, 0, 0, 0.1), np.random.default_rng(6), []
    shape = (seeds, len(world.cluster))
    for _ in range(1_000):
        shift = rng.normal(0, 0.03, (seeds, 1)) + rng.normal(0, 0.06, clusters)[world.cluster]
        draw = rng.random(shape)
        changes = (draw < 0.2 + shift).astype(float) - (draw > 0.9)
        one = seeds_change(changes, world.groups, LIKE_THESE)
        found.append((one.low or 0) <= 0.1 <= (one.high or 0))
    assert 0.935 <= np.mean(found) <= 0.985
