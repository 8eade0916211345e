from __future__ import annotations

import itertools

import numpy as np
import pytest

from kft_cli.stats.intervals import (
    holm,
    is_clear,
    mcnemar_exact_p,
    newcombe_paired_interval,
    paired_difference,
    paired_difference_of_counts,
    wilson_share,
)
from kft_tasks.errors import UsageError


@pytest.mark.parametrize(
    ("count", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_intervals_are_those_of_newcombe_1998_table_1(count: int, n: int, low: float, high: float) -> None:
    share = wilson_share(count, n)
    assert (round(share.low or 0, 4), round(share.high or 0, 4)) == (low, high)


def test_wilson_interval_agrees_with_scipy() -> None:
    from scipy.stats import binomtest

    for count, n in [(0, 1), (1, 1), (3, 7), (133, 250), (34426, 169164)]:
        reference = binomtest(count, n).proportion_ci(method="wilson")
        share = wilson_share(count, n)
        assert (share.low, share.high) == pytest.approx((reference.low, reference.high), abs=1e-12)


def test_a_share_of_nothing_has_no_value() -> None:
    share = wilson_share(0, 0)
    assert (share.n, share.share, share.low, share.high) == (0, None, None, None)


def test_more_than_all_is_refused() -> None:
    with pytest.raises(UsageError):
        wilson_share(3, 2)


@pytest.mark.parametrize(
    ("cells", "low", "high"),
    [
        ((36, 2, 12, 0), 0.0569, 0.3404),  # Newcombe 1998, table II, method 10
        ((54, 0, 0, 0), -0.0664, 0.0664),  # Newcombe 1998, table II, method 10
        ((14, 0, 5, 22), 0.0115, 0.2265),  # Altman et al. 2000, table 6.2
        ((1, 7, 1, 12), -0.5069, -0.0256),  # Bentur et al. 2009, in Fagerland, Lydersen and Laake 2017, chapter 8
    ],
)
def test_newcombe_intervals_are_the_published_ones(cells: tuple[int, int, int, int], low: float, high: float) -> None:
    both, lost, gained, neither = cells
    found = newcombe_paired_interval(both=both, lost=lost, gained=gained, neither=neither)
    assert tuple(round(value, 4) for value in found) == (low, high)


def test_newcombe_interval_holds_the_difference_and_mirrors_when_points_are_swapped() -> None:
    for both, lost, gained, neither in itertools.product(range(4), repeat=4):
        n = both + lost + gained + neither
        if n == 0:
            continue
        low, high = newcombe_paired_interval(both=both, lost=lost, gained=gained, neither=neither)
        assert -1 <= low <= (gained - lost) / n <= high <= 1
        mirrored = newcombe_paired_interval(both=both, lost=gained, gained=lost, neither=neither)
        assert mirrored == pytest.approx((-high, -low))


@pytest.mark.parametrize(
    ("lost", "gained", "p"), [(0, 0, 1.0), (5, 5, 1.0), (1, 7, 0.0703125), (0, 4, 0.125), (0, 10, 2 / 1024)]
)
def test_mcnemar_exact_p_is_the_sign_test(lost: int, gained: int, p: float) -> None:
    assert mcnemar_exact_p(lost, gained) == pytest.approx(p, abs=1e-12)
    assert mcnemar_exact_p(gained, lost) == pytest.approx(p, abs=1e-12)


def test_paired_difference_counts_each_question_once() -> None:
    before = [True, True, False, False, False]
    found = paired_difference(before, [True, False, True, True, False])
    assert (found.n, found.both, found.lost, found.gained, found.neither) == (5, 1, 1, 2, 1)
    assert found.difference == pytest.approx(0.2)
    with pytest.raises(ValueError, match="zip"):
        paired_difference(before, [True])


def test_paired_difference_of_no_questions_has_no_value() -> None:
    found = paired_difference_of_counts(both=0, lost=0, gained=0, neither=0)
    assert (found.difference, found.low, found.high, found.mcnemar_p) == (None, None, None, 1.0)


def test_holm_multiplies_by_rank_and_never_falls() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([]) == []
    assert holm([0.2]) == [0.2]


def test_main_comparisons_share_half_of_the_error() -> None:
    ps = [0.01, 0.002, 0.03, 0.04]
    assert holm(ps, [False] * 4) == holm(ps, [True] * 4) == holm(ps)
    # weights .5, and .5 / 3 for the others: .01 / .5 = .02 comes after .002 / (.5 / 3) = .012
    assert holm(ps, [True, False, False, False]) == pytest.approx([0.01 * (5 / 6) / 0.5, 0.012, 0.06, 0.06])
    assert holm([0.9, 0.8], [True, False]) == [1.0, 1.0]


def test_the_correction_with_main_comparisons_keeps_its_level() -> None:
    rng = np.random.default_rng(5)
    main = [True, True, *[False] * 6]
    wrong = sum(min(holm(rng.random(8).tolist(), main)) < 0.05 for _ in range(4_000))
    assert 150 <= wrong <= 250  # 5 % of 4,000, give or take 3.6 standard deviations


def test_mcnemar_exact_p_agrees_with_statsmodels() -> None:
    from statsmodels.stats.contingency_tables import mcnemar

    for lost, gained in itertools.product((0, 1, 5, 40), (1, 6, 900)):
        reference = mcnemar([[3, lost], [gained, 2]], exact=True).pvalue
        assert mcnemar_exact_p(lost, gained) == pytest.approx(reference)


@pytest.mark.parametrize(
    ("p", "low", "high", "clear"),
    [
        (0.01, 0.02, 0.3, True),
        (0.01, -0.3, -0.02, True),
        (0.05, 0.02, 0.3, False),
        (0.01, -0.02, 0.3, False),
        (0.01, 0.0, 0.3, False),
        (1.0, None, None, False),
    ],
)
def test_a_difference_is_clear_by_p_and_by_interval(
    p: float, low: float | None, high: float | None, clear: bool
) -> None:
    assert is_clear(p, low, high) is clear
