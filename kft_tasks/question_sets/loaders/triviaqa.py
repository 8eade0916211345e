"""`triviaqa`: TriviaQA (Joshi et al., 2017), the questions without documents."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kft_tasks.errors import DataError
from kft_tasks.question_sets.info import SetInfo, check_options
from kft_tasks.question_sets.loaders.hub_sets import REVISION, TRAIN_WAY, HubSource, open_hub_set
from kft_tasks.question_sets.splits.row_set import RowSet
from kft_tasks.question_sets.splits.splitting import question_word
from kft_tasks.question_sets.storage.rows import answers_of, need_columns, text_of
from kft_tasks.questions import Question, content_id

SOURCE = HubSource(
    "mandarjoshi/trivia_qa",
    ["rc.nocontext/*.parquet"],
    "rc.nocontext",
    {"train": "", "validation": "test"},  # the public test split has no answers
    TRAIN_WAY,
)

INFO = SetInfo(
    name="triviaqa",
    title="TriviaQA",
    description="Trivia questions with many aliases per answer; rc.nocontext, without documents.",
    source="hub data set mandarjoshi/trivia_qa, configuration rc.nocontext",
    paper="Joshi et al., 2017, TriviaQA, arXiv 1705.03551",
    licence="unknown (the hub's card); the authors' code is Apache-2.0",
    types="the question word",
    published="138,384 train, 17,944 validation",
    options=(REVISION,),
)


def parse(where: str, row: Mapping[str, Any]) -> Question:
    """Parse one row of TriviaQA: the answer as written, then its aliases, then their normalised forms.

    Raises:
        DataError: another schema, or a row without an answer (the public test split).
    """
    need_columns(where, row, ("question", "answer"), SOURCE.repository)
    answer = row["answer"]
    if not isinstance(answer, Mapping):
        raise DataError(f'{where}: "answer" is not a record with value and aliases. Is this rc.nocontext?')
    need_columns(where, answer, ("value", "aliases", "normalized_aliases"), f"the answer of {SOURCE.repository}")
    value = answer["value"]
    if value in (None, "", "<unk>"):
        raise DataError(f"{where}: has no answer. TriviaQA's public test split has none: use train and validation.")
    aliases = [answer[name] or [] for name in ("aliases", "normalized_aliases")]
    if not all(isinstance(names, list) for names in aliases):
        raise DataError(f'{where}: the aliases of "answer" are not lists. Fix or remove the row.')
    names = answers_of(where, [value, *aliases[0], *aliases[1]], "answer")
    distinct = {name.casefold(): name for name in reversed(names)}
    text = text_of(where, row, "question")
    type_ = question_word(text)
    answers = tuple(name for name in names if distinct[name.casefold()] == name)
    return Question(content_id("triviaqa", type_, text), text, answers, type_, "")


def open_triviaqa(path: str | Path | None, options: Mapping[str, object] | None = None) -> RowSet:
    """Open a local copy or the hub's: test is the public validation split, train is divided 90/5/5."""
    revision = check_options(INFO, options)["revision"]
    return open_hub_set(INFO, SOURCE, parse, path, revision=revision)
