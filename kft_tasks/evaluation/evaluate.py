"""Plain greedy accuracy: one answer per question under each exemplar set, with exemplars of another type, or none.

Exemplars of another type show the form of an answer and nothing of the knowledge that is asked for: a model that
gains without exemplars and not here has learned the form.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kft_tasks.answering.answerer import Answerer, greedy_answers
from kft_tasks.errors import DataError
from kft_tasks.files import atomic_write, json_line, read_jsonl
from kft_tasks.progress import ProgressCallback, no_progress
from kft_tasks.protocol.prompt_maker import PromptMaker, PromptRequest
from kft_tasks.protocol.protocol import Protocol
from kft_tasks.questions import Question
from kft_tasks.row_checks import check_keys, check_type
from kft_tasks.scoring.scorers import get_scorer


@dataclass(frozen=True, order=True)
class Asking:
    """A way of asking: the number of exemplars in the prompt, and whether they are of another type."""

    shots: int
    other_type: bool = False


@dataclass(frozen=True)
class Answered:
    """One question with one greedy answer and whether it is right.

    Attributes:
        subject: the entity asked about; unknown in files written before it was kept.
        exemplar_set: number of the exemplar set; 0 without exemplars.
        other_type: whether the exemplars are of another type.
    """

    id: str
    type: str
    question: str
    answers: tuple[str, ...]
    shots: int
    given: str
    right: bool
    subject: str = ""
    exemplar_set: int = 0
    other_type: bool = False

    @property
    def asking(self) -> Asking:
        """How it was asked."""
        return Asking(self.shots, self.other_type)

    def to_json(self) -> dict[str, Any]:
        """A line of an answers file; an unknown subject and the usual exemplars are left out."""
        row = {**self.__dict__, "answers": list(self.answers)}
        return {key: value for key, value in row.items() if value or key not in _LEFT_OUT}


_LEFT_OUT = ("subject", "exemplar_set", "other_type")


@dataclass(frozen=True)
class TestQuestion:
    """One question asked in one way: its greedy answers under every exemplar set.

    Attributes:
        given: one answer per exemplar set.
        right: whether each is right.
    """

    __test__ = False  # not a test class of pytest

    id: str
    type: str
    subject: str
    question: str
    answers: tuple[str, ...]
    given: tuple[str, ...]
    right: tuple[bool, ...]

    @property
    def value(self) -> float:
        """Share of exemplar sets with a right answer: 0 or 1 where there is only one set."""
        return sum(self.right) / len(self.right)

    @property
    def empty(self) -> float:
        """Share of answers that are nothing but white space."""
        return sum(not given.strip() for given in self.given) / len(self.given)


def evaluate(
    questions: Sequence[Question],
    answerer: Answerer,
    prompts: PromptMaker,
    protocol: Protocol,
    shots: Sequence[int],
    progress: ProgressCallback = no_progress,
    *,
    other_type: bool = False,
) -> list[Answered]:
    """Ask every question greedily in every way: under each exemplar set of the protocol, and once without exemplars.

    Args:
        shots: numbers of exemplars; the first ones of each set.
        other_type: ask also with exemplars of another type, as many as the largest of ``shots``, once per question.
            Left out where the questions have one type only, or ``shots`` is just 0.
    """
    scorer = get_scorer(protocol.scorer)
    asked = [(Asking(number), chosen) for number in shots for chosen in range(protocol.exemplar_sets if number else 1)]
    others = _other_types({question.type for question in questions})
    if other_type and others and max(shots):
        asked.append((Asking(max(shots), other_type=True), 0))
    results: list[Answered] = []
    for asking, chosen in asked:
        foreign = others if asking.other_type else {}
        requests = [_request(prompts, question, asking, chosen, foreign) for question in questions]
        answers: dict[int, str] = {}
        for index, given in greedy_answers(requests, answerer):
            answers[index] = given
            progress(len(results) + len(answers), len(asked) * len(questions), _title(asking))
        for index, question in enumerate(questions):
            right = scorer(answers[index], question.answers, question.question)
            results.append(_answered(question, asking, chosen, answers[index], right))
    return results


def by_question(answered: Iterable[Answered]) -> dict[Asking, list[TestQuestion]]:
    """Answers by way of asking, then by question in the order of ids, then by exemplar set."""
    rows = sorted(answered, key=lambda item: (item.asking, item.id, item.exemplar_set))
    found: dict[Asking, list[TestQuestion]] = {}
    for (asking, _), group in itertools.groupby(rows, key=lambda item: (item.asking, item.id)):
        items = list(group)
        first = items[0]
        given, right = tuple(item.given for item in items), tuple(item.right for item in items)
        entry = TestQuestion(first.id, first.type, first.subject, first.question, first.answers, given, right)
        found.setdefault(asking, []).append(entry)
    return found


def _other_types(types: Iterable[str]) -> dict[str, str]:
    """For each type another one, the next by name; empty where there is only one."""
    ordered = sorted(types)
    return dict(zip(ordered, [*ordered[1:], ordered[0]], strict=True)) if len(ordered) > 1 else {}


def _request(
    prompts: PromptMaker, question: Question, asking: Asking, exemplar_set: int, others: dict[str, str]
) -> PromptRequest:
    of_type = others.get(question.type)
    prompt = prompts.prompt(question, exemplar_set, shots=asking.shots, exemplar_type=of_type)
    return PromptRequest(question.id, exemplar_set, prompt, 0, question.type)


def _title(asking: Asking) -> str:
    return f"{asking.shots}-shot" + (", exemplars of another type" if asking.other_type else "")


def _answered(question: Question, asking: Asking, exemplar_set: int, given: str, right: bool) -> Answered:
    return Answered(
        id=question.id,
        type=question.type,
        question=question.question,
        answers=question.answers,
        shots=asking.shots,
        given=given,
        right=right,
        subject=question.subject,
        exemplar_set=exemplar_set,
        other_type=asking.other_type,
    )


def write_answers(path: Path, answered: Sequence[Answered]) -> None:
    """Write answers as JSON Lines."""
    with atomic_write(path) as stream:
        for item in answered:
            stream.write(json_line(item.to_json()))


def read_answers(path: Path) -> list[Answered]:
    """Read the answers that :func:`write_answers` wrote.

    Raises:
        DataError: a line is not an answer; file and line are named.
    """
    return [_parse_answer(row, f"{path}:{number}") for number, row in read_jsonl(path)]


_TEXTS = ("id", "type", "question", "given")
_KEYS = frozenset((*_TEXTS, "answers", "shots", "right"))
_MOST = 1 << 31  # exemplars or exemplar sets: more are a damaged file


def _parse_answer(row: dict[str, Any], where: str) -> Answered:
    try:
        check_keys(row, _KEYS, frozenset(_LEFT_OUT))
        check_type(row, str, *_TEXTS)
        check_type(row, list, "answers")
        check_type(row, bool, "right")
        answers = tuple(row["answers"])
        for text in (*answers, row.get("subject", "")):
            if type(text) is not str:
                raise ValueError("answers and subject: must be text")
        for number in (row["shots"], row.get("exemplar_set", 0)):
            if type(number) is not int or not 0 <= number < _MOST:
                raise ValueError("shots and exemplar_set: must be integers from 0")
        if type(row.get("other_type", False)) is not bool:
            raise ValueError("other_type: must be true or false")
    except ValueError as error:
        raise DataError(f"{where}: not an answer ({error}). Ask again, or restore the file.") from error
    return Answered(**{**row, "answers": answers})
