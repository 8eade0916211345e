from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from itertools import combinations, permutations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kft_tasks.categories.category import KnowledgeCategory, Tally, decide
from kft_tasks.certainty.subsets import score_sets, smaller_protocol
from kft_tasks.detection.schedule import make_rounds
from kft_tasks.errors import UsageError

H, M, W, U = KnowledgeCategory
Ways = Counter[KnowledgeCategory]


def every_way(right: Sequence[bool], hits: Sequence[int], total: int, sets: int, samples: int) -> tuple[Ways, int, int]:
    """All orders of all subsets, asked one by one as lazy detection does: (categories, greedy asked, samples asked)."""
    categories: Ways = Counter()
    greedy_asked = sampled_asked = 0
    draws = [[sum(part) for part in combinations([1] * hit + [0] * (total - hit), samples)] for hit in hits]
    for order in permutations(range(len(right)), sets):
        for taken in product(*(draws[number] for number in order)):
            chosen = [right[number] for number in order]
            category, greedy, sampled = lazily(chosen, taken, samples)
            categories[category] += 1
            greedy_asked += greedy
            sampled_asked += sampled
    return categories, greedy_asked, sampled_asked


def lazily(right: Sequence[bool], taken: Sequence[int], samples: int) -> tuple[KnowledgeCategory, int, int]:
    greedy, sampled = Tally(), Tally()

    def decided() -> KnowledgeCategory | None:
        return decide(greedy, sampled, greedy_total=len(right), sampled_total=len(right) * samples)

    for round_ in make_rounds(len(right)):
        if decided() is None:
            greedy = greedy.plus(sum(right[number] for number in round_), len(round_))
    for round_ in make_rounds(len(right)):
        if decided() is None:
            sampled = sampled.plus(sum(taken[number] for number in round_), samples * len(round_))
    category = decided()
    assert category is not None
    return category, greedy.asked, sampled.asked


def test_half_a_protocol_by_hand() -> None:
    # One set right; one missed with 1 of 2 samples right. One set is drawn, and one sample in it.
    small = smaller_protocol(score_sets([True, False], [2, 1], 2), 1, 1)

    assert small.chances == {H: 0.5, M: 0.0, W: 0.25, U: 0.25}
    assert (small.greedy, small.sampled) == (1.0, 0.5)


def test_hypergeometric_samples_by_hand() -> None:
    # 3 of 16 samples right: 4 drawn miss them all with chance C(13,4)/C(16,4).
    small = smaller_protocol(score_sets([False], [3], 16), 1, 4)

    assert small.chances[U] == pytest.approx(715 / 1820)
    assert small.chances[W] == pytest.approx(1105 / 1820)


@settings(max_examples=40)
@given(st.data())
def test_chances_and_lazy_costs_equal_the_enumeration_of_all_ways(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 4), "exemplar sets")
    total = data.draw(st.integers(0, 3), "samples in a set")
    right = data.draw(st.lists(st.booleans(), min_size=count, max_size=count))
    hits = data.draw(st.lists(st.integers(0, total), min_size=count, max_size=count))
    sets, samples = data.draw(st.integers(1, count)), data.draw(st.integers(0, total))

    small = smaller_protocol(score_sets(right, hits, total), sets, samples)
    ways, greedy, sampled = every_way(right, hits, total, sets, samples)

    number = sum(ways.values())
    for category in KnowledgeCategory:
        assert small.chances[category] == pytest.approx(float(Fraction(ways[category], number)), abs=1e-12)
    assert small.greedy == pytest.approx(greedy / number)
    assert small.sampled == pytest.approx(sampled / number)


@pytest.mark.parametrize("right", [[True] * 5, [True, False, False, False, False], [False] * 5])
def test_five_sets_need_three_waves_and_cost_what_enumeration_says(right: list[bool]) -> None:
    hits = [0, 1, 0, 0, 1]

    small = smaller_protocol(score_sets(right, hits, 1), 5, 1)
    ways, greedy, sampled = every_way(right, hits, 1, 5, 1)

    assert (small.greedy, small.sampled) == pytest.approx((greedy / sum(ways.values()), sampled / sum(ways.values())))


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 16)), min_size=1, max_size=10))
def test_the_full_protocol_gives_its_own_category_for_certain(sets: list[tuple[bool, int]]) -> None:
    right, hits = [is_right for is_right, _ in sets], [hit for _, hit in sets]
    greedy, sampled = Tally(sum(right), len(sets)), Tally(sum(hits), 16 * len(sets))

    small = smaller_protocol(score_sets(right, hits, 16), len(sets), 16)

    own = decide(greedy, sampled, greedy_total=len(sets), sampled_total=16 * len(sets))
    assert small.chances[own] == 1.0
    assert sum(small.chances.values()) == 1.0


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 16)), min_size=10, max_size=10),
    st.integers(1, 10),
    st.integers(0, 16),
)
def test_chances_sum_to_one_and_laziness_never_costs_more(
    sets: list[tuple[bool, int]], number: int, samples: int
) -> None:
    small = smaller_protocol(score_sets([r for r, _ in sets], [h for _, h in sets], 16), number, samples)

    assert sum(small.chances.values()) == pytest.approx(1.0)
    assert all(0 <= chance <= 1 for chance in small.chances.values())
    assert 1 <= small.greedy <= number + 1e-9
    assert 0 <= small.sampled <= number * samples + 1e-9


@pytest.mark.parametrize(("sets", "samples"), [(0, 1), (3, 1), (1, 3), (1, -1)])
def test_what_is_not_part_of_the_protocol_is_refused(sets: int, samples: int) -> None:
    with pytest.raises(UsageError, match="are not part of 2 sets of 2"):
        smaller_protocol(score_sets([True, False], [0, 0], 2), sets, samples)


@pytest.mark.parametrize("hits", [[1], [1, 3], [0, -1]])
def test_scores_that_do_not_fit_are_refused(hits: list[int]) -> None:
    with pytest.raises(UsageError, match="do not fit"):
        score_sets([True, False], hits, 2)
