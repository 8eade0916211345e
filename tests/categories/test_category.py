from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kft_tasks.categories.category import KnowledgeCategory, Tally, decide
from kft_tasks.errors import UsageError

HIGHLY, MAYBE, WEAKLY, UNKNOWN = KnowledgeCategory


def test_categories_are_the_papers_words_best_first() -> None:
    assert [str(category) for category in KnowledgeCategory] == ["HighlyKnown", "MaybeKnown", "WeaklyKnown", "Unknown"]
    assert [category.rank for category in KnowledgeCategory] == [3, 2, 1, 0]


@pytest.mark.parametrize(
    ("greedy", "sampled", "category"),
    [
        # 10 greedy and 160 sampled answers in total
        ((0, 0), (0, 0), None),
        ((1, 1), (0, 0), None),
        ((9, 9), (0, 0), None),
        ((0, 9), (0, 0), None),
        ((0, 9), (1, 16), None),  # a right greedy answer may still come
        ((0, 9), (0, 160), None),
        ((1, 2), (0, 0), MAYBE),
        ((1, 10), (0, 160), MAYBE),
        ((9, 10), (160, 160), MAYBE),
        ((10, 10), (0, 0), HIGHLY),
        ((10, 10), (0, 160), HIGHLY),
        ((0, 10), (0, 0), None),
        ((0, 10), (0, 159), None),
        ((0, 10), (1, 1), WEAKLY),
        ((0, 10), (1, 160), WEAKLY),
        ((0, 10), (160, 160), WEAKLY),
        ((0, 10), (0, 160), UNKNOWN),
    ],
)
def test_decide(greedy: tuple[int, int], sampled: tuple[int, int], category: KnowledgeCategory | None) -> None:
    assert decide(Tally(*greedy), Tally(*sampled), greedy_total=10, sampled_total=160) is category


@pytest.mark.parametrize(
    ("greedy", "category"), [((1, 1), HIGHLY), ((0, 1), UNKNOWN), ((0, 0), None)], ids=["right", "wrong", "not asked"]
)
def test_without_samples_one_greedy_answer_decides(greedy: tuple[int, int], category: KnowledgeCategory | None) -> None:
    assert decide(Tally(*greedy), Tally(), greedy_total=1, sampled_total=0) is category


@pytest.mark.parametrize(("greedy_total", "sampled_total"), [(0, 0), (0, 16), (-1, 0), (1, -1)])
def test_a_protocol_that_asks_nothing_is_an_error_not_highly_known(greedy_total: int, sampled_total: int) -> None:
    with pytest.raises(UsageError, match="at least one greedy answer"):
        decide(Tally(), Tally(), greedy_total=greedy_total, sampled_total=sampled_total)


@pytest.mark.parametrize(("greedy", "sampled"), [((0, 3), (0, 0)), ((0, 2), (0, 5))])
def test_more_answers_than_the_protocol_has_are_refused(greedy: tuple[int, int], sampled: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match="are more than the protocol's"):
        decide(Tally(*greedy), Tally(*sampled), greedy_total=2, sampled_total=4)


@pytest.mark.parametrize(("right", "asked"), [(1, 0), (-1, 2), (3, 2), (0, -1)])
def test_impossible_tallies_are_refused(right: int, asked: int) -> None:
    with pytest.raises(UsageError, match="are impossible"):
        Tally(right, asked)


def test_share_of_nothing_is_none() -> None:
    assert Tally().share is None
    assert Tally(0, 4).share == 0.0
    assert Tally(1, 4).plus(1, 4) == Tally(2, 8)
    assert Tally(1, 4).share == 0.25


Event = tuple[str, bool]


def _walk(events: list[Event], greedy_total: int, sampled_total: int) -> list[KnowledgeCategory | None]:
    tallies = {"greedy": Tally(), "sampled": Tally()}
    decisions = [decide(**tallies, greedy_total=greedy_total, sampled_total=sampled_total)]
    for kind, right in events:
        tallies[kind] = tallies[kind].plus(int(right), 1)
        decisions.append(decide(**tallies, greedy_total=greedy_total, sampled_total=sampled_total))
    return decisions


def _exhaustive(events: list[Event]) -> KnowledgeCategory:
    """The paper's definition, over all answers."""
    greedy = [right for kind, right in events if kind == "greedy"]
    sampled = [right for kind, right in events if kind == "sampled"]
    if all(greedy):
        return HIGHLY
    if any(greedy):
        return MAYBE
    return WEAKLY if any(sampled) else UNKNOWN


def _check(events: list[Event]) -> None:
    totals = {kind: sum(name == kind for name, _ in events) for kind in ("greedy", "sampled")}
    decisions = _walk(events, totals["greedy"], totals["sampled"])
    decided = [decision for decision in decisions if decision is not None]
    assert decided
    assert set(decided) == {_exhaustive(events)}  # the first is the exhaustive one and none differs afterwards
    assert None not in decisions[decisions.index(decided[0]) :]


@given(
    st.lists(st.booleans(), min_size=1, max_size=8).flatmap(
        lambda greedy: st.lists(st.booleans(), max_size=12).flatmap(
            lambda sampled: st.permutations([("greedy", r) for r in greedy] + [("sampled", r) for r in sampled])
        )
    )
)
def test_in_every_order_the_first_decision_is_the_exhaustive_one_and_stays(events: list[Event]) -> None:
    _check(events)


@pytest.mark.parametrize(("greedy", "sampled"), [(1, 0), (1, 2), (2, 2), (3, 2)])
def test_in_every_small_protocol_every_order_gives_the_exhaustive_category(greedy: int, sampled: int) -> None:
    kinds = set(itertools.permutations(["greedy"] * greedy + ["sampled"] * sampled))
    for order in kinds:
        for rights in itertools.product((False, True), repeat=greedy + sampled):
            _check(list(zip(order, rights, strict=True)))


@pytest.mark.parametrize(("greedy", "sampled"), [(1, 0), (1, 2), (2, 2), (3, 2)])
def test_no_decision_is_later_than_it_must_be(greedy: int, sampled: int) -> None:
    """Undecided means that the outstanding answers could still lead to different categories."""
    for right, asked in itertools.product(range(greedy + 1), range(greedy + 1)):
        for hits, drawn in itertools.product(range(sampled + 1), range(sampled + 1)):
            if right > asked or hits > drawn:
                continue
            ends = {
                decide(
                    Tally(right + more, greedy),
                    Tally(hits + extra, sampled),
                    greedy_total=greedy,
                    sampled_total=sampled,
                )
                for more in range(greedy - asked + 1)
                for extra in range(sampled - drawn + 1)
            }
            now = decide(Tally(right, asked), Tally(hits, drawn), greedy_total=greedy, sampled_total=sampled)
            assert (now is None) == (len(ends) > 1)
