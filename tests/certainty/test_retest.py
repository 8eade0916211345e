from __future__ import annotations

import random
from collections import Counter
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import betabinom, binom

from kft_tasks.categories.category import KnowledgeCategory
from kft_tasks.certainty import retest
from kft_tasks.certainty.retest import (
    JEFFREYS,
    Beta,
    ExemplarOutcomes,
    Prior,
    category_of,
    change_chance,
    exemplar_outcomes,
    expected_changes,
    fit_prior,
    retest_chances,
)
from kft_tasks.certainty.subsets import score_sets
from kft_tasks.errors import UsageError

H, M, W, U = KnowledgeCategory
KINDS = st.builds(ExemplarOutcomes, st.integers(0, 10), st.integers(0, 10), st.integers(0, 10))
PARAMETERS = st.builds(Beta, st.floats(0.02, 50), st.floats(0.02, 50))


def test_one_right_set_retested_with_one_by_hand() -> None:
    # Jeffreys: right with (1/2 + 1) / (1 + 1); if wrong, nothing is known about samples.
    assert retest_chances(ExemplarOutcomes(1, 0, 0), 1, Prior()) == {H: 0.75, M: 0.0, W: 0.125, U: 0.125}
    assert change_chance(ExemplarOutcomes(1, 0, 0), 1, Prior()) == 0.25


def test_two_silent_sets_by_hand() -> None:
    # None right again: 2.5/3 * 3.5/4. No right sample in either, given that: the same.
    chances = retest_chances(ExemplarOutcomes(0, 0, 2), 2, Prior())

    none = 2.5 / 3 * 3.5 / 4
    assert chances[H] == pytest.approx(0.5 / 3 * 1.5 / 4)
    assert chances[U] == pytest.approx(none * none)
    assert chances[W] == pytest.approx(none * (1 - none))


@settings(max_examples=50)
@given(KINDS, st.integers(1, 12), PARAMETERS, PARAMETERS)
def test_chances_are_beta_binomial(kinds: ExemplarOutcomes, sets: int, greedy: Beta, sampled: Beta) -> None:
    chances = retest_chances(kinds, sets, Prior(greedy, sampled))

    missed = kinds.sampled + kinds.none
    right = betabinom(sets, greedy.a + kinds.right, greedy.b + missed)
    silent = betabinom(sets, sampled.a + kinds.sampled, sampled.b + kinds.none).pmf(0)
    assert chances[H] == pytest.approx(right.pmf(sets), abs=1e-9)
    assert chances[U] == pytest.approx(right.pmf(0) * silent, abs=1e-9)
    assert sum(chances.values()) == pytest.approx(1.0)
    assert all(0 <= chance <= 1 for chance in chances.values())


@settings(max_examples=50)
@given(KINDS.filter(lambda kinds: sum(kinds) > 0), PARAMETERS)
def test_without_samples_nothing_becomes_weakly_known(kinds: ExemplarOutcomes, greedy: Beta) -> None:
    assert retest_chances(kinds, 4, Prior(greedy), sampling=False)[W] == 0.0


def test_a_retest_without_sets_is_refused() -> None:
    with pytest.raises(UsageError, match="at least one exemplar set"):
        retest_chances(ExemplarOutcomes(1, 0, 0), 0, Prior())


@pytest.mark.parametrize(
    ("right", "hits", "kinds", "category"),
    [
        ([True, True], [0, 2], ExemplarOutcomes(2, 0, 0), H),
        ([True, False], [0, 2], ExemplarOutcomes(1, 1, 0), M),
        ([False, False], [0, 1], ExemplarOutcomes(0, 1, 1), W),
        ([False, False], [0, 0], ExemplarOutcomes(0, 0, 2), U),
    ],
)
def test_sets_are_counted_by_kind(
    right: list[bool], hits: list[int], kinds: ExemplarOutcomes, category: KnowledgeCategory
) -> None:
    assert exemplar_outcomes(score_sets(right, hits, 2)) == kinds
    assert category_of(kinds) is category


def test_number_of_changes_equals_the_enumeration() -> None:
    chances = {0.1: 3, 0.5: 2, 0.9: 2}
    each = [chance for chance, count in chances.items() for _ in range(count)]
    distribution = [0.0] * (len(each) + 1)
    for outcome in product((0, 1), repeat=len(each)):
        weight = 1.0
        for happened, chance in zip(outcome, each, strict=True):
            weight *= chance if happened else 1 - chance
        distribution[sum(outcome)] += weight
    below = [sum(distribution[: n + 1]) for n in range(len(distribution))]

    changes = expected_changes(chances)

    assert changes.expected == pytest.approx(0.3 + 1.0 + 1.8)
    assert changes.low == next(n for n, chance in enumerate(below) if chance >= 0.025)
    assert changes.high == next(n for n, chance in enumerate(below) if chance >= 0.975)


def test_interval_of_equal_chances_is_the_binomial_one() -> None:
    assert expected_changes({0.2: 500})[1:] == (binom.ppf(0.025, 500, 0.2), binom.ppf(0.975, 500, 0.2))


@pytest.mark.parametrize(("chances", "expected"), [({}, (0, 0, 0)), ({0.0: 4}, (0, 0, 0)), ({1.0: 4}, (4, 4, 4))])
def test_certain_outcomes_have_no_width(chances: dict[float, int], expected: tuple[int, int, int]) -> None:
    assert expected_changes(chances) == expected


def test_normal_interval_agrees_with_the_exact_one(monkeypatch: pytest.MonkeyPatch) -> None:
    chances = {0.02: 4000, 0.3: 3000, 0.6: 1000}
    exact = expected_changes(chances)
    monkeypatch.setattr(retest, "_EXACT_QUESTIONS", 10)

    normal = expected_changes(chances)

    assert normal.expected == exact.expected
    assert abs(normal.low - exact.low) <= 1
    assert abs(normal.high - exact.high) <= 1


def simulated(
    seed: int, questions: int, sets: int, greedy: Beta, sampled: Beta
) -> list[tuple[ExemplarOutcomes, ExemplarOutcomes]]:
    """Questions with true rates drawn from Beta distributions, detected twice."""
    rng = random.Random(seed)

    def detect(p: float, q: float) -> ExemplarOutcomes:
        drawn = [0 if rng.random() < p else 1 if rng.random() < q else 2 for _ in range(sets)]
        return ExemplarOutcomes(drawn.count(0), drawn.count(1), drawn.count(2))

    rates = [(rng.betavariate(*greedy), rng.betavariate(*sampled)) for _ in range(questions)]
    return [(detect(p, q), detect(p, q)) for p, q in rates]


def test_fitted_prior_finds_the_true_one() -> None:
    greedy, sampled = Beta(0.3, 0.6), Beta(0.5, 1.0)

    prior = fit_prior(Counter(first for first, _ in simulated(0, 5000, 10, greedy, sampled)))

    assert prior.greedy == pytest.approx(greedy, rel=0.15)
    assert prior.sampled == pytest.approx(sampled, rel=0.15)


def test_observed_changes_fall_into_the_interval_of_the_fitted_prior() -> None:
    inside = 0
    for seed in range(40):
        pairs = simulated(seed, 200, 6, Beta(0.2, 0.3), Beta(0.3, 0.6))
        prior = fit_prior(Counter(first for first, _ in pairs))
        expected = expected_changes(Counter(change_chance(first, 6, prior) for first, _ in pairs))
        inside += expected.low <= sum(category_of(one) is not category_of(two) for one, two in pairs) <= expected.high

    assert inside >= 34  # with true 95 % intervals fewer have a chance of 0.3 %


def test_few_questions_keep_jeffreys_prior() -> None:
    assert fit_prior({ExemplarOutcomes(1, 1, 1): 29}) == Prior()
    assert fit_prior({}) == Prior(JEFFREYS, JEFFREYS)


@pytest.mark.parametrize(
    "kinds",
    [ExemplarOutcomes(10, 0, 0), ExemplarOutcomes(0, 0, 10), ExemplarOutcomes(0, 10, 0), ExemplarOutcomes(5, 3, 2)],
)
def test_questions_that_are_all_alike_give_a_finite_prior(kinds: ExemplarOutcomes) -> None:
    prior = fit_prior({kinds: 1000})

    assert all(0.0199 <= value <= 50.1 for value in (*prior.greedy, *prior.sampled))
    assert change_chance(kinds, 10, prior) < 0.5
