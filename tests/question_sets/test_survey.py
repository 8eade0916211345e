from __future__ import annotations

import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kft_tasks.question_sets.checks.check import notes
from kft_tasks.question_sets.checks.survey import Distribution, survey
from kft_tasks.question_sets.registry import SETS, open_set
from kft_tasks.questions import Question, digest_questions

Write = Callable[..., Path]

ROWS = [
    {"id": "1", "question": "Who wrote Emma?", "answers": ["Jane Austen", "Austen"], "type": "who", "subject": "Emma"},
    {"id": "2", "question": "who wrote emma", "answers": ["Austen", "jane austen"], "type": "who", "subject": "EMMA"},
    {"id": "3", "question": "Who wrote Emma?", "answers": ["A. Nother"], "type": "who", "subject": "Emma"},
    {"id": "4", "question": "When?", "answers": ["!"], "type": "when"},
    {"id": "5", "question": "Who wrote Emma?", "answers": ["Jane Austen"], "split": "test", "subject": "Emma"},
    {"id": "6", "question": "Where is Emma set?", "answers": ["Highbury"], "split": "test", "subject": "Emma"},
    {"id": "7", "question": "Where is Rome?", "answers": ["Italy"], "split": "test"},
    {"id": "8", "question": "Where is Rome?", "answers": ["Italy"], "split": "exemplars"},
]
TRAIN = [{"split": "train", **row} for row in ROWS]


def test_everything_is_counted(tmp_path: Path, write: Write) -> None:
    source = open_set("questions", write(tmp_path / "q.jsonl", TRAIN))
    found = survey(source)
    assert list(found.splits) == ["train", "test", "exemplars"]
    data = found.splits["train"].to_json()
    assert data["digest"] == digest_questions(source.split("train"))
    del data["digest"]
    assert data == {
        "questions": 4,
        "types": {"when": 1, "who": 3},
        "answer_characters": {"least": 1, "median": 6, "mean": 6.75, "p95": 11, "most": 11},
        "answer_words": {"least": 1, "median": 1, "mean": 1.5, "p95": 2, "most": 2},
        "aliases": {"least": 0, "median": 0, "mean": 0.5, "p95": 1, "most": 1},
        "with_aliases": 2,
        "with_subject": 3,
        "unmatched": 1,
        "repeats": {"exact": 1, "other_answers": 1, "subject_and_type": 2},
    }
    shared = found.overlap("test", "train")
    assert shared is not None
    assert (shared.questions, shared.text, shared.text_and_answers) == (3, 1, 0)
    assert (shared.subject, shared.subject_and_type, shared.answer) == (2, 0, 1)
    other = found.overlap("train", "exemplars")
    assert other is not None
    assert (other.text, other.subject, other.answer) == (0, None, 0)
    assert found.overlap("test", "validation") is None
    assert len(found.overlaps) == 6


def test_notes_say_how_many_and_which_option_helps(tmp_path: Path, write: Write) -> None:
    path = write(tmp_path / "q.jsonl", TRAIN)
    assert list(notes(survey(open_set("questions", path)))) == [
        "train: 2 of 4 questions repeat the text of another one (1 with the same answers, 1 with others). "
        "The option deduplicate=true asks each text once.",
        "test: 1 of 3 questions (33.3 %) are also asked in train, 0 of them with the same answers. "
        "The option remove_overlap=true leaves them out of train.",
        "test: 2 of 3 questions (66.7 %) are about a subject that train asks about too. "
        "The option separate_subjects=true leaves those out of train.",
        "test: 1 of 3 questions (33.3 %) are also asked in exemplars, 1 of them with the same answers. "
        "The option remove_overlap=true leaves them out of exemplars.",
    ]
    options = dict.fromkeys(("deduplicate", "remove_overlap", "separate_subjects"), True)
    cleaned = survey(open_set("questions", path, options))
    assert list(notes(cleaned)) == []
    assert cleaned.left_out == {
        "train": {"also asked in exemplars, validation or test": 3},
        "exemplars": {"also asked in validation or test": 1},
    }


def test_the_embedded_splits_share_no_question_and_no_subject() -> None:
    assert list(notes(survey(open_set("worldfacts")))) == []


def test_the_digests_of_the_embedded_set_are_those_that_its_description_names() -> None:
    found = survey(open_set("worldfacts"))
    assert {name: split.digest.hexdigest() for name, split in found.splits.items()} == SETS["worldfacts"].digests


def test_the_digest_of_the_real_training_questions_is_known(shared: Callable[[str], Path]) -> None:
    source = open_set("entityquestions", shared("entityquestions"))
    assert digest_questions(source.split("train")) == SETS["entityquestions"].digests["train"]


@pytest.mark.parametrize(
    ("numbers", "median", "p95"),
    [([], 0, 0), ([3], 3, 3), ([1, 2], 1, 2), ([1, 2, 3], 2, 3), (range(1, 101), 50, 95)],
)
def test_quantiles_are_numbers_that_occur(numbers: list[int], median: int, p95: int) -> None:
    found = Distribution.of(Counter(numbers))
    assert (found.median, found.p95) == (median, p95)


class Made:
    """Questions that are made when they are asked for."""

    name, version = "made", "1"

    def __init__(self, count: int) -> None:
        self.count = count

    def splits(self) -> tuple[str, ...]:
        return ("train", "test")

    def split(self, name: str) -> Iterator[Question]:
        for n in range(self.count):
            text = f"Where was person number {n} of {name} born, and when, and why there of all places?"
            yield Question(f"{name}-{n}", text, (f"Town {n % 7}",), "t", name, f"person {n}")


def test_memory_holds_hashes_and_no_texts() -> None:
    def peak(count: int) -> int:
        tracemalloc.start()
        survey(Made(count))
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    peak(10)  # imports
    small, large = peak(1000), peak(5000)
    assert (large - small) / 8000 < 150  # bytes per question
