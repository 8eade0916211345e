"""The options of every set: repeats merged, overlap removed, only on request and never silently."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kft_tasks.errors import DataError, UsageError
from kft_tasks.question_sets.loaders.entityquestions import RELATIONS
from kft_tasks.question_sets.registry import SETS, open_set
from kft_tasks.question_sets.splits.cleaning import Cleaned
from kft_tasks.question_sets.splits.overlap import SplitKeys, plain_text
from kft_tasks.questions import Question

Write = Callable[..., Path]
ALL = {"deduplicate": True, "remove_overlap": True, "separate_subjects": True}


class ListSet:
    """A question set in memory."""

    name, version = "list", "1"

    def __init__(self, questions: Sequence[Question]) -> None:
        self.questions = questions

    def splits(self) -> tuple[str, ...]:
        there = {question.split for question in self.questions}
        return tuple(split for split in ("train", "validation", "test", "exemplars") if split in there)

    def split(self, name: str) -> Any:
        return (question for question in self.questions if question.split == name)


def row(text: str, answers: Sequence[str] = ("A",), split: str = "train", **more: str) -> dict[str, Any]:
    return {"question": text, "answers": list(answers), "split": split, **more}


@pytest.fixture
def opened(tmp_path: Path, write: Write) -> Callable[..., Any]:
    def open_rows(rows: Sequence[Mapping[str, Any]], **options: object) -> Any:
        numbered = [{"id": f"q{number}", "type": "t", **row} for number, row in enumerate(rows)]
        if not any(row["split"] == "exemplars" for row in rows):  # else some of train would become exemplars
            numbered.append({"id": "e", **row("Is this an exemplar?", split="exemplars")})
        return open_set("questions", write(tmp_path / "rows.jsonl", numbered), options)

    return open_rows


def ids(questions: Any, split: str) -> list[str]:
    return [question.id for question in questions.split(split)]


LEAKY = [
    row("Who wrote Emma?", subject="Emma"),  # q0: asked in test
    row("Who made M?", subject="M"),  # q1: asked in validation
    row("Who is E?", subject="E"),  # q2: asked in exemplars
    row("When was Emma written?", subject="Emma"),  # q3: its subject is in test
    row("Who else?"),  # q4: nowhere else
    row("who made  m", split="validation", subject="m"),
    row("Who wrote emma", split="validation"),  # q6: asked in test
    row("who wrote EMMA ?", split="test", subject="Emma"),
    row("Who is E?", split="exemplars"),
    row("Who made M", split="exemplars"),  # q9: asked in validation
]


def test_nothing_is_removed_by_default(opened: Callable[..., Any]) -> None:
    questions = opened(LEAKY)
    assert [len(ids(questions, split)) for split in ("train", "validation", "test", "exemplars")] == [5, 2, 1, 2]
    assert not isinstance(questions, Cleaned)


def test_train_yields_to_all_and_test_to_none(opened: Callable[..., Any]) -> None:
    questions = opened(LEAKY, remove_overlap=True)
    assert ids(questions, "train") == ["q3", "q4"]
    assert ids(questions, "exemplars") == ["q8"]
    assert ids(questions, "validation") == ["q5"]
    assert ids(questions, "test") == ["q7"]
    assert questions.dropped["train"] == {"also asked in exemplars, validation or test": 3}
    assert questions.dropped["test"] == {}


def test_subjects_are_separated_whatever_is_asked_about_them(opened: Callable[..., Any]) -> None:
    questions = opened(LEAKY, separate_subjects=True)
    assert ids(questions, "train") == ["q2", "q4"]  # q1's subject is in validation, in other letter case
    assert ids(questions, "validation") == ["q5", "q6"]  # of q6 no subject is known
    assert questions.dropped["train"] == {"about a subject of exemplars, validation or test": 3}


def test_repeats_become_one_question_with_all_answers_whatever_their_order(opened: Callable[..., Any]) -> None:
    rows = [
        row("Where is Ann?", ["Rome", "Roma"], id="b"),
        row("where is Ann", ["Oslo"], id="c"),
        row("Where is  Ann?", ["Bari", "Rome"], id="a", type="other"),
        row("Where is Bob?", ["Bari"], id="d"),
        row("Where is Ann?", ["Nice"], split="test", id="f"),
    ]
    questions = opened(rows, deduplicate=True)
    first, second = questions.split("train")
    assert (first.id, first.question, first.type) == ("a", "Where is  Ann?", "other")
    assert first.answers == ("Bari", "Rome", "Oslo", "Roma")
    assert (second.id, second.answers) == ("d", ("Bari",))
    assert questions.dropped["train"] == {"merged into a question with the same text": 2}
    assert [q.answers for q in questions.split("test")] == [("Nice",)]
    backwards = opened(rows[::-1], deduplicate=True)
    assert set(backwards.split("train")) == {first, second}


def test_copies_without_ids_are_an_error_that_names_the_option_which_merges_them(tmp_path: Path, write: Write) -> None:
    rows = [row("Who?", ["A"], type="t"), row("Who?", ["B"], type="t"), row("Who?", ["A"], type="t", split="test")]
    path = write(tmp_path / "q.jsonl", [*rows, row("Exemplar?", split="exemplars")])
    with pytest.raises(DataError, match=r"q.jsonl:2: id .* already used in .*:1 .*deduplicate=true"):
        list(open_set("questions", path).split("train"))
    questions = open_set("questions", path, {"deduplicate": True})
    assert [question.answers for question in questions.split("train")] in ([("A", "B")], [("B", "A")])
    assert [question.answers for question in questions.split("test")] == [("A",)]
    both = [row("Who?", id="1"), row("Why?", id="1"), row("Exemplar?", split="exemplars")]
    with pytest.raises(DataError, match="id '1' was already used"):  # another question: no copy
        list(open_set("questions", write(path, both), {"deduplicate": True}).split("train"))


def test_a_repeat_stays_where_only_the_first_copy_is_removed(opened: Callable[..., Any]) -> None:
    rows = [
        row("Who?", ["A"], id="a", subject="in test"),
        row("Who?", ["B"], id="b", subject="not in test"),
        row("Other?", split="test", id="c", subject="In test"),
    ]
    (kept,) = opened(rows, **ALL).split("train")
    assert (kept.id, kept.answers) == ("b", ("B",))


def test_what_is_left_out_is_logged_once(opened: Callable[..., Any], caplog: pytest.LogCaptureFixture) -> None:
    questions = opened(LEAKY, remove_overlap="true")
    with caplog.at_level(logging.WARNING, "kft.sets"):
        for _ in range(3):
            ids(questions, "train")
            ids(questions, "test")
    assert caplog.messages == [
        "questions: 3 of 5 questions of train left out: also asked in exemplars, validation or test"
    ]


@pytest.mark.parametrize("name", list(SETS))
def test_every_set_takes_the_options_and_checks_them(name: str) -> None:
    with pytest.raises(UsageError, match=f"{name}: option deduplicate is 'maybe'. Use true or false"):
        open_set(name, options={"deduplicate": "maybe"})
    with pytest.raises(UsageError, match="Did you mean 'remove_overlap'"):
        open_set(name, options={"remove_overlaps": True})


def test_the_rows_that_the_set_itself_drops_stay_counted(tmp_path: Path, write: Write) -> None:
    text = "Which country is Oslo located in?"
    for part in ("train", "dev", "test"):
        rows = [{"question": f"Which country is {part} {n} located in?", "answers": ["A"]} for n in range(20)]
        rows += [{"question": text, "answers": ["A", "B"]}]
        write(tmp_path / part / f"P17.{part}.json", [*rows, {"question": text, "answers": ["A"]}])
    questions = open_set("entityquestions", tmp_path, {"relation": RELATIONS[0], "remove_overlap": True})
    assert len(ids(questions, "train")) == 20
    assert questions.dropped["train"] == {
        "more than one answer": 1,
        "also asked in exemplars, validation or test": 1,
    }
    assert questions.splits() == ("train", "validation", "test", "exemplars")


QUESTIONS = st.lists(
    st.builds(
        Question,
        id=st.integers(0, 10**9).map(str),
        question=st.sampled_from(["Who?", "who", "What?", "What is C++?", "What is C?"]),
        answers=st.lists(st.sampled_from(["A", "a", "B"]), min_size=1, unique=True).map(tuple),
        type=st.sampled_from(["t", "u"]),
        split=st.sampled_from(["train", "validation", "test", "exemplars"]),
        subject=st.sampled_from(["", "x", "X", "y"]),
    ),
    unique_by=lambda question: question.id,
)


@given(QUESTIONS)
def test_afterwards_nothing_is_left_to_remove(questions: list[Question]) -> None:
    cleaned = Cleaned(SETS["questions"], ListSet(questions), **ALL)
    keys = {split: SplitKeys() for split in ("train", "exemplars", "validation", "test")}
    for split, found in keys.items():
        for question in cleaned.split(split):
            found.add(question)
        assert (found.copies().exact, found.copies().other_answers) == (0, 0)
        removed = cleaned.dropped[split].total()
        assert found.count + removed == sum(question.split == split for question in questions)
    names = list(keys)
    for place, one in enumerate(names):
        for other in names[place + 1 :]:
            assert keys[one].shared("text", keys[other].distinct("text")) == 0
            assert keys[one].shared("subject", keys[other].distinct("subject")) == 0


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Who wrote Emma?", " who  wrote EMMA ", True),
        ("Cafe\u0301?", "Caf\u00e9?", True),
        ("What is C++?", "What is C?", False),
        ("What is 10²?", "What is 102?", False),
        ("Is it?", "Is it", True),
        ("?", ".", False),
    ],
)
def test_what_counts_as_the_same_text(one: str, other: str, same: bool) -> None:
    assert (plain_text(one) == plain_text(other)) is same


def test_copies_and_shared_answers_are_counted() -> None:
    left, right = SplitKeys(), SplitKeys()
    for id_, text, answers, subject in (
        ("1", "Who?", ("The Ann",), "s"),
        ("2", "who", ("ann",), "S"),  # the same text, the same answer
        ("3", "Who?", ("Bob", "Ann"), ""),  # other answers
        ("4", "Where?", ("Oslo", "!"), "s"),  # the same subject and type
    ):
        left.add(Question(id_, text, answers, "t", "train", subject))
    right.add(Question("5", "When?", ("1900", "OSLO"), "t", "test"))
    right.add(Question("6", "Why?", ("?",), "t", "test"))
    copies = left.copies()
    assert (copies.exact, copies.other_answers, copies.subject_and_type) == (1, 1, 2)
    assert (left.with_subject, right.with_subject) == (3, 0)
    assert left.shared("answer", right.distinct("answer")) == 1
    assert right.shared("answer", left.distinct("answer")) == 1
    assert left.shared("text", right.distinct("text")) == 0
    assert left.shared("subject", right.distinct("subject")) == 0


def test_keys_of_nothing_are_counted_too() -> None:
    empty = SplitKeys()
    assert (empty.copies().exact, empty.shared("answer", empty.distinct("answer"))) == (0, 0)
