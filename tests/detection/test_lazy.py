"""Which generations are requested, and which category results."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kft_tasks.categories.answer_scorer import AnswerScorer
from kft_tasks.categories.category import KnowledgeCategory
from kft_tasks.categories.category_file import CategorizedQuestion
from kft_tasks.detection.count import DetectionCount
from kft_tasks.detection.lazy import detect_chunk, finish
from kft_tasks.detection.schedule import Chunk, make_chunks, make_rounds
from kft_tasks.errors import DataError
from kft_tasks.protocol.exemplars import ExemplarPool
from kft_tasks.protocol.prompt_maker import PromptMaker
from kft_tasks.protocol.protocol import Protocol
from kft_tasks.questions import Question
from task_helpers import ScriptedAnswerer, make_exemplars, make_question

HIGHLY, MAYBE, WEAKLY, UNKNOWN = KnowledgeCategory
Answers = tuple[tuple[bool, ...], tuple[tuple[bool, ...], ...]]
"""(right? a greedy answer; right? a sample, by exemplar set)."""


def _detect(
    answers: list[Answers], protocol: Protocol, *, lazy: bool = True
) -> tuple[list[CategorizedQuestion], ScriptedAnswerer, list[tuple[str, int]]]:
    """Detect one chunk whose question number i gets ``answers[i]``; return it with the steps."""

    def table(question_id: str, exemplar_set: int, kind: str, sample: int) -> bool:
        greedy, sampled = answers[int(question_id)]
        return greedy[exemplar_set] if kind == "greedy" else sampled[exemplar_set][sample]

    chunk = Chunk(0, [make_question(str(number)) for number in range(len(answers))])
    chunk.clear(protocol.exemplar_sets)
    answerer, scorer = ScriptedAnswerer(table, protocol), AnswerScorer(protocol.scorer)
    prompts = PromptMaker(protocol, ExemplarPool(make_exemplars(), protocol))
    steps = [(kind, len(pairs)) for kind, pairs in detect_chunk(chunk, prompts, answerer, protocol, scorer, lazy=lazy)]
    return finish(chunk, scorer, protocol), answerer, steps


def _category(answers: Answers) -> KnowledgeCategory:
    """The paper's definition."""
    greedy, sampled = answers
    if all(greedy):
        return HIGHLY
    if any(greedy):
        return MAYBE
    return WEAKLY if any(map(any, sampled)) else UNKNOWN


def _asked(answers: Answers, rounds: list[list[int]]) -> tuple[set[int], set[int]]:
    """Exemplar sets that must be asked, greedy and sampled, when whole rounds are asked until the question is decided."""
    greedy, sampled = answers
    first: set[int] = set()
    for round_ in rounds:
        first |= set(round_)
        if len({greedy[number] for number in first}) == 2:
            return first, set()
    if greedy[0]:
        return first, set()
    second: set[int] = set()
    for round_ in rounds:
        second |= set(round_)
        if any(any(sampled[number]) for number in second):
            break
    return first, second if sampled[0] else set()


def _check(all_answers: list[Answers], exemplar_sets: int, samples: int) -> None:
    protocol = Protocol(exemplar_sets=exemplar_sets, samples=samples, scorer="exact_match")
    lazy, answerer, _ = _detect(all_answers, protocol)
    exhaustive, everything, _ = _detect(all_answers, protocol, lazy=False)
    assert [item.category for item in lazy] == [_category(answers) for answers in all_answers]
    assert [item.category for item in exhaustive] == [item.category for item in lazy]
    asked = [_asked(answers, make_rounds(exemplar_sets)) for answers in all_answers]
    for number, (greedy, sampled) in enumerate(asked):
        assert sorted(n for id_, n in answerer.greedy_asked if id_ == str(number)) == sorted(greedy)
        assert sorted(n for id_, n in answerer.sampled_asked if id_ == str(number)) == sorted(sampled)
    assert everything.made == len(all_answers) * exemplar_sets * (1 + samples)
    for item, full in zip(lazy, exhaustive, strict=True):
        for some, whole in ((item.greedy_answers, full.greedy_answers), (item.sampled_answers, full.sampled_answers)):
            assert all(given in (None, also) for given, also in zip(some, whole, strict=True))


@pytest.mark.parametrize(("exemplar_sets", "samples"), [(1, 0), (1, 1), (1, 3), (2, 2), (3, 1), (4, 1), (5, 0)])
def test_lazy_is_exhaustive_and_asks_no_wave_too_many_for_every_combination(exemplar_sets: int, samples: int) -> None:
    combinations = [
        (greedy, tuple(sampled[number * samples :][:samples] for number in range(exemplar_sets)))
        for greedy in itertools.product((False, True), repeat=exemplar_sets)
        for sampled in itertools.product((False, True), repeat=exemplar_sets * samples)
    ]
    assert len(combinations) == 2 ** (exemplar_sets * (1 + samples))
    _check(combinations, exemplar_sets, samples)


@st.composite
def any_protocol(draw: st.DrawFn) -> tuple[list[Answers], int, int]:
    sets, samples = draw(st.integers(1, 12)), draw(st.integers(0, 4))
    share = draw(st.sampled_from([0, 1, 2, 9]))  # mostly wrong to mostly right: every category occurs

    def rights(count: int) -> Any:
        return st.lists(st.integers(0, 9).map(lambda n: n < share), min_size=count, max_size=count).map(tuple)

    sampled = st.lists(rights(samples), min_size=sets, max_size=sets).map(tuple)
    return draw(st.lists(st.tuples(rights(sets), sampled), min_size=1, max_size=6)), sets, samples


@given(any_protocol())
def test_lazy_is_exhaustive_and_asks_no_wave_too_many(drawn: tuple[list[Answers], int, int]) -> None:
    _check(*drawn)


@pytest.mark.parametrize(
    ("greedy", "hit", "made"),
    [
        ("1" * 10, None, 10),  # HighlyKnown needs every greedy answer and no sample
        ("10" * 5, None, 2),  # MaybeKnown in the first round of 2
        ("1110111111", None, 4),
        ("0000010000", None, 7),
        ("0000000001", None, 10),
        ("0" * 10, 0, 10 + 2 * 16),  # WeaklyKnown by the first round of samples
        ("0" * 10, 3, 10 + 4 * 16),
        ("0" * 10, 9, 10 + 10 * 16),
        ("0" * 10, None, 10 + 10 * 16),  # Unknown needs everything
    ],
)
def test_generations_made_under_the_default_protocol(greedy: str, hit: int | None, made: int) -> None:
    sampled = tuple((number == hit,) * 16 for number in range(10))
    answers: Answers = (tuple(char == "1" for char in greedy), sampled)
    (item,), answerer, _ = _detect([answers], Protocol())
    assert answerer.made == made
    count = DetectionCount()
    count.add([item], Protocol())
    assert (count.questions, count.made, count.saved) == (1, made, 170 - made)


def test_open_questions_of_a_chunk_are_asked_together() -> None:
    known: Answers = ((True, True, True), ((True,),) * 3)
    unknown: Answers = ((False, False, False), ((False,),) * 3)
    maybe: Answers = ((True, False, False), ((False,),) * 3)
    _, _, steps = _detect([known, unknown, maybe, unknown], Protocol(exemplar_sets=3, samples=1))
    assert steps == [("greedy", 8), ("greedy", 3), ("sampled", 4), ("sampled", 2)]


def test_answers_that_are_there_are_not_asked_for_again() -> None:
    protocol = Protocol(exemplar_sets=3, samples=1)
    chunk = Chunk(0, [make_question("0")])
    chunk.clear(3)
    chunk.greedy[0][:2] = ["no", "no"]
    answerer = ScriptedAnswerer(lambda *of: False, protocol)
    prompts = PromptMaker(protocol, ExemplarPool(make_exemplars(), protocol))
    list(detect_chunk(chunk, prompts, answerer, protocol, AnswerScorer(protocol.scorer)))
    assert answerer.greedy_asked == [("0", 2)]


def test_an_undecided_question_is_an_error_not_unknown() -> None:
    chunk = Chunk(0, [make_question("q")])
    chunk.clear(10)
    with pytest.raises(DataError, match="Question 'q' is undecided after detection"):
        finish(chunk, AnswerScorer(Protocol().scorer), Protocol())


@pytest.mark.parametrize("count", range(1, 23))
def test_rounds_ask_every_exemplar_set_once_in_order_few_at_first(count: int) -> None:
    rounds = make_rounds(count)
    assert list(itertools.chain(*rounds)) == list(range(count))
    assert [len(round_) for round_ in rounds[:-1]] == [2, 2, *[3] * len(rounds)][: len(rounds) - 1]


def _types(count: int) -> list[Question]:
    return [make_question(str(number), f"type{number * 7 % 5}") for number in range(count)]


@pytest.mark.parametrize("count", [0, 1, 3, 4, 47, 48, 49, 64, 65, 200])
def test_chunks_hold_every_question_once(count: int) -> None:
    questions = _types(count)
    chunks = list(make_chunks(questions, 3))
    assert [chunk.number for chunk in chunks] == list(range(len(chunks)))
    assert sorted(q.id for chunk in chunks for q in chunk.questions) == sorted(q.id for q in questions)
    assert all(1 <= len(chunk.questions) <= 3 for chunk in chunks)
    assert chunks == list(make_chunks(iter(questions), 3))


def test_chunks_put_neighbours_in_type_together() -> None:
    chunks = list(make_chunks(_types(30), 2))  # 6 questions of each of 5 types
    assert all(len({question.type for question in chunk.questions}) == 1 for chunk in chunks)


def test_a_chunk_does_not_depend_on_what_comes_after_its_window() -> None:
    window = 3 * 16
    assert list(make_chunks(_types(window), 3)) == list(make_chunks(_types(window + 100), 3))[:16]


def test_chunks_read_a_bounded_part_of_the_stream_ahead() -> None:
    read = 0

    def stream() -> Iterator[Question]:
        nonlocal read
        for question in _types(10_000):
            read += 1
            yield question

    chunks = make_chunks(stream(), 4)
    for number, _ in zip(range(100), chunks, strict=False):
        assert read <= (number // 16 + 1) * 4 * 16


def test_an_answer_scorer_scores_each_answer_by_its_own_accepted_answers() -> None:
    scorer = AnswerScorer(Protocol().scorer)
    paris, rome = (make_question("1", answers=(name,)) for name in ("Paris", "Rome"))
    assert scorer.right("Paris", paris)
    assert not scorer.right("Paris", rome)
    assert scorer.right("Paris", paris)
