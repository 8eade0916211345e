from __future__ import annotations

import json

import numpy as np
import pytest

from kft_cli.stats.groups import QuestionGroups, Reading
from kft_cli.stats.seeds import (
    ratios_as_values,
    reach_of_seeds,
    seeds_change,
    seeds_estimate,
    seeds_needed,
    t_test_p,
)
from kft_tasks.errors import UsageError

LIKE_THESE = Reading.TYPES_LIKE_THESE
GROUPS = QuestionGroups([f"type {i % 12}" for i in range(240)], [str(i // 2) for i in range(240)])


def changes(seeds: int, mean: float = 0.1, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).choice([-1.0, 0.0, 1.0], (seeds, 240), p=[0.1, 0.8 - mean, 0.1 + mean])


def test_mean_is_over_seeds_and_questions() -> None:
    values = changes(4)
    for reading in Reading:
        found = seeds_change(values, GROUPS, reading)
        assert found.mean == pytest.approx(values.mean())
        assert found.per_seed == pytest.approx(tuple(values.mean(axis=1)))
        assert (found.low or 0) < values.mean() < (found.high or 0)
    assert (seeds_change(values, GROUPS, LIKE_THESE).seeds, seeds_change(values, GROUPS, LIKE_THESE).clusters) == (
        4,
        12,
    )


def test_standard_error_of_independent_parts_is_the_sum_of_their_variances() -> None:
    rng = np.random.default_rng(3)
    seeds, types = rng.normal(0, 0.05, (6, 1)), np.tile(rng.normal(0, 0.08, 12), 20)
    found = seeds_change(seeds + types, GROUPS, LIKE_THESE)
    expected = seeds.var(ddof=1) / 6 + types[:12].var(ddof=1) / 12
    assert found.standard_error == pytest.approx(np.sqrt(expected), rel=1e-3)


def test_more_seeds_do_not_cure_few_clusters() -> None:
    types = np.tile(np.random.default_rng(3).normal(0, 0.08, 12), 20)
    few, many = (seeds_change(np.tile(types, (seeds, 1)), GROUPS, LIKE_THESE) for seeds in (3, 30))
    assert few.standard_error == pytest.approx(many.standard_error, rel=0.02)
    assert few.standard_error == pytest.approx(types[:12].std(ddof=1) / np.sqrt(12), rel=0.02)


def test_order_of_the_seeds_does_not_matter() -> None:
    values = changes(16)
    one, two = (seeds_change(rows, GROUPS, LIKE_THESE) for rows in (values, values[::-1]))
    assert (one.low, one.high, one.p) == pytest.approx((two.low, two.high, two.p))


@pytest.mark.parametrize(("seeds", "p"), [(2, 0.5), (3, 0.25), (5, 0.0625), (6, 0.03125)])
def test_seeds_that_agree_reach_the_smallest_p_and_no_less(seeds: int, p: float) -> None:
    found = seeds_change(changes(seeds, mean=0.5), GROUPS, LIKE_THESE)
    assert found.p == found.smallest_p == p


def test_five_seeds_cannot_and_six_can() -> None:
    assert seeds_needed() == 6
    assert seeds_needed(0.01) == 8
    assert reach_of_seeds(5) == (
        "Five seeds cannot reach p < .05 in a two-sided sign-flip test, whose smallest p is 2/32 = .0625; six can."
    )
    assert reach_of_seeds(6).startswith("Six seeds can reach p = 2/64 = .0312")
    assert reach_of_seeds(1).startswith("One seed cannot reach p < .05")
    assert "2/8,192" in reach_of_seeds(13)


def test_one_seed_has_a_mean_and_no_interval() -> None:
    found = seeds_change(changes(1), GROUPS, LIKE_THESE)
    assert (found.low, found.high, found.p, found.smallest_p) == (None, None, None, 1)
    assert found.mean is not None
    assert found.reason == "There is one seed only, which cannot show how seeds differ."


def test_one_type_has_a_test_and_no_interval() -> None:
    groups = QuestionGroups(["capital"] * 240, GROUPS.subjects)
    found = seeds_change(changes(6, mean=0.5), groups, LIKE_THESE)
    assert (found.low, found.p, found.reason) == (
        None,
        0.03125,
        "There is one type only, which cannot show how types differ.",
    )


def test_no_change_under_any_seed_is_not_printed_as_certainty() -> None:
    found = seeds_change(np.zeros((3, 240)), GROUPS, LIKE_THESE)
    bound = 1 - 0.05 ** (1 / 12)
    assert (found.mean, found.low, found.high, found.p) == pytest.approx((0, -bound, bound, 1))
    assert "rule of three over 12 clusters" in (found.reason or "")


def test_nothing_measured_has_no_values() -> None:
    for values, groups in [([], GROUPS), ([[], []], QuestionGroups([], []))]:
        found = seeds_change(values, groups, LIKE_THESE)
        assert (found.mean, found.low, found.p, found.reason) == (None, None, None, "Nothing was measured.")


def test_wrong_shapes_and_percentage_points_are_refused() -> None:
    for values in (np.zeros((3, 239)), np.zeros(240), np.full((3, 240), 4.2)):
        with pytest.raises(UsageError):
            seeds_change(values, GROUPS, LIKE_THESE)


def test_record_is_json() -> None:
    tree = json.loads(json.dumps(seeds_change(changes(3), GROUPS, LIKE_THESE).to_json()))
    assert tree["reading"] == "types like these"
    assert len(tree["per_seed"]) == 3


def test_questions_that_do_not_count_under_a_seed_have_no_say() -> None:
    values = changes(4)
    asked = np.random.default_rng(5).random(values.shape) < 0.5
    noise = np.where(asked, values, np.random.default_rng(6).choice([-1.0, 1.0], values.shape))
    one, two = (seeds_change(rows, GROUPS, LIKE_THESE, asked=asked) for rows in (values, noise))
    assert one == two
    assert one.per_seed == pytest.approx([row[those].mean() for row, those in zip(values, asked, strict=True)])
    half = seeds_change(values[:, ::2], GROUPS.subset(range(0, 240, 2)), LIKE_THESE)
    even = np.tile(np.arange(240) % 2 == 0, (4, 1))
    found = seeds_change(values, GROUPS, LIKE_THESE, asked=even)
    assert (found.n, found.clusters) == (120, 6)
    assert (found.mean, found.low, found.high) == pytest.approx((half.mean, half.low, half.high))
    with pytest.raises(UsageError, match="no question that counts"):
        seeds_change(values, GROUPS, LIKE_THESE, asked=np.zeros(values.shape, dtype=bool))


def test_a_ratio_has_the_error_of_the_jackknife() -> None:
    rng = np.random.default_rng(7)
    below = rng.random((5, 240)) < 0.4
    above = below | (rng.random((5, 240)) < 0.1)
    found = seeds_estimate(ratios_as_values(above.astype(float), below.astype(float)), GROUPS, LIKE_THESE)
    assert found.mean == pytest.approx(above.sum() / below.sum())

    def without(seeds: list[int], types: list[int]) -> float:
        columns = [i for i in range(240) if i % 12 in types]
        return float(above[np.ix_(seeds, columns)].sum() / below[np.ix_(seeds, columns)].sum())

    def jackknife(estimates: list[float]) -> float:
        count = len(estimates)
        return (count - 1) / count * float(((np.array(estimates) - np.mean(estimates)) ** 2).sum())

    of_seeds = jackknife([without([i for i in range(5) if i != left], list(range(12))) for left in range(5)])
    of_types = jackknife([without(list(range(5)), [i for i in range(12) if i != left]) for left in range(12)])
    assert found.standard_error is not None
    assert max(of_seeds, of_types) * 0.9 < found.standard_error**2 < (of_seeds + of_types) * 1.1


def test_t_test_and_interval_agree() -> None:
    found = seeds_change(changes(6), GROUPS, LIKE_THESE)
    assert found.mean is not None
    assert found.low is not None
    assert found.high is not None
    p = t_test_p(found.mean, found)
    assert p is not None
    assert (p < 0.05) == (found.low > 0)
    assert t_test_p(found.mean - found.low, found) == pytest.approx(0.05)
    assert t_test_p(1.0, seeds_change(changes(1), GROUPS, LIKE_THESE)) is None
