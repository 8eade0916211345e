from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kft_tasks.categories.category import KnowledgeCategory, Tally
from kft_tasks.categories.category_file import FORMAT, CategorizedQuestion, CategoryFile, Header, write_category_file
from kft_tasks.errors import DataError
from kft_tasks.protocol.identity import ModelIdentity, QuestionsIdentity
from kft_tasks.protocol.protocol import Protocol
from task_helpers import MODEL, ListSet, ScriptedAnswerer, make_question, mixed_table, scripted_detection

PROTOCOL = Protocol(scorer="exact_match", exemplar_sets=2, samples=2)
ANSWERS = [
    # category, greedy right, answers, sampled right, answers
    ("HighlyKnown", 2, ("yes", "yes"), 0, (None, None)),
    ("MaybeKnown", 1, ("yes", "é"), 0, (None, None)),
    ("WeaklyKnown", 0, ("no", ""), 1, (("no", "yes"), None)),
    ("Unknown", 0, ("no", "no"), 0, (("no", "no"), ("no", "no"))),
]


def _items() -> list[CategorizedQuestion]:
    return [
        CategorizedQuestion(
            make_question(f"q{number}"),
            KnowledgeCategory(category),
            Tally(right, sum(answer is not None for answer in greedy)),
            Tally(hits, sum(len(given) for given in sampled if given)),
            greedy,
            sampled,
        )
        for number, (category, right, greedy, hits, sampled) in enumerate(ANSWERS)
    ]


def _header(**changes: Any) -> Header:
    values = {
        "kft_version": "0.1.0",
        "model": ModelIdentity("m", "w", "a", "float32"),
        "protocol": PROTOCOL,
        "questions": QuestionsIdentity("set", "1", "test", 4, "d", "e"),
        "exhaustive": False,
        "counts": {category.value: 1 for category in KnowledgeCategory},
    }
    return Header(**{**values, **changes})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "x.categories.jsonl"
    write_category_file(path, _header(), _items())
    return path


def _edit(path: Path, change: Callable[[list[Any]], object]) -> None:
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    change(rows)
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))


def _read(path: Path) -> list[CategorizedQuestion]:
    return list(CategoryFile(path))


def test_what_is_written_is_read_again(path: Path) -> None:
    assert CategoryFile(path).header == _header()
    assert _read(path) == _items()


def test_a_file_that_is_read_and_written_has_the_same_bytes(path: Path, tmp_path: Path) -> None:
    file = CategoryFile(path)
    write_category_file(tmp_path / "copy", file.header, file)
    assert (tmp_path / "copy").read_bytes() == path.read_bytes()


def test_items_that_do_not_fit_the_counts_are_not_written(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    with pytest.raises(DataError, match="header counts 1 Unknown questions, the file has 0"):
        write_category_file(path, _header(), _items()[:3])
    assert not path.exists()


@pytest.mark.parametrize("kept", range(5))
def test_a_file_cut_between_lines_is_refused(path: Path, kept: int) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:kept]))
    with pytest.raises(DataError, match="truncated or edited|not a category file"):
        _read(path)


def test_a_file_cut_anywhere_in_its_last_line_is_refused(path: Path) -> None:
    whole = path.read_bytes()
    last = whole.rstrip(b"\n").rindex(b"\n") + 1
    for end in range(last + 1, len(whole) - 1):
        path.write_bytes(whole[:end])
        with pytest.raises(DataError, match=r"x.categories.jsonl:5: not a JSON object \(.*\). Fix or remove"):
            _read(path)


Change = Callable[[list[Any]], object]


def _set(line: int, **values: Any) -> Change:
    return lambda rows: rows[line].update(values)


def _drop(line: int, key: str) -> Change:
    return lambda rows: rows[line].pop(key)


@pytest.mark.parametrize(
    ("change", "line", "message"),
    [
        (lambda rows: rows.insert(3, rows[1]), 4, "question 'q0' is duplicated. Detect again."),
        (_set(2, category="HighlyKnown"), 3, "the category is HighlyKnown, but the counts make it MaybeKnown"),
        (_set(1, greedy={"right": 1, "asked": 2}), 2, "the category is HighlyKnown, but the counts make it MaybeKnown"),
        (_set(1, greedy={"right": 2, "asked": 1}), 2, "broken question line"),
        (_set(1, greedy={"right": 3, "asked": 3}), 2, "broken question line"),
        (_set(4, sampled={"right": 0, "asked": 3}), 5, "Detect again."),
        (_set(1, category="highly known"), 2, "broken question line"),
        (_set(1, category=None), 2, "broken question line"),
        (_set(1, greedy={"right": float("nan"), "asked": 2}), 2, "NaN is not a number of JSON"),
        (_set(1, greedy={"right": "2", "asked": 2}), 2, "broken question line"),
        (_set(1, greedy={"right": 2.0, "asked": 2}), 2, "broken question line"),
        (_set(1, greedy={"right": True, "asked": True}), 2, "broken question line"),
        (_set(1, greedy={"right": 0}), 2, "broken question line"),
        (_set(1, greedy={"right": 2, "asked": 2, "more": 1}), 2, "broken question line"),
        (_set(1, greedy=[2, 2]), 2, "broken question line"),
        (_set(1, greedy_answers=["yes"]), 2, "the number of answers does not match the counts"),
        (_set(1, greedy_answers=[None, "yes"]), 2, "the number of answers does not match the counts"),
        (_set(1, greedy_answers=["yes", 5]), 2, "broken question line"),
        (_set(1, greedy_answers="ye"), 2, "broken question line"),
        (_set(1, greedy_answers=None), 2, "broken question line"),
        (_set(3, sampled_answers=[["no", "yes"]]), 4, "the number of answers does not match the counts"),
        (_set(3, sampled_answers=[["no"], None]), 4, "the number of answers does not match the counts"),
        (_set(3, sampled_answers=["no", None]), 4, "broken question line"),
        (_set(3, sampled_answers=[["no", 1], None]), 4, "broken question line"),
        (_set(3, sampled_answers=None), 4, "broken question line"),
        (_drop(1, "greedy_answers"), 2, "broken question line"),
        (_drop(1, "sampled"), 2, "broken question line"),
        (_drop(1, "question"), 2, "no question text"),
        (_set(1, answers=[]), 2, "has no answers"),
        (_set(1, id=5), 2, "is not text"),
        (_set(1, split="dev"), 2, "unknown split"),
        (lambda rows: rows.insert(2, {"a": 1}), 3, "no question text"),
        (lambda rows: rows.insert(2, "{"), 3, "not a JSON object"),
        (lambda rows: rows.insert(2, ""), 3, "not a JSON object"),
        (lambda rows: rows.insert(2, "[1]"), 3, "not a JSON object"),
        (lambda rows: rows.insert(2, rows[0]), 3, "no question text"),
    ],
)
def test_a_wrong_question_line_is_named(path: Path, change: Change, line: int, message: str) -> None:
    _edit(path, change)
    with pytest.raises(DataError) as caught:
        _read(path)
    assert str(caught.value).startswith(f"{path}:{line}: ")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set(0, format="kft-categories/2"), f"not a category file of format {FORMAT}. Make one with `kft detect`."),
        (_drop(0, "format"), "not a category file"),
        (lambda rows: rows.pop(0), "not a category file"),
        (lambda rows: rows.insert(0, {"id": "q"}), "not a category file"),
        (lambda rows: rows[0]["protocol"].update(samples=3), "the protocol was edited after detection"),
        (_set(0, protocol_digest="0"), "the protocol was edited after detection"),
        (_drop(0, "protocol_digest"), "the protocol was edited after detection"),
        (lambda rows: rows[0]["protocol"].update(new=3), "broken header"),
        (lambda rows: rows[0]["protocol"].update(temperature=float("nan")), "NaN is not a number of JSON"),
        (_set(0, protocol=None), "broken header"),
        (_set(0, protocol=["seed"]), "broken header"),
        (_drop(0, "model"), "broken header"),
        (_set(0, model="m"), "broken header"),
        (_set(0, model={"id": "m"}), "broken header"),
        (_set(0, model={"id": "m", "weights": 5}), "broken header"),
        (_set(0, model={"id": "m", "weights": "w", "adapter": 5}), "broken header"),
        (_set(0, questions={}), "broken header"),
        (lambda rows: rows[0]["questions"].update(count="4"), "broken header"),
        (lambda rows: rows[0]["questions"].update(count=5), "broken header"),
        (lambda rows: rows[0]["questions"].update(digest=None), "broken header"),
        (lambda rows: rows[0]["questions"].update(options=[1]), "broken header"),
        (_set(0, exhaustive="no"), "broken header"),
        (_set(0, kft_version=None), "broken header"),
        (_set(0, counts=4), "broken header"),
        (_set(0, counts={"HighlyKnown": 4, "Known": 0}), "broken header"),
        (_set(0, counts={"HighlyKnown": float("nan")}), "NaN is not a number of JSON"),
        (_set(0, counts={"HighlyKnown": "1"}), "broken header"),
    ],
)
def test_a_wrong_header_is_named_before_any_question_is_read(path: Path, change: Change, message: str) -> None:
    _edit(path, change)
    with pytest.raises(DataError) as caught:
        CategoryFile(path)
    assert str(caught.value).startswith(f"{path}:1: ")
    assert message in str(caught.value)


def test_counts_that_were_edited_are_refused(path: Path) -> None:
    _edit(path, lambda rows: rows[0]["counts"].update(HighlyKnown=0, MaybeKnown=2))
    with pytest.raises(DataError, match="header counts 0 HighlyKnown questions, the file has 1. Detect again."):
        _read(path)


@pytest.mark.parametrize("content", [None, b"", b"\n", b"\x89PNG\r\n", b"5\n", b"{", b"[" * 100_000])
def test_a_foreign_file_is_refused_with_a_message(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "x"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        CategoryFile(path)
    assert str(path) in str(caught.value)


def test_same_weights_means_weights_and_adapter_whatever_the_name() -> None:
    one = ModelIdentity("m", "w", None, "float32")
    assert one.same_weights(ModelIdentity("other", "w", None, "bfloat16"))
    assert not one.same_weights(ModelIdentity("m", "v", None, "float32"))
    assert not one.same_weights(ModelIdentity("m", "w", "a", "float32"))


def test_a_detected_file_holds_every_answer_that_was_given(tmp_path: Path) -> None:
    source = ListSet([make_question(f"q{number}") for number in range(30)])
    answerer = ScriptedAnswerer(mixed_table, PROTOCOL)
    result = scripted_detection(source, PROTOCOL, tmp_path / "x.jsonl", answerer)
    items = list(CategoryFile(result.path))
    assert result.header.model == MODEL
    assert {item.question.id for item in items} == {question.id for question in source.under_test}
    assert {item.category for item in items} == set(KnowledgeCategory)
    for item in items:
        asked = {number for id_, number in answerer.greedy_asked if id_ == item.question.id}
        assert {i for i, given in enumerate(item.greedy_answers) if given is not None} == asked
        assert item.greedy.right == sum(given == "yes" for given in item.greedy_answers)
        drawn = [text for given in item.sampled_answers if given is not None for text in given]
        assert item.sampled == Tally(sum(text == "yes" for text in drawn), len(drawn))
