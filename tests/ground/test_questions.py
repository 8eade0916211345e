from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kft_tasks.limits
from kft_tasks.errors import DataError
from kft_tasks.questions import (
    SPLITS,
    Question,
    content_id,
    digest_questions,
    parse_question,
    read_questions,
    write_questions,
)
from task_helpers import make_question

ROW = {"id": "q1", "question": "Who?", "answers": ["me", "I"], "type": "person", "split": "test", "subject": "me"}


def test_a_full_row_is_taken_as_it_is() -> None:
    assert parse_question(ROW, "f:1") == Question("q1", "Who?", ("me", "I"), "person", "test", "me")
    assert parse_question(ROW, "f:1").to_json() == ROW


def test_a_short_row_gets_an_id_from_its_content() -> None:
    question = parse_question({"question": " Who? ", "answer": "me"}, "f:1", set_name="mine", split="train")
    assert (question.question, question.answers, question.type, question.split) == (
        "Who?",
        ("me",),
        "question",
        "train",
    )
    assert question.id == parse_question({"question": " Who? ", "answer": "you"}, "g:9", set_name="mine").id
    assert question.id == content_id("mine", "question", " Who? ")


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (("s", "t", "Who?"), ("s", "t", "who?")),
        (("s", "t", "Who?"), ("s", "u", "Who?")),
        (("s", "t", "?"), ("r", "t", "?")),
    ],
)
def test_other_content_has_another_id(one: tuple[str, str, str], two: tuple[str, str, str]) -> None:
    assert content_id(*one) != content_id(*two)


def test_answers_are_stripped_and_repeats_dropped_in_order() -> None:
    assert parse_question({**ROW, "answers": [" b ", "a", "b", "a "]}, "f:1").answers == ("b", "a")


NO_TEXT = 'no question text. Put a non-empty string into "question".'
NO_ANSWER = 'has no answers. Add at least one string to "answers".'
BAD_ANSWER = 'has an empty answer or one that is not text. Fix "answers".'
NOT_JSON = "not a JSON object"
FIX = "Fix or remove the line."


@pytest.mark.parametrize(
    ("line", "messages"),
    [
        (json.dumps({**ROW, "question": ""}), [NO_TEXT]),
        (json.dumps({**ROW, "question": " \n"}), [NO_TEXT]),
        (json.dumps({**ROW, "question": None}), [NO_TEXT]),
        (json.dumps({**ROW, "question": 5}), [NO_TEXT]),
        ("{}", [NO_TEXT]),
        (json.dumps({**ROW, "answers": []}), ["'q1'", NO_ANSWER]),
        (json.dumps({**ROW, "answers": None}), ["'q1'", NO_ANSWER]),
        (json.dumps({**ROW, "answers": {"a": 1}}), [NO_ANSWER]),
        (json.dumps({**ROW, "answers": 5}), [NO_ANSWER]),
        (json.dumps({"question": "Who?"}), ["'Who?'", NO_ANSWER]),
        (json.dumps({**ROW, "answers": ["me", ""]}), [BAD_ANSWER]),
        (json.dumps({**ROW, "answers": "  "}), [BAD_ANSWER]),
        (json.dumps({**ROW, "answers": ["me", 5]}), [BAD_ANSWER]),
        (json.dumps({**ROW, "answers": [["me"]]}), [BAD_ANSWER]),
        (json.dumps({**ROW, "id": 5}), ["\"id\" of question 'Who?' is not text. Write it as a string."]),
        (json.dumps({**ROW, "type": ["x"]}), ['"type"', "is not text"]),
        (json.dumps({**ROW, "subject": 1.5}), ['"subject"', "is not text"]),
        (json.dumps({**ROW, "split": True}), ['"split"', "is not text"]),
        (
            json.dumps({**ROW, "split": "dev"}),
            ["unknown split 'dev'", "Use one of train, validation, test, exemplars."],
        ),
        ('{"question": "Who?", "answers": ["\\ud800"]}', ["half a surrogate pair, not valid Unicode", FIX]),
        ('{"question": "\\udfff", "answers": ["me"]}', ["not valid Unicode"]),
        (json.dumps(ROW)[:-5], [NOT_JSON, FIX]),
        ("[1]", [NOT_JSON, FIX]),
        ("5", [NOT_JSON, FIX]),
        ("null", [NOT_JSON, FIX]),
        ("", [NOT_JSON, FIX]),
        ("{'question': 'Who?'}", [NOT_JSON, FIX]),
        ("[" * 100_000, [NOT_JSON, FIX]),
        ("9" * 5000, [NOT_JSON, FIX]),
    ],
)
def test_a_broken_line_is_named_with_file_line_and_remedy(tmp_path: Path, line: str, messages: list[str]) -> None:
    path = tmp_path / "facts.jsonl"
    path.write_text(json.dumps({**ROW, "id": "q0"}) + "\n" + line + "\n" + json.dumps({**ROW, "id": "q2"}) + "\n")
    with pytest.raises(DataError) as caught:
        list(read_questions(path))
    assert str(caught.value).startswith(f"{path}:2: ")
    assert all(message in str(caught.value) for message in messages), caught.value


def test_text_that_is_not_utf8_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "facts.jsonl"
    path.write_bytes(json.dumps(ROW).encode() + b"\n" + '{"question": "é"}'.encode("latin-1") + b"\n")
    with pytest.raises(DataError, match="facts.jsonl:2: not a JSON object"):
        list(read_questions(path))


def test_a_duplicate_id_names_both_lines(tmp_path: Path) -> None:
    path = tmp_path / "facts.jsonl"
    rows = [{**ROW, "id": "a"}, {**ROW, "id": "b"}, {**ROW, "id": "a", "question": "Other?"}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(DataError) as caught:
        list(read_questions(path))
    assert str(caught.value).startswith(f"{path}:3: id 'a' was already used in line 1. Remove the duplicate")


def test_an_empty_file_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "facts.jsonl"
    path.touch()
    with pytest.raises(DataError, match="facts.jsonl: holds no questions. Write one JSON object per line."):
        list(read_questions(path))


@pytest.mark.parametrize("kind", ["missing", "folder", "under a file"])
def test_an_unreadable_file_is_named(tmp_path: Path, kind: str) -> None:
    (tmp_path / "file").touch()
    path = {"missing": tmp_path / "none", "folder": tmp_path, "under a file": tmp_path / "file" / "x"}[kind]
    with pytest.raises(DataError) as caught:
        list(read_questions(path))
    assert str(caught.value).startswith(f"{path}: cannot be read (")
    assert str(caught.value).endswith("Check the path.")


@pytest.mark.parametrize("spare", [0, -1])
def test_a_line_may_be_as_long_as_the_limit_and_no_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spare: int
) -> None:
    line = json.dumps(ROW) + "\n"
    monkeypatch.setattr(kft_tasks.limits, "MAX_LINE_BYTES", len(line) + spare)
    path = tmp_path / "facts.jsonl"
    path.write_text(line)
    if spare == 0:
        assert len(list(read_questions(path))) == 1
        return
    with pytest.raises(DataError, match=r"facts.jsonl:1: line of over 0 MiB. Is this the right file\?"):
        list(read_questions(path))


def test_an_endless_line_is_refused_before_it_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "zeros"
    with path.open("wb") as stream:
        stream.truncate(1 << 40)  # sparse
    with pytest.raises(DataError, match="zeros:1: line of over 16 MiB"):
        list(read_questions(path))


def test_questions_are_streamed(tmp_path: Path) -> None:
    path = tmp_path / "facts.jsonl"
    path.write_text(json.dumps(ROW) + "\nbroken\n")
    assert next(read_questions(path)).id == "q1"


TEXT = st.text(st.characters(codec="utf-8"), min_size=1).filter(lambda text: text.strip() == text)


@settings(max_examples=40)
@given(
    st.lists(
        st.builds(
            Question,
            id=TEXT,
            question=TEXT,
            answers=st.lists(TEXT, min_size=1, max_size=3, unique=True).map(tuple),
            type=TEXT,
            split=st.sampled_from(SPLITS),
            subject=st.text(st.characters(codec="utf-8")),
        ),
        min_size=1,
        unique_by=lambda question: question.id,
    )
)
def test_what_is_written_is_read_again(tmp_path_factory: pytest.TempPathFactory, questions: list[Question]) -> None:
    path = tmp_path_factory.mktemp("round") / "q.jsonl"
    assert write_questions(path, questions) == len(questions)
    assert list(read_questions(path)) == questions


def test_the_digest_of_questions_does_not_depend_on_their_order() -> None:
    questions = [make_question(str(number)) for number in range(20)]
    shuffled = random.Random(0).sample(questions, len(questions))
    assert digest_questions(questions) == digest_questions(shuffled)


def test_the_digest_of_questions_covers_every_field_and_repeats() -> None:
    question = make_question("x")
    fields: dict[str, Any] = question.to_json()
    sets = [[], [question], [question] * 2, [question] * 3]
    for key in fields:
        other = parse_question({**fields, key: ["new"] if key == "answers" else "train"}, "f:1")
        sets.append([other])
    assert len({digest_questions(chosen) for chosen in sets}) == len(sets)
