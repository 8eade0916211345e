"""Plain greedy accuracy: one answer per question, with a fixed exemplar set or none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kft_tasks.answering.answerer import Answerer, greedy_answers
from kft_tasks.files import atomic_write, json_line, read_jsonl
from kft_tasks.progress import ProgressCallback, no_progress
from kft_tasks.protocol.prompt_maker import PromptMaker, PromptRequest
from kft_tasks.protocol.protocol import Protocol
from kft_tasks.questions import Question
from kft_tasks.scoring.scorers import get_scorer


@dataclass(frozen=True)
class Answered:
    """One question with the given greedy answer and whether it is right."""

    id: str
    type: str
    question: str
    answers: tuple[str, ...]
    shots: int
    given: str
    right: bool
    subject: str = ""  # the entity asked about; unknown in files written before it was kept

    def to_json(self) -> dict[str, Any]:
        """A line of an answers file; an unknown subject is left out."""
        row = {**self.__dict__, "answers": list(self.answers)}
        return row if self.subject else {key: value for key, value in row.items() if key != "subject"}


def evaluate(
    questions: Sequence[Question],
    answerer: Answerer,
    prompts: PromptMaker,
    protocol: Protocol,
    shots: Sequence[int],
    progress: ProgressCallback = no_progress,
) -> list[Answered]:
    """Ask every question once per number of shots, greedily; exemplars are the first of exemplar set 0."""
    scorer = get_scorer(protocol.scorer)
    results: list[Answered] = []
    for number in shots:
        requests = [PromptRequest(q.id, 0, prompts.prompt(q, 0, shots=number), 0, q.type) for q in questions]
        answers: dict[int, str] = {}
        for index, given in greedy_answers(requests, answerer):
            answers[index] = given
            progress(len(results) + len(answers), len(shots) * len(questions), f"{number}-shot")
        for index, question in enumerate(questions):
            right = scorer(answers[index], question.answers, question.question)
            results.append(_answered(question, number, answers[index], right))
    return results


def _answered(question: Question, shots: int, given: str, right: bool) -> Answered:
    return Answered(
        question.id, question.type, question.question, question.answers, shots, given, right, question.subject
    )


def write_answers(path: Path, answered: Sequence[Answered]) -> None:
    """Write answers as JSON Lines."""
    with atomic_write(path) as stream:
        for item in answered:
            stream.write(json_line(item.to_json()))


def read_answers(path: Path) -> list[Answered]:
    """Read the answers that :func:`write_answers` wrote."""
    return [Answered(**{**row, "answers": tuple(row["answers"])}) for _, row in read_jsonl(path)]
