"""Questions that others repeat under another id."""

from __future__ import annotations

from pathlib import Path

import pytest

from kft_tasks.question_sets.registry import open_set
from kft_tasks.questions import Question
from kft_train.data.repeats import Repeats

ENTITY_QUESTIONS = Path(__file__).parents[3] / "shared" / "data" / "entityquestions"


def question(text: str, subject: str = "", type_: str = "author", id_: str = "v") -> Question:
    return Question(id_, text, ("x",), type_, "validation", subject)


TRAINED = [
    question("Who wrote Emma?", "Emma", id_="1"),
    question("What is C++?", "", "language", id_="2"),
]


@pytest.mark.parametrize(
    ("asked", "repeated"),
    [
        (question("Who wrote Emma?"), True),
        (question("  who  WROTE emma ?", "another"), True),
        (question("By whom is Emma?", "EMMA "), True),
        (question("By whom is Emma?", "Emma", "genre"), False),  # another fact about the subject
        (question("By whom is Emma?"), False),  # the subject is not known
        (question("What is C?", "", "language"), False),  # no subject is not a subject in common
        (question("Who wrote Persuasion?", "Persuasion"), False),
    ],
)
def test_text_or_subject_and_type_make_a_repeat(asked: Question, repeated: bool) -> None:
    assert (asked in Repeats(TRAINED)) is repeated


@pytest.mark.slow
@pytest.mark.skipif(not ENTITY_QUESTIONS.is_dir(), reason="EntityQuestions is not here")
def test_entityquestions_has_repeats_between_train_and_validation() -> None:
    source = open_set("entityquestions", ENTITY_QUESTIONS)
    repeats = Repeats(source.split("train"))
    validation = list(source.split("validation"))
    assert len(validation) == 17_066
    assert sum(question in repeats for question in validation) == 350
