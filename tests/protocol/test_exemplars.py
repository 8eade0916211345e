from __future__ import annotations

import random
from itertools import chain

import pytest

from kft_tasks.errors import DataError
from kft_tasks.protocol import exemplars as exemplars_module
from kft_tasks.protocol.exemplars import ExemplarPool, ExemplarSet
from kft_tasks.protocol.protocol import Protocol
from task_helpers import make_exemplars, make_question


def _ids(sets: tuple[ExemplarSet, ...]) -> list[list[str]]:
    return [[question.id for question in chosen] for chosen in sets]


def _sets(count: int, protocol: Protocol, *, shuffle: int = 0) -> list[list[str]]:
    pool = make_exemplars(["t", "u"], count)
    random.Random(shuffle).shuffle(pool)
    return _ids(ExemplarPool(pool, protocol).sets("t"))


def test_sets_are_disjoint_while_the_pool_lasts() -> None:
    sets = _sets(40, Protocol())
    assert [len(chosen) for chosen in sets] == [4] * 10
    assert len(set(chain(*sets))) == 40


def test_a_pool_that_does_not_last_is_used_up_before_any_exemplar_comes_again() -> None:
    sets = _sets(12, Protocol())
    assert len(set(chain(*sets[:3]))) == 12
    assert len({frozenset(chosen) for chosen in sets}) == 10
    assert all(len(set(chosen)) == 4 for chosen in sets)


def test_sets_have_their_own_type_only() -> None:
    pool = ExemplarPool(make_exemplars(["t", "u"]), Protocol())
    for type_ in ("t", "u"):
        assert {question.type for question in chain(*pool.sets(type_))} == {type_}


def test_sets_do_not_depend_on_the_order_of_the_pool() -> None:
    protocol = Protocol()
    assert all(_sets(13, protocol, shuffle=seed) == _sets(13, protocol) for seed in range(1, 6))
    pools = [ExemplarPool(pool, protocol) for pool in (make_exemplars(), make_exemplars()[::-1])]
    assert pools[0].digest == pools[1].digest


def test_sets_do_not_depend_on_other_types_nor_on_how_many_are_drawn() -> None:
    alone = _ids(ExemplarPool(make_exemplars(["t"], 13), Protocol()).sets("t"))
    assert alone == _sets(13, Protocol())
    assert _sets(13, Protocol(exemplar_sets=3)) == alone[:3]


def test_another_seed_draws_other_sets() -> None:
    drawn = {str(_sets(40, Protocol(seed=seed))) for seed in range(20)}
    assert len(drawn) == 20


def test_settings_that_do_not_concern_the_draw_do_not_change_it() -> None:
    other = Protocol(
        samples=1, temperature=1.0, top_k=5, max_tokens=3, scorer="f1_at_least_half", template="slick", system="x"
    )
    assert _sets(13, other) == _sets(13, Protocol())


@pytest.mark.parametrize(("count", "sets", "shots"), [(3, 1, 4), (0, 1, 1), (4, 2, 4), (5, 6, 4)])
def test_too_few_exemplars_are_an_error_with_the_type_and_a_remedy(count: int, sets: int, shots: int) -> None:
    pool = ExemplarPool(make_exemplars(["t"], count), Protocol(exemplar_sets=sets, shots=shots), "my set")
    with pytest.raises(DataError) as caught:
        pool.sets("t")
    assert f"my set: type 't' has {count} exemplars, too few for {sets} different sets of {shots}." in str(caught.value)
    assert "Add exemplars of this type, or lower shots or exemplar_sets." in str(caught.value)


@pytest.mark.parametrize(("count", "sets"), [(4, 1), (5, 5)])
def test_every_different_set_of_a_small_pool_can_be_drawn(count: int, sets: int) -> None:
    drawn = _sets(count, Protocol(exemplar_sets=sets))
    assert len({frozenset(chosen) for chosen in drawn}) == sets


def test_a_type_without_exemplars_is_an_error() -> None:
    with pytest.raises(DataError, match="type 'other' has 0 exemplars"):
        ExemplarPool(make_exemplars(), Protocol()).sets("other")


def test_zero_shots_read_no_exemplars() -> None:
    def nothing() -> object:
        raise AssertionError("read")
        yield

    pool = ExemplarPool(nothing(), Protocol(exemplar_sets=1, shots=0))  # type: ignore[arg-type]
    assert pool.sets("any") == ((),)
    assert pool.ids() == frozenset()


def test_the_digest_covers_every_exemplar() -> None:
    pool = make_exemplars()
    digests = {ExemplarPool(chosen, Protocol()).digest for chosen in (pool, pool[1:], [*pool, make_question("x")])}
    assert len(digests) == 3


def test_ids_are_those_of_all_types() -> None:
    pool = make_exemplars(["t", "u"], 4)
    assert ExemplarPool(pool, Protocol()).ids() == {question.id for question in pool}


def test_fixed_sets_are_those_of_the_type_for_every_question() -> None:
    pool = ExemplarPool(make_exemplars(["t", "u"]), Protocol())
    assert pool.sets_for(make_question("x")) == pool.sets_for(make_question("y")) == pool.sets("t")
    assert pool.sets_for(make_question("x"), "u") == pool.sets("u")


def test_sets_per_question_differ_between_questions_and_depend_on_seed_and_ids_only() -> None:
    def drawn(name: str, seed: int = 0, *, others: tuple[str, ...] = (), shuffle: int = 0) -> list[list[str]]:
        exemplars = make_exemplars(["t", "u"], 13)
        random.Random(shuffle).shuffle(exemplars)
        pool = ExemplarPool(exemplars, Protocol(exemplars="per_question", seed=seed))
        for other in others:
            pool.sets_for(make_question(other))
        return _ids(pool.sets_for(make_question(name)))

    assert len({str(drawn(name)) for name in "abcdefgh"}) == 8
    assert drawn("a") == drawn("a", others=("b", "c"), shuffle=3)
    assert drawn("a") != drawn("a", seed=1)
    sets = drawn("a")
    assert [len(set(chosen)) for chosen in sets] == [4] * 10
    assert len(set(chain(*sets[:3]))) == 12  # disjoint while the pool lasts
    assert all(id_.startswith("e-t-") for id_ in chain(*sets))


def test_sets_per_question_can_be_of_another_type() -> None:
    pool = ExemplarPool(make_exemplars(["t", "u"]), Protocol(exemplars="per_question"))
    own, other = pool.sets_for(make_question("x")), pool.sets_for(make_question("x"), "u")
    assert {question.type for question in chain(*own)} == {"t"}
    assert {question.type for question in chain(*other)} == {"u"}
    assert pool.sets_for(make_question("x")) == own


def test_a_question_is_drawn_for_once_and_few_draws_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exemplars_module, "_KEPT", 3)
    pool = ExemplarPool(make_exemplars(), Protocol(exemplars="per_question"))
    draws: list[str] = []
    draw = pool._draw
    monkeypatch.setattr(pool, "_draw", lambda type_, salt: draws.append(salt) or draw(type_, salt))  # type: ignore[func-returns-value]
    first = pool.sets_for(make_question("a"))
    assert pool.sets_for(make_question("a")) is first
    assert len(draws) == 1
    for name in "bcde":
        pool.sets_for(make_question(name))
    assert len(pool._own_sets) <= 3
    assert pool.sets_for(make_question("a")) == first
