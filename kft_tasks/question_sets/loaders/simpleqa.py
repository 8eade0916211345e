"""`simpleqa`: SimpleQA (Wei et al., 2024): short questions that are hard for large models."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from kft_tasks.errors import DataError
from kft_tasks.question_sets.info import OptionInfo, SetInfo, check_options
from kft_tasks.question_sets.loaders.hub_sets import REVISION, HubSource, open_hub_set
from kft_tasks.question_sets.splits.row_set import RowSet
from kft_tasks.question_sets.storage.rows import need_columns, text_of
from kft_tasks.questions import Question, QuestionSet, content_id

TYPES = ("Person", "Date", "Number", "Place", "Other")
SOURCE = HubSource(
    "basicv8vc/SimpleQA",
    ["*.csv", "data/*.parquet"],
    "default",
    {"test": ""},
    (("exemplars", 0.05), ("test", 0.95)),
)

_MAX_METADATA = 20_000  # characters; parsing Python takes hundreds of times as much memory

INFO = SetInfo(
    name="simpleqa",
    title="SimpleQA",
    description="4,326 short factual questions with one answer each, for evaluation only.",
    source="hub data set basicv8vc/SimpleQA",
    paper="Wei et al., 2024, Measuring Short-Form Factuality in Large Language Models, arXiv 2411.04368",
    licence="MIT",
    types=f"the kind of answer: {', '.join(TYPES)}",
    published="4,326 in one split",
    sizes={"test": None, "exemplars": None},
    options=(
        OptionInfo(
            "exemplars_from",
            "own: 5 % of each kind of answer are held out as exemplars; the name of another set, such as worldfacts: "
            "exemplars come from there, and all 4,326 questions are test.",
            "own",
            "text",
        ),
        REVISION,
    ),
)


def parse(where: str, row: Mapping[str, Any]) -> Question:
    """Parse one row of SimpleQA, whose ``metadata`` is a Python dictionary written as text; it is never run.

    Raises:
        DataError: another schema, or a row without an answer.
    """
    need_columns(where, row, ("metadata", "problem", "answer"), SOURCE.repository)
    text, answer = text_of(where, row, "problem"), text_of(where, row, "answer")
    kind = str(_metadata(where, row["metadata"]).get("answer_type") or "Other")
    type_ = kind if kind in TYPES else "Other"
    return Question(content_id("simpleqa", type_, text), text, (answer,), type_, "")


def _metadata(where: str, value: object) -> Mapping[str, Any]:
    if isinstance(value, str):
        try:
            value = ast.literal_eval(value) if len(value) <= _MAX_METADATA else None
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):  # TypeError: {[]: 1}
            value = None
    if not isinstance(value, Mapping):
        raise DataError(f'{where}: "metadata" is not a dictionary with answer_type. Fix or remove the row.')
    return value


class BorrowedExemplars:
    """A set with another set's exemplars, each repeated for every type."""

    def __init__(self, questions: RowSet, lender: QuestionSet) -> None:
        self.name = questions.name
        self.version = questions.version
        self._questions = questions
        self._lender = lender

    def splits(self) -> tuple[str, ...]:
        """``test`` and the borrowed ``exemplars``."""
        return (*self._questions.splits(), "exemplars")

    def split(self, name: str) -> Iterator[Question]:
        """Questions of one split; ``test`` is everything.

        Raises:
            DataError: no such split, or a broken row.
        """
        return self._borrowed() if name == "exemplars" else self._questions.split(name)

    def _borrowed(self) -> Iterator[Question]:
        for question in self._lender.split("exemplars"):
            for type_ in TYPES:
                yield replace(question, id=f"{question.id}-{type_}", type=type_, split="exemplars")


def open_simpleqa(
    path: str | Path | None,
    options: Mapping[str, object] | None = None,
    *,
    open_other: Callable[[str], QuestionSet],
) -> QuestionSet:
    """Open a local copy or the hub's; ``open_other`` opens the set that lends its exemplars."""
    checked = check_options(INFO, options)
    lender, revision = str(checked["exemplars_from"]), str(checked["revision"])
    if lender == "own":
        return open_hub_set(INFO, SOURCE, parse, path, revision=revision, one_file_as="test")
    exemplars = open_other(lender)
    source = replace(SOURCE, splits={"test": "test"})
    questions = open_hub_set(INFO, source, parse, path, revision=revision, one_file_as="test", carve=False)
    return BorrowedExemplars(questions, exemplars)
