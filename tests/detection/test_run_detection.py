"""Whole detections with a scripted model: files, journals, interruptions."""

from __future__ import annotations

import dataclasses
import json
import os
import threading
import tracemalloc
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import kft_tasks.detection.run
from kft_tasks.categories.category import KnowledgeCategory
from kft_tasks.categories.category_file import CategoryFile
from kft_tasks.detection import waiting as processes
from kft_tasks.detection.journal import Journal
from kft_tasks.detection.run import DetectionResult, detect, summary
from kft_tasks.detection.target import Target, select
from kft_tasks.errors import DataError, StateError
from kft_tasks.launcher import Process
from kft_tasks.protocol.exemplars import ExemplarPool
from kft_tasks.protocol.identity import ModelIdentity
from kft_tasks.protocol.prompt_maker import PromptMaker
from kft_tasks.protocol.protocol import Protocol
from kft_tasks.questions import Question
from task_helpers import (
    MODEL,
    Killed,
    ListSet,
    ScriptedAnswerer,
    make_exemplars,
    make_question,
    mixed_table,
    scripted_detection,
)

PROTOCOL = Protocol(scorer="exact_match", exemplar_sets=3, shots=2, samples=2)
TYPES = ("t", "u")


def _source(count: int = 10, **changes: Any) -> ListSet:
    questions = [make_question(f"q{number}", TYPES[number % 2]) for number in range(count)]
    return ListSet(questions, **{"exemplars": make_exemplars(TYPES), **changes})


def _answerer(protocol: Protocol = PROTOCOL, die_at: int | None = None) -> ScriptedAnswerer:
    return ScriptedAnswerer(mixed_table, protocol, die_at=die_at)


@pytest.fixture
def whole(tmp_path: Path) -> tuple[bytes, ScriptedAnswerer, dict[str, float]]:
    """An uninterrupted detection: its bytes, what it asked, what it cost."""
    answerer = _answerer()
    result = scripted_detection(_source(), PROTOCOL, tmp_path / "whole" / "x.jsonl", answerer)
    return result.path.read_bytes(), answerer, result.cost


def test_a_detection_leaves_the_category_file_alone_and_its_header_counts(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    source, output = _source(40), tmp_path / "new" / "x.categories.jsonl"
    prompts = kft_tasks.detection.run.ExemplarPool(source.split("exemplars"), PROTOCOL)
    answerer = _answerer()
    result = detect(
        Target(source, "test"),
        PROTOCOL,
        MODEL,
        lambda: (answerer, kft_tasks.detection.run.PromptMaker(PROTOCOL, prompts)),
        output,
        progress=lambda done, total, note: seen.append((done, total)),
        chunk_questions=4,
    )
    assert os.listdir(output.parent) == ["x.categories.jsonl"]
    items = list(CategoryFile(output))
    assert result.header == CategoryFile(output).header
    for category in KnowledgeCategory:
        assert result.header.counts[category.value] == sum(item.category is category for item in items) > 0
    assert (result.header.questions.count, len(items), result.reused) == (40, 40, False)
    assert result.count.made == answerer.made
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1] == (40, 40)
    assert summary(result)["generations"] == {"made": answerer.made, "saved": 40 * 9 - answerer.made}
    json.dumps(summary(result), allow_nan=False)


def test_lazy_and_exhaustive_files_agree_in_every_category(tmp_path: Path) -> None:
    source = _source(60)
    files = [
        scripted_detection(source, PROTOCOL, tmp_path / str(lazy), _answerer(), lazy=lazy).path
        for lazy in (True, False)
    ]
    lazy, full = ({item.question.id: item for item in CategoryFile(path)} for path in files)
    assert list(lazy) == list(full)
    assert all(lazy[id_].category is full[id_].category for id_ in lazy)
    assert all(item.greedy.asked == 3 and item.sampled.asked == 6 for item in full.values())
    assert [CategoryFile(path).header.exhaustive for path in files] == [False, True]


def test_killed_in_any_call_of_the_model_and_resumed_gives_the_same_bytes(
    tmp_path: Path, whole: tuple[bytes, ScriptedAnswerer, dict[str, float]]
) -> None:
    expected, undisturbed, cost = whole
    assert undisturbed.calls > 8
    for call in range(1, undisturbed.calls + 1):
        output = tmp_path / f"{call}.jsonl"
        with pytest.raises(Killed):
            scripted_detection(_source(), PROTOCOL, output, _answerer(die_at=call))
        assert not output.exists()
        rest = _answerer()
        result = scripted_detection(_source(), PROTOCOL, output, rest)
        assert output.read_bytes() == expected
        assert result.cost["prefilled"] == cost["prefilled"]  # the cost of finished chunks survives
        assert rest.made <= undisturbed.made
        assert not output.with_name(output.name + ".journal").exists()
    assert rest.made < undisturbed.made  # killed in the last chunk: the first ones were not asked again


@pytest.mark.parametrize("torn", [0.0, 0.5, 1.0], ids=["before", "within", "after"])
def test_killed_at_any_line_of_the_journal_and_resumed_gives_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: tuple[bytes, Any, Any], torn: float
) -> None:
    write = Journal._write
    lines, die_at = 0, 0

    def dying_write(self: Journal, row: dict[str, Any]) -> None:
        nonlocal lines
        lines += 1
        if lines != die_at:
            write(self, row)
            return
        before = self.path.stat().st_size
        write(self, row)
        after = self.path.stat().st_size
        os.truncate(self.path, before + int((after - before) * torn))
        raise Killed

    monkeypatch.setattr(Journal, "_write", dying_write)
    scripted_detection(_source(), PROTOCOL, tmp_path / "count.jsonl", _answerer())
    total = lines
    assert total > 8
    for die_at in range(1, total + 1):
        lines = 0
        output = tmp_path / f"{die_at}.jsonl"
        with pytest.raises(Killed):
            scripted_detection(_source(), PROTOCOL, output, _answerer())
        scripted_detection(_source(), PROTOCOL, output, _answerer())
        assert output.read_bytes() == whole[0]


def test_killed_again_and_again_a_detection_still_ends_with_the_same_bytes(
    tmp_path: Path, whole: tuple[bytes, Any, Any]
) -> None:
    output = tmp_path / "x.jsonl"
    deaths = 0
    while True:
        try:
            scripted_detection(_source(), PROTOCOL, output, _answerer(die_at=6))  # a chunk needs up to 5 calls
        except Killed:
            deaths += 1
        else:
            break
    assert deaths > 1
    assert output.read_bytes() == whole[0]


def test_killed_while_the_file_is_written_a_detection_asks_nothing_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: tuple[bytes, Any, Any]
) -> None:
    def dying(*args: Any) -> None:
        raise Killed

    output = tmp_path / "x.jsonl"
    with monkeypatch.context() as patch:
        patch.setattr(kft_tasks.detection.run, "write_category_file", dying)
        with pytest.raises(Killed):
            scripted_detection(_source(), PROTOCOL, output, _answerer())
    detect(Target(_source(), "test"), PROTOCOL, MODEL, None, output, chunk_questions=4)
    assert output.read_bytes() == whole[0]


def test_killed_after_the_file_was_written_a_journal_that_stayed_does_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: tuple[bytes, Any, Any]
) -> None:
    def dying(*args: Any) -> None:
        raise Killed

    output = tmp_path / "new" / "x.jsonl"
    with monkeypatch.context() as patch:
        patch.setattr(kft_tasks.detection.run.shutil, "rmtree", dying)
        with pytest.raises(Killed):
            scripted_detection(_source(), PROTOCOL, output, _answerer())
    result = detect(Target(_source(), "test"), PROTOCOL, MODEL, None, output, chunk_questions=4)
    assert result.reused
    assert output.read_bytes() == whole[0]
    other = dataclasses.replace(MODEL, weights="v" * 64)
    with pytest.raises(StateError, match="made with another model"):
        scripted_detection(_source(), PROTOCOL, output, _answerer(), model=other)


def test_a_finished_file_is_left_as_it_is_without_loading_the_model(tmp_path: Path) -> None:
    output = tmp_path / "x.jsonl"
    first = scripted_detection(_source(), PROTOCOL, output, _answerer())
    before = output.stat()
    result = detect(Target(_source(), "test"), PROTOCOL, MODEL, None, output)
    assert result.reused
    assert output.stat() == before
    assert (result.header, result.count) == (first.header, first.count)
    assert set(result.cost.values()) == {0.0}


@pytest.mark.parametrize(
    ("changes", "different"),
    [
        ({"model": dataclasses.replace(MODEL, weights="v" * 64)}, "model"),
        ({"model": dataclasses.replace(MODEL, adapter="a" * 64)}, "model"),
        ({"model": dataclasses.replace(MODEL, dtype="bfloat16")}, "model"),
        ({"protocol": dataclasses.replace(PROTOCOL, seed=1)}, "protocol"),
        ({"source": _source(11)}, "questions"),
        ({"source": _source(exemplars=make_exemplars(TYPES, 13))}, "questions"),
        ({"source": _source(name="other")}, "questions"),
        ({"source": _source(version="2")}, "questions"),
        ({"limit": 9}, "questions"),
        ({"lazy": False}, "exhaustive"),
    ],
)
def test_the_file_or_journal_of_another_detection_is_refused_and_stays(
    tmp_path: Path, changes: dict[str, Any], different: str
) -> None:
    output = tmp_path / "x.jsonl"
    values = {"source": _source(), "protocol": PROTOCOL, "output": output, **changes}

    def run() -> bytes:
        scripted_detection(answerer=_answerer(values["protocol"]), **values)
        return output.read_bytes()

    with pytest.raises(Killed):
        scripted_detection(_source(), PROTOCOL, output, _answerer(die_at=3))
    with pytest.raises(StateError, match=f"started for something else: (model|{different}) is .*Choose another output"):
        run()
    scripted_detection(_source(), PROTOCOL, output, _answerer())
    finished = output.read_bytes()
    with pytest.raises(StateError, match=f"made with another {different}. Choose another output, or overwrite it"):
        run()
    assert output.read_bytes() == finished
    values["overwrite"] = True
    assert run() != finished


def test_a_foreign_file_among_the_journals_is_named_and_stays(tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    foreign = output.with_name("out.jsonl.journal") / "notes.jsonl"
    foreign.parent.mkdir()
    foreign.write_text("mine\n", encoding="utf-8")
    with pytest.raises(StateError, match=r"notes\.jsonl: not a journal of kft"):
        scripted_detection(_source(), PROTOCOL, output, _answerer())
    assert foreign.read_text(encoding="utf-8") == "mine\n"


def test_a_question_edited_under_the_same_id_is_another_question(tmp_path: Path) -> None:
    output = tmp_path / "x.jsonl"
    scripted_detection(_source(), PROTOCOL, output, _answerer())
    edited = _source()
    edited.under_test = [dataclasses.replace(question, answers=("no",)) for question in edited.under_test]
    with pytest.raises(StateError, match="made with another questions"):
        scripted_detection(edited, PROTOCOL, output, _answerer())


def test_without_a_model_missing_answers_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="chunk 0 is missing. Run the same detection again."):
        detect(Target(_source(), "test"), PROTOCOL, MODEL, None, tmp_path / "x.jsonl")


def test_a_broken_file_in_the_place_of_the_output_is_refused(tmp_path: Path) -> None:
    output = tmp_path / "x.jsonl"
    output.write_text("notes\n")
    with pytest.raises(DataError, match="x.jsonl:1: not a JSON object"):
        scripted_detection(_source(), PROTOCOL, output, _answerer())
    assert output.read_text() == "notes\n"


def test_a_question_that_is_also_an_exemplar_is_refused_before_the_model_is_asked(tmp_path: Path) -> None:
    source = _source()
    source.under_test = [*source.under_test, dataclasses.replace(make_exemplars()[3], split="test")]
    answerer = _answerer()
    with pytest.raises(DataError, match="Question 'e-t-3' is also an exemplar"):
        scripted_detection(source, PROTOCOL, tmp_path / "x.jsonl", answerer)
    assert answerer.calls == 0


@pytest.mark.parametrize("limit", [None, 0])
def test_no_questions_are_an_error(tmp_path: Path, limit: int | None) -> None:
    with pytest.raises(DataError, match="list: split 'test' holds no questions. Choose another split."):
        scripted_detection(_source(0 if limit is None else 10), PROTOCOL, tmp_path / "x", _answerer(), limit=limit)


def _run_ranks(
    output: Path, answerers: Sequence[ScriptedAnswerer | None], monkeypatch: pytest.MonkeyPatch
) -> list[DetectionResult | BaseException | None]:
    """A detection by several processes: here threads, for which journals are locked alike. None: the process never starts."""
    world = len(answerers)
    results: list[DetectionResult | BaseException | None] = [None] * world

    def run(rank: int, answerer: ScriptedAnswerer) -> None:
        try:
            results[rank] = scripted_detection(_source(), PROTOCOL, output, answerer)
        except BaseException as error:
            results[rank] = error

    threads = [
        threading.Thread(target=run, args=(rank, answerer), name=str(rank))
        for rank, answerer in enumerate(answerers)
        if answerer is not None
    ]
    with monkeypatch.context() as patch:
        patch.setattr(processes, "_POLL_SECONDS", 0.01)
        patch.setattr(processes, "START_SECONDS", 1.0)
        patch.setattr(
            kft_tasks.detection.run, "this_process", lambda: Process(int(threading.current_thread().name), world)
        )
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
            assert not thread.is_alive()
    return results


@pytest.mark.parametrize("world", [2, 3, 5])
def test_processes_share_the_chunks_and_give_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: tuple[bytes, ScriptedAnswerer, Any], world: int
) -> None:
    """Ten questions make three chunks: two of five processes have nothing to do."""
    output = tmp_path / "new" / "x.jsonl"
    answerers = [_answerer() for _ in range(world)]
    results = _run_ranks(output, answerers, monkeypatch)
    assert output.read_bytes() == whole[0]
    assert os.listdir(output.parent) == ["x.jsonl"]
    for result in results:
        assert isinstance(result, DetectionResult), result
        assert result.header == CategoryFile(output).header
    asked = [pair for answerer in answerers for pair in answerer.greedy_asked]
    assert sorted(asked) == sorted(whole[1].greedy_asked)  # nothing twice
    assert [bool(answerer.made) for answerer in answerers] == [rank < 3 for rank in range(world)]


@pytest.mark.parametrize(("dead", "alive"), [(0, 1), (1, 0)])
def test_where_a_process_dies_the_others_stop_and_one_process_can_finish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: tuple[bytes, ScriptedAnswerer, Any], dead: int, alive: int
) -> None:
    output = tmp_path / "x.jsonl"
    answerers = [_answerer(die_at=2 if rank == dead else None) for rank in (0, 1)]
    results = _run_ranks(output, answerers, monkeypatch)
    assert isinstance(results[dead], Killed)
    assert isinstance(results[alive], StateError)
    assert f"process {dead} of 2" in str(results[alive])
    assert "Run the same detection again; the answers so far are kept." in str(results[alive])
    assert not output.exists()
    rest = _answerer()
    scripted_detection(_source(), PROTOCOL, output, rest)
    assert output.read_bytes() == whole[0]
    assert rest.made < whole[1].made


def test_a_process_that_never_begins_is_not_waited_for_forever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: tuple[bytes, ScriptedAnswerer, Any]
) -> None:
    output = tmp_path / "x.jsonl"
    first, _ = _run_ranks(output, [_answerer(), None], monkeypatch)
    assert isinstance(first, StateError)
    assert "process 1 of 2 did not start" in str(first)
    again = _run_ranks(output, [_answerer(), _answerer()], monkeypatch)
    assert [isinstance(result, DetectionResult) for result in again] == [True, True]
    assert output.read_bytes() == whole[0]


def test_a_choice_contains_every_smaller_choice_and_keeps_the_order() -> None:
    questions = [make_question(str(number)) for number in range(50)]
    before: list[Question] = []
    for limit in range(52):
        chosen = list(select(lambda: iter(questions), limit)())
        assert len(chosen) == min(limit, 50)
        assert chosen == [question for question in questions if question in chosen]
        assert set(before) <= set(chosen)
        before = chosen
    assert list(select(lambda: iter(questions), None)()) == questions


def test_another_question_in_the_set_moves_a_choice_by_one_at_most() -> None:
    questions = [make_question(str(number)) for number in range(50)]
    chosen = {question.id for question in select(lambda: iter(questions), 20)()}
    for extra in "abcdefgh":
        more = [make_question(extra), *questions]
        now = {question.id for question in select(lambda more=more: iter(more), 20)()}  # type: ignore[misc]
        assert len(chosen - now) <= 1


def test_categories_do_not_depend_on_limit_or_order(tmp_path: Path) -> None:
    def categories(source: ListSet, name: str, limit: int | None = None) -> dict[str, str]:
        result = scripted_detection(source, PROTOCOL, tmp_path / name, _answerer(), limit=limit)
        return {item.question.id: str(item.category) for item in CategoryFile(result.path)}

    full = categories(_source(40), "full")
    part = categories(_source(40), "part", 15)
    backwards = _source(40)
    backwards.under_test = backwards.under_test[::-1]
    assert part == {id_: full[id_] for id_ in part}
    assert categories(backwards, "backwards") == full


class _Stream(ListSet):
    """Questions that are made on demand."""

    def split(self, name: str) -> Iterator[Question]:
        if name == "exemplars":
            return super().split(name)
        return (make_question(f"q{number}") for number in range(int(self.version)))


def test_memory_does_not_grow_with_the_number_of_questions(tmp_path: Path) -> None:
    protocol = Protocol(exemplar_sets=1, shots=1, samples=1, scorer="exact_match")

    class Forgetful(ScriptedAnswerer):
        """Does not remember what it was asked, which would take the memory that is measured."""

        def step(self) -> None:
            self.greedy_asked.clear()
            self.sampled_asked.clear()

    def peak(count: int) -> int:
        source = _Stream([], version=str(count))
        tracemalloc.start()
        scripted_detection(
            source, protocol, tmp_path / str(count), Forgetful(mixed_table, protocol), chunk_questions=16
        )
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return peak

    peak(10)  # imports and caches are counted once
    small, large = peak(1_000), peak(int(os.environ.get("KFT_MANY_QUESTIONS", "10_000")))
    assert large < small + 500_000, (small, large)  # 10,000 questions alone are more than 5 MB


def test_identity_of_a_model_is_part_of_the_file(tmp_path: Path) -> None:
    model = ModelIdentity("other", "v" * 64, "a" * 64, "bfloat16")
    result = scripted_detection(_source(), PROTOCOL, tmp_path / "x.jsonl", _answerer(), model=model)
    assert CategoryFile(result.path).header.model == model


def test_options_of_the_set_are_part_of_the_file(tmp_path: Path) -> None:
    output, options = tmp_path / "x.jsonl", {"relation": "P36", "deduplicate": True}
    detect(
        Target(_source(), "test", options=options),
        PROTOCOL,
        MODEL,
        lambda: (_answerer(), PromptMaker(PROTOCOL, ExemplarPool(_source().split("exemplars"), PROTOCOL))),
        output,
    )
    assert CategoryFile(output).header.questions.options == options
    with pytest.raises(StateError, match="made with another questions"):
        detect(Target(_source(), "test"), PROTOCOL, MODEL, None, output)
