from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import permutation_test

from kft_cli.stats.sign_flips import sign_flip_test, smallest_p


@pytest.mark.parametrize(("seeds", "floor"), [(1, 1.0), (2, 0.5), (3, 0.25), (5, 0.0625), (6, 0.03125)])
def test_the_smallest_p_of_a_sign_flip_test(seeds: int, floor: float) -> None:
    assert smallest_p(seeds) == floor
    if seeds > 1:  # scipy wants two observations
        assert sign_flip_test([0.1 + 0.01 * number for number in range(seeds)]).p == pytest.approx(floor)


def test_sign_flip_p_counts_patterns() -> None:
    assert sign_flip_test([0.0] * 6).p == 1.0
    assert sign_flip_test([0.4, 0.3, 0.2, 0.2, 0.3, -0.1]).p == 4 / 64  # only all signs alike is more extreme
    assert sign_flip_test([0.3] * 20).p < 0.001


def test_random_sign_flips_agree_with_scipys_enumeration() -> None:
    values = np.random.default_rng(5).normal(0.4, 1, 15)
    exact = permutation_test((values,), np.sum, permutation_type="samples", vectorized=True, n_resamples=np.inf).pvalue
    random = sign_flip_test(values)
    assert not random.exact
    assert random.p == pytest.approx(exact, abs=0.012)
    assert sign_flip_test(values, flips=2**15).p == pytest.approx(exact)
    assert sign_flip_test(values, flips=2**15).exact


def test_random_sign_flips_repeat_by_seed_and_never_give_zero() -> None:
    assert sign_flip_test([1.0] * 60).p == 1 / 10_000
    values = np.random.default_rng(5).normal(0, 1, 40)
    assert sign_flip_test(values, seed=3) == sign_flip_test(values, seed=3)
    assert sign_flip_test(values, seed=3) != sign_flip_test(values, seed=4)


def test_the_smallest_p_is_reached_when_all_agree() -> None:
    for count in (1, 2, 6, 8, 13):
        found = sign_flip_test([0.5] * count)
        assert found.p == pytest.approx(found.smallest_p)
        assert found.smallest_p == min(1, 2 / 2**count)


def test_unchanged_clusters_say_nothing_about_p() -> None:
    assert sign_flip_test([1, 2, 3, 4, 0, 0, 0]) == sign_flip_test([1, 2, 3, 4])
    assert sign_flip_test([0, 0]).p == 1
