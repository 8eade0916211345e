from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kft_tasks.errors import UsageError
from kft_tasks.evaluation.evaluate import Asking, by_question, evaluate, read_answers, write_answers
from kft_tasks.protocol.exemplars import ExemplarPool
from kft_tasks.protocol.prompt_maker import PromptMaker, PromptRequest
from kft_tasks.protocol.protocol import Protocol
from kft_tasks.questions import Question
from task_helpers import RIGHT, ScriptedAnswerer, ScriptedAnswers, make_exemplars, make_question

PROTOCOL = Protocol(scorer="exact_match", exemplar_sets=3, shots=2, samples=4)
QUESTIONS = [make_question(f"q{number}", "tu"[number % 2]) for number in range(300)]


class Recording(ScriptedAnswerer):
    def __init__(self) -> None:
        super().__init__(lambda id_, number, kind, sample: int(id_[1:]) % 3 == 0, PROTOCOL)
        self.opened: list[list[PromptRequest]] = []

    def open(self, requests: Sequence[PromptRequest]) -> ScriptedAnswers:
        self.opened.append(list(requests))
        return super().open(requests)


def _prompts() -> PromptMaker:
    return PromptMaker(PROTOCOL, ExemplarPool(make_exemplars("tu"), PROTOCOL))


def test_every_exemplar_set_is_asked_and_no_exemplars_once() -> None:
    answerer = Recording()
    seen: list[tuple[int, int]] = []
    results = evaluate(
        QUESTIONS, answerer, _prompts(), PROTOCOL, (0, 2), lambda done, total, _: seen.append((done, total))
    )
    ways = [(0, 0), (2, 0), (2, 1), (2, 2)]
    assert [(item.shots, item.exemplar_set, item.id) for item in results] == [
        (*way, q.id) for way in ways for q in QUESTIONS
    ]
    assert [item.right for item in results] == [int(q.id[1:]) % 3 == 0 for q in QUESTIONS] * 4
    assert all((item.given == RIGHT) is item.right for item in results)
    assert seen[-1] == (1200, 1200)
    assert answerer.sampled_asked == []


def test_prompts_have_the_first_exemplars_of_each_set() -> None:
    answerer, prompts = Recording(), _prompts()
    evaluate(QUESTIONS[:4], answerer, prompts, PROTOCOL, (0, 1, 2))
    by_type = sorted(QUESTIONS[:4], key=lambda q: q.type)
    ways = [(0, 0), *((shots, chosen) for shots in (1, 2) for chosen in range(3))]
    expected = [[prompts.prompt(question, chosen, shots=shots) for question in by_type] for shots, chosen in ways]
    assert [[request.prompt for request in requests] for requests in answerer.opened] == expected
    assert [texts[0].count("Question:") for texts in expected] == [1, 2, 2, 2, 3, 3, 3]


def test_packs_are_bounded_and_share_a_type() -> None:
    answerer = Recording()
    evaluate(QUESTIONS, answerer, _prompts(), PROTOCOL, (2,))
    assert [len(requests) for requests in answerer.opened] == [128, 128, 44] * 3
    assert {request.group for request in answerer.opened[0]} == {"t"}


def test_exemplars_of_another_type_are_of_the_next_one_and_asked_once_with_the_most_shots() -> None:
    answerer, prompts = Recording(), _prompts()
    results = evaluate(QUESTIONS[:4], answerer, prompts, PROTOCOL, (1, 0, 2), other_type=True)
    assert [(item.shots, item.exemplar_set, item.id) for item in results if item.other_type] == [
        (2, 0, "q0"),
        (2, 0, "q1"),
        (2, 0, "q2"),
        (2, 0, "q3"),
    ]
    prompt_of = {request.question_id: request.prompt for request in answerer.opened[-1]}
    for question in QUESTIONS[:4]:
        prompt = prompt_of[question.id]
        other = {"t": "u", "u": "t"}[question.type]
        assert prompt.count(f"Is it e-{other}-") == 2
        assert f"Is it e-{question.type}-" not in prompt
        assert prompt.endswith(f"Question: {question.question}\nAnswer:")


@pytest.mark.parametrize(
    ("questions", "shots"), [(QUESTIONS[:4], (0,)), ([q for q in QUESTIONS if q.type == "t"], (2,))]
)
def test_without_exemplars_or_with_one_type_there_are_none_of_another(
    questions: list[Question], shots: tuple[int, ...]
) -> None:
    results = evaluate(questions, Recording(), _prompts(), PROTOCOL, shots, other_type=True)
    assert not [item for item in results if item.other_type]


def test_answers_are_put_together_by_question() -> None:
    asked = [replace(question, subject=f"about {question.id}") for question in QUESTIONS[:2]]
    right = {("q0", 0): True, ("q0", 1): False, ("q0", 2): True, ("q1", 1): True}
    results = [
        replace(item, right=right.get((item.id, item.exemplar_set), False), given=" \n" if item.exemplar_set else "x")
        for item in evaluate(asked, Recording(), _prompts(), PROTOCOL, (2, 0), other_type=True)
    ]
    found = by_question(reversed(results))
    assert list(found) == [Asking(0), Asking(2), Asking(2, other_type=True)]
    first, second = found[Asking(2)]
    assert (first.id, first.subject, first.right, first.value) == ("q0", "about q0", (True, False, True), 2 / 3)
    assert (second.value, second.empty, second.given) == (1 / 3, 2 / 3, ("x", " \n", " \n"))
    assert [item.value for item in found[Asking(0)]] == [1.0, 0.0]


def test_more_shots_than_the_protocol_has_are_refused() -> None:
    with pytest.raises(UsageError, match="4 shots are more than the protocol's 2"):
        evaluate(QUESTIONS, Recording(), _prompts(), PROTOCOL, (4,))


def test_answers_that_are_written_are_read_again(tmp_path: Path) -> None:
    results = evaluate(QUESTIONS[:9], Recording(), _prompts(), PROTOCOL, (0, 2), other_type=True)
    assert {(item.exemplar_set, item.other_type) for item in results} == {(0, False), (1, False), (2, False), (0, True)}
    write_answers(tmp_path / "answers.jsonl", results)
    assert read_answers(tmp_path / "answers.jsonl") == results


def test_answers_name_the_subject_and_files_without_one_load(tmp_path: Path) -> None:
    known = [replace(question, subject=f"about {question.id}") for question in QUESTIONS[:3]]
    results = evaluate([*known, *QUESTIONS[3:5]], Recording(), _prompts(), PROTOCOL, (0,))
    assert [item.subject for item in results] == ["about q0", "about q1", "about q2", "", ""]
    write_answers(tmp_path / "answers.jsonl", results)
    lines = (tmp_path / "answers.jsonl").read_text(encoding="utf-8").splitlines()
    assert ["subject" in json.loads(line) for line in lines] == [True, True, True, False, False]
    assert read_answers(tmp_path / "answers.jsonl") == results


def test_no_questions_give_no_answers() -> None:
    none: list[Any] = []
    assert evaluate(none, Recording(), _prompts(), PROTOCOL, (0,)) == []
