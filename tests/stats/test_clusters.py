from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pytest

from kft_cli.stats.clusters import (
    ClusteredDifference,
    clustered_difference,
    clustered_mean,
    rule_of_three,
    t_quantile,
)
from kft_cli.stats.groups import QuestionGroups, Reading
from kft_cli.stats.intervals import mcnemar_exact_p
from kft_cli.stats.sign_flips import sign_flip_test
from kft_tasks.errors import UsageError

THESE, LIKE_THESE = Reading.THESE_TYPES, Reading.TYPES_LIKE_THESE


def independent(n: int) -> QuestionGroups:
    """One type, one question per subject."""
    return QuestionGroups(["capital"] * n, [str(i) for i in range(n)])


def typed(sizes: Sequence[int]) -> QuestionGroups:
    """Types of these sizes, one question per subject."""
    types = [f"type {number}" for number, size in enumerate(sizes) for _ in range(size)]
    return QuestionGroups(types, [str(i) for i in range(len(types))])


def random_points(n: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 5, n) / 4, rng.integers(0, 5, n) / 4


def test_variance_is_that_of_leaving_out_one_cluster_after_another() -> None:
    sizes = [3, 9, 1, 7, 5]
    groups, (before, after) = typed(sizes), random_points(25)
    changes, types = after - before, np.array(groups.types)
    without = np.array([changes[types != name].mean() for name in dict.fromkeys(groups.types)])
    variance = 4 / 5 * ((without - changes.mean()) ** 2).sum()
    found = clustered_difference(before, after, groups, LIKE_THESE)
    assert found.standard_error == pytest.approx(np.sqrt(variance + 1 / 25**2))
    assert found.degrees_of_freedom == pytest.approx(25**2 / (9 + 81 + 1 + 49 + 25) - 1)
    half = t_quantile(found.degrees_of_freedom) * (found.standard_error or 0)
    assert (found.low, found.high) == pytest.approx((changes.mean() - half, changes.mean() + half))


def test_fixed_types_leave_out_a_subject_within_its_type_only() -> None:
    groups, (before, after) = typed([4, 6]), random_points(10)
    changes = after - before
    parts = [(changes[:4], 0.4), (changes[4:], 0.6)]
    variance = sum(share**2 * part.var(ddof=1) / len(part) for part, share in parts)
    found = clustered_difference(before, after, groups, THESE)
    assert found.standard_error == pytest.approx(np.sqrt(variance + 1 / 100))
    assert (found.clusters, found.degrees_of_freedom) == (10, pytest.approx(8))


def test_design_effect_is_one_for_independent_questions() -> None:
    before, after = random_points(60)
    assert clustered_difference(before, after, independent(60), THESE).design_effect == pytest.approx(1)
    assert clustered_mean(before, independent(60), THESE).design_effect == pytest.approx(1)


def test_four_copies_of_every_question_have_a_design_effect_of_four() -> None:
    before, after = (np.repeat(values, 4) for values in random_points(200))
    groups = QuestionGroups(["capital"] * 800, [str(i // 4) for i in range(800)])
    found = clustered_difference(before, after, groups, THESE)
    assert found.design_effect == pytest.approx(4, abs=0.03)
    single = clustered_difference(before[::4], after[::4], independent(200), THESE)
    assert found.difference == pytest.approx(single.difference)
    assert found.high == pytest.approx(single.high, abs=1e-3)


def test_types_that_move_as_one_widen_types_like_these_and_not_these_types() -> None:
    groups = typed([20] * 10)
    before = np.tile([0.0, 1.0], 100)
    after = before.copy()
    after[:60] = 1.0  # three types learn everything
    fixed, clustered = (clustered_difference(before, after, groups, reading) for reading in (THESE, LIKE_THESE))
    assert fixed.difference == clustered.difference == pytest.approx(0.15)
    assert (fixed.low or 0) > 0 > (clustered.low or 0)
    assert (clustered.design_effect or 0) > 4 > 1 > (fixed.design_effect or 9)
    assert (fixed.p or 1) < 0.001
    assert clustered.p == 0.25  # three types changed: 2 / 2**3


def test_a_subject_is_one_within_its_type() -> None:
    groups = QuestionGroups(["capital", "capital", "river", "river"], ["Peru", "Chad", "Peru", "Chad"])
    assert groups.clusters(THESE).count == 4
    assert groups.clusters(LIKE_THESE).count == 2


@pytest.mark.parametrize(
    ("sizes", "strata"),
    [([1, 1, 5, 6], 3), ([1, 5, 6], 2), ([1, 1], 1), ([1], 1), ([5], 1), ([1, 2], 1), ([2, 2, 1, 1, 1], 3)],
)
def test_types_of_one_subject_are_put_together(sizes: list[int], strata: int) -> None:
    clusters = typed(sizes).clusters(THESE)
    assert clusters.strata == strata
    if sum(sizes) > 1:
        assert np.bincount(clusters.stratum).min() >= 2


def test_order_of_the_questions_does_not_matter() -> None:
    groups, (before, after) = typed([3, 9, 4, 7]), random_points(23)
    order = [int(i) for i in np.random.default_rng(2).permutation(23)]
    for reading in Reading:
        one = clustered_difference(before, after, groups, reading)
        two = clustered_difference(before[order], after[order], groups.subset(order), reading)
        values = [(r.difference, r.low, r.high, r.p, r.design_effect) for r in (one, two)]
        assert values[0] == pytest.approx(values[1])


def test_swapped_points_mirror_the_difference() -> None:
    groups, (before, after) = typed([3, 9, 4, 7]), random_points(23)
    for reading in Reading:
        forth, back = (clustered_difference(*pair, groups, reading) for pair in ((before, after), (after, before)))
        assert (back.low, back.high) == pytest.approx((-(forth.high or 0), -(forth.low or 0)))
        assert back.p == forth.p


def test_sign_flips_of_single_answers_are_mcnemars_exact_test() -> None:
    for lost, gained in [(0, 1), (1, 7), (3, 9), (0, 6), (5, 5)]:
        before = np.repeat([1.0, 0.0, 0.0], [lost, gained, 40])
        after = np.repeat([0.0, 1.0, 0.0], [lost, gained, 40])
        found = clustered_difference(before, after, independent(40 + lost + gained), THESE)
        assert found.p == pytest.approx(mcnemar_exact_p(lost, gained))


def test_no_change_at_all_is_not_printed_as_certainty() -> None:
    values = np.tile([0.0, 1.0], 30)
    for reading, clusters, what in [(THESE, 60, "60 subjects"), (LIKE_THESE, 6, "6 types")]:
        found = clustered_difference(values, values, typed([10] * 6), reading)
        bound = 1 - 0.05 ** (1 / clusters)
        assert (found.difference, found.low, found.high) == pytest.approx((0, -bound, bound))
        assert (found.p, found.changed, found.standard_error, found.design_effect) == (1, 0, None, None)
        assert found.reason == f"No question changed: rule of three over {what}."


def test_rule_of_three_counts_unequal_clusters_for_less() -> None:
    equal, unequal = (typed(sizes).clusters(LIKE_THESE) for sizes in ([10] * 30, [271, *[1] * 29]))
    assert rule_of_three(equal) == pytest.approx(3 / 30, rel=0.06)
    assert rule_of_three(unequal) > 0.9


def test_all_right_and_all_wrong_have_one_sided_intervals() -> None:
    groups, bound = typed([10] * 6), 1 - 0.05 ** (1 / 60)
    wrong, right = clustered_mean([0] * 60, groups, THESE), clustered_mean([1] * 60, groups, THESE)
    assert (wrong.mean, wrong.low, wrong.high) == pytest.approx((0, 0, bound))
    assert (right.mean, right.low, right.high) == pytest.approx((1, 1 - bound, 1))
    assert right.reason == "All values agree: rule of three over 60 subjects."


def test_all_questions_changed_alike() -> None:
    found = clustered_difference([0] * 60, [1] * 60, typed([10] * 6), LIKE_THESE)
    assert (found.difference, found.high, found.p) == pytest.approx((1, 1, 2 / 64))
    assert 0 < (found.low or 0) < 1
    assert (found.reason or "").startswith("All questions changed alike")


def test_clusters_with_equal_means_are_no_better_than_independent_questions() -> None:
    found = clustered_mean([0, 1] * 8, typed([2] * 8), LIKE_THESE)
    assert found.design_effect == 0
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0.3 < 0.7 < found.high


def test_mean_and_interval_stay_within_zero_and_one() -> None:
    for right in range(1, 20):
        found = clustered_mean([1] * right + [0] * (20 - right), independent(20), THESE)
        assert 0 < (found.low or 0) < right / 20 < (found.high or 1) < 1


def test_one_cluster_has_a_difference_and_no_interval() -> None:
    found = clustered_difference([0, 0, 1], [1, 0, 1], independent(3), LIKE_THESE)
    assert (found.difference, found.low, found.high, found.p) == (pytest.approx(1 / 3), None, None, None)
    assert found.reason == "There is one type only, which cannot show how types differ."
    mean = clustered_mean([1.0], independent(1), THESE)
    assert (mean.mean, mean.low, mean.reason) == (
        1,
        None,
        "There is one subject only, which cannot show how subjects differ.",
    )


def test_no_questions_have_no_values() -> None:
    empty = QuestionGroups([], [])
    for reading in Reading:
        found, mean = clustered_difference([], [], empty, reading), clustered_mean([], empty, reading)
        assert (found.n, found.difference, found.low, found.p, found.before) == (0, None, None, None, None)
        assert (mean.n, mean.mean, mean.low, mean.high) == (0, None, None, None)
        assert found.reason == mean.reason == "There are no questions."


@pytest.mark.parametrize("values", [[0.5, 1.2], [-0.1, 0.5], [0.5], [float("nan"), 0.5]])
def test_values_that_are_not_one_share_per_question_are_refused(values: list[float]) -> None:
    with pytest.raises(UsageError):
        clustered_mean(values, independent(2), THESE)
    with pytest.raises(UsageError):
        clustered_difference(values, [0, 1], independent(2), THESE)


def test_types_and_subjects_of_different_questions_are_refused() -> None:
    with pytest.raises(UsageError, match="2 types and 1 subjects"):
        QuestionGroups(["a", "b"], ["x"])


def test_records_are_json() -> None:
    groups, (before, after) = typed([3, 9, 4, 7]), random_points(23)
    found = clustered_difference(before, after, groups, LIKE_THESE)
    tree = json.loads(json.dumps(found.to_json()))
    assert tree["reading"] == "types like these"
    assert ClusteredDifference(**{**tree, "reading": Reading(tree["reading"])}) == found
    assert json.dumps(clustered_mean(before, groups, THESE).to_json())
    assert json.dumps(sign_flip_test([1, 2]).to_json())
