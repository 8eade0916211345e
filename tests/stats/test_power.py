from __future__ import annotations

import math

import numpy as np
import pytest

from kft_cli.stats.clusters import clustered_difference
from kft_cli.stats.groups import QuestionGroups, Reading
from kft_cli.stats.power import (
    detectable,
    detectable_over_seeds,
    mcnemar_power,
    minimum_detectable_effect,
    power_of,
    standard_error_of,
    variance_of_answers,
)
from kft_cli.stats.seeds import seeds_change
from kft_cli.stats.sign_flips import sign_flip_test
from kft_tasks.errors import UsageError

GROUPS = QuestionGroups([f"type {i % 10}" for i in range(200)], [str(i) for i in range(200)])


def test_the_demo_had_24_percent_power_for_three_points() -> None:
    assert mcnemar_power(0.03, 150, 7 / 150) == pytest.approx(0.24, abs=0.005)


def test_many_clusters_need_two_point_eight_standard_errors() -> None:
    assert minimum_detectable_effect(1, math.inf) == pytest.approx(1.959964 + 0.841621, abs=1e-5)
    assert minimum_detectable_effect(1, 5000) == pytest.approx(2.8016, abs=2e-3)


def test_few_clusters_need_more() -> None:
    effects = [minimum_detectable_effect(0.01, freedom) for freedom in (1, 2, 7, 20, 299)]
    assert effects == sorted(effects, reverse=True)
    assert effects[2] == pytest.approx(0.0326, abs=2e-4)  # 8 clusters, one-sample t test at 80 %


@pytest.mark.parametrize("freedom", [1, 7, 20, 299, math.inf])
@pytest.mark.parametrize("power", [0.1, 0.5, 0.8, 0.99])
def test_power_of_the_detectable_effect_is_the_power_asked_for(freedom: float, power: float) -> None:
    effect = minimum_detectable_effect(0.02, freedom, power)
    assert power_of(effect, 0.02, freedom) == pytest.approx(power, abs=1e-6)
    assert power_of(-effect, 0.02, freedom) == pytest.approx(power, abs=1e-6)


def test_power_of_no_effect_is_the_level_and_grows_to_one() -> None:
    assert power_of(0, 0.02, 20) == pytest.approx(0.05)
    powers = [power_of(effect, 0.02, 20) for effect in np.linspace(0, 0.3, 31)]
    assert powers == sorted(powers)
    assert powers[-1] == pytest.approx(1)


def test_power_agrees_with_a_published_value_of_the_one_sample_t_test() -> None:
    # Cohen 1988, n = 20 and d = 0.5 in a two-sided paired t test: .56 (G*Power 3: .5645)
    assert power_of(0.5, 1 / math.sqrt(20), 19) == pytest.approx(0.5645, abs=1e-4)


def test_design_effect_of_four_doubles_what_is_detectable() -> None:
    one, four = (standard_error_of(10_000, 0.1, effect) for effect in (1, 4))
    assert four / one == pytest.approx(2, rel=1e-2)


def test_planned_and_measured_standard_errors_agree() -> None:
    before = np.array([0.0, 1.0] * 100)
    after = before.copy()
    after[:30] = 1
    independent = QuestionGroups(["capital"] * 200, GROUPS.subjects)
    found = clustered_difference(before, after, independent, Reading.THESE_TYPES)
    variance = variance_of_answers(15 / 200, 15 / 200) * 200 / 199
    assert standard_error_of(200, variance) == pytest.approx(found.standard_error)


def test_detectable_change_of_a_measured_difference_in_words() -> None:
    before = np.array([0.0, 1.0] * 100)
    after = before.copy()
    after[:15] = 1
    found = clustered_difference(before, after, GROUPS, Reading.TYPES_LIKE_THESE)
    change = detectable(found)
    assert change.effect == pytest.approx(minimum_detectable_effect(found.standard_error or 0, 9))
    assert change.sentence() == (
        f"With 200 questions and a design effect of {found.design_effect:.1f}, a change of "
        f"{100 * (change.effect or 0):.1f} points would have been seen 80 % of the time."
    )
    assert change.to_json()["power"] == 0.8


def test_no_interval_has_no_detectable_change() -> None:
    groups = QuestionGroups(["capital"] * 4, list("abcd"))
    change = detectable(clustered_difference([0, 0, 1, 1], [0, 1, 1, 1], groups, Reading.TYPES_LIKE_THESE))
    assert change.effect is None
    assert change.sentence().endswith("There is one type only, which cannot show how types differ.")


def test_two_clusters_that_could_have_seen_nothing() -> None:
    groups = QuestionGroups(["a", "a", "b", "b"], list("abcd"))
    change = detectable(clustered_difference([0, 0, 1, 1], [0, 1, 1, 1], groups, Reading.TYPES_LIKE_THESE))
    assert change.effect is None


def test_mcnemar_power_is_exact() -> None:
    # six questions, all gains: p = 2/64 is the only clear outcome
    assert mcnemar_power(0.9, 6, 0.9) == pytest.approx(0.9**6)
    assert mcnemar_power(0, 40, 0.4) < 0.05
    assert mcnemar_power(0, 40, 0) == 0


def test_interval_and_mcnemars_test_agree_on_what_the_demo_could_have_seen() -> None:
    error = standard_error_of(150, variance_of_answers(7 / 150, 5 / 150))
    effect = minimum_detectable_effect(error, 149)
    assert effect == pytest.approx(0.053, abs=1e-3)
    assert mcnemar_power(effect, 150, effect) == pytest.approx(0.8, abs=0.02)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(UsageError):
        variance_of_answers(0.02, 0.03)
    with pytest.raises(UsageError):
        mcnemar_power(0.03, 150, 0.02)
    with pytest.raises(UsageError):
        standard_error_of(0, 0.1)
    with pytest.raises(UsageError):
        minimum_detectable_effect(0.1, 20, power=0.05)


@pytest.mark.parametrize("clusters", [8, 21])
def test_detectable_effect_is_seen_in_80_percent_of_simulated_repetitions(clusters: int) -> None:
    rng = np.random.default_rng(4)
    error = 0.1 / math.sqrt(clusters)
    effect = minimum_detectable_effect(error, clusters - 1)
    means = rng.normal(effect, 0.1, (20_000, clusters))
    ts = means.mean(axis=1) / (means.std(axis=1, ddof=1) / math.sqrt(clusters))
    from scipy.stats import t

    assert (abs(ts) > t.ppf(0.975, clusters - 1)).mean() == pytest.approx(0.8, abs=0.01)
    flipped = np.mean([sign_flip_test(row, flips=999).p < 0.05 for row in means[:500]])
    assert flipped == pytest.approx(0.8, abs=0.05)


def test_detectable_effect_over_seeds_is_that_of_their_interval() -> None:
    rng = np.random.default_rng(2)
    found = seeds_change(rng.choice([-1.0, 0.0, 1.0], (5, 200), p=[0.1, 0.7, 0.2]), GROUPS, Reading.TYPES_LIKE_THESE)
    told = detectable_over_seeds(found)
    assert told.effect is not None
    assert found.standard_error is not None
    assert found.degrees_of_freedom is not None
    assert power_of(told.effect, found.standard_error, found.degrees_of_freedom) == pytest.approx(0.8)
    half = ((found.high or 0) - (found.low or 0)) / 2
    assert half / found.standard_error < told.effect / found.standard_error < 3 * half / found.standard_error
    assert (told.n, told.design_effect, told.reason) == (200, None, None)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (np.ones((1, 200)), "There is one seed only, which cannot show how seeds differ."),
        (np.zeros((3, 200)), "No answer changed under any seed: rule of three over 10 clusters, seeds set aside."),
    ],
)
def test_seeds_without_a_standard_error_have_no_detectable_effect(changes: np.ndarray, reason: str) -> None:
    told = detectable_over_seeds(seeds_change(changes, GROUPS, Reading.TYPES_LIKE_THESE))
    assert (told.effect, told.reason) == (None, reason)
