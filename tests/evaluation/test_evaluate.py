from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kft_tasks.errors import UsageError
from kft_tasks.evaluation.evaluate import evaluate, read_answers, write_answers
from kft_tasks.protocol.exemplars import ExemplarPool
from kft_tasks.protocol.prompt_maker import PromptMaker, PromptRequest
from kft_tasks.protocol.protocol import Protocol
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


def test_answers_come_in_the_order_of_the_questions_for_each_number_of_shots() -> None:
    answerer = Recording()
    seen: list[tuple[int, int]] = []
    results = evaluate(
        QUESTIONS, answerer, _prompts(), PROTOCOL, (0, 2), lambda done, total, _: seen.append((done, total))
    )
    assert [(item.shots, item.id) for item in results] == [(n, q.id) for n in (0, 2) for q in QUESTIONS]
    assert [item.right for item in results] == [int(q.id[1:]) % 3 == 0 for q in QUESTIONS] * 2
    assert all((item.given == RIGHT) is item.right for item in results)
    assert seen[-1] == (600, 600)
    assert answerer.sampled_asked == []


def test_prompts_have_the_shots_asked_for_out_of_the_first_exemplar_set() -> None:
    answerer, prompts = Recording(), _prompts()
    evaluate(QUESTIONS[:4], answerer, prompts, PROTOCOL, (0, 1, 2))
    expected = [
        [prompts.prompt(question, 0, shots=shots) for question in sorted(QUESTIONS[:4], key=lambda q: q.type)]
        for shots in (0, 1, 2)
    ]
    assert [[request.prompt for request in requests] for requests in answerer.opened] == expected
    assert [texts[0].count("Question:") for texts in expected] == [1, 2, 3]


def test_packs_are_bounded_and_share_a_type() -> None:
    answerer = Recording()
    evaluate(QUESTIONS, answerer, _prompts(), PROTOCOL, (2,))
    assert [len(requests) for requests in answerer.opened] == [128, 128, 44]
    assert {request.group for request in answerer.opened[0]} == {"t"}


def test_more_shots_than_the_protocol_has_are_refused() -> None:
    with pytest.raises(UsageError, match="4 shots are more than the protocol's 2"):
        evaluate(QUESTIONS, Recording(), _prompts(), PROTOCOL, (4,))


def test_answers_that_are_written_are_read_again(tmp_path: Path) -> None:
    results = evaluate(QUESTIONS[:9], Recording(), _prompts(), PROTOCOL, (0, 2))
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
