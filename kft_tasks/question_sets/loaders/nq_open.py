"""`nq_open`: NQ-open (Lee et al., 2019), Natural Questions with short answers and without documents."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kft_tasks.question_sets.info import SetInfo, check_options
from kft_tasks.question_sets.loaders.hub_sets import REVISION, TRAIN_WAY, HubSource, open_hub_set
from kft_tasks.question_sets.splits.row_set import RowSet
from kft_tasks.question_sets.splits.splitting import question_word
from kft_tasks.question_sets.storage.rows import answers_of, need_columns, text_of
from kft_tasks.questions import Question, content_id

SOURCE = HubSource(
    "google-research-datasets/nq_open",
    ["nq_open/*.parquet", "data/*.parquet"],
    "nq_open",
    {"train": "", "validation": "test"},  # the hidden test set of the competition was never published
    TRAIN_WAY,
)

INFO = SetInfo(
    name="nq_open",
    title="NQ-open",
    description="Questions that people typed into Google, with short answers.",
    source="hub data set google-research-datasets/nq_open",
    paper="Lee, Chang and Toutanova, 2019, arXiv 1906.00300; Kwiatkowski et al., 2019, Natural Questions",
    licence="CC BY-SA 3.0",
    types="the question word",
    published="87,925 train, 3,610 validation",
    options=(REVISION,),
)


def parse(where: str, row: Mapping[str, Any]) -> Question:
    """Parse one row of NQ-open.

    Raises:
        DataError: another schema, or a row without answers.
    """
    need_columns(where, row, ("question", "answer"), SOURCE.repository)
    text = text_of(where, row, "question")
    answers = row["answer"]
    checked = answers_of(where, [answers] if isinstance(answers, str) else answers, "answer")
    type_ = question_word(text)
    return Question(content_id("nq_open", type_, text), text, checked, type_, "")


def open_nq_open(path: str | Path | None, options: Mapping[str, object] | None = None) -> RowSet:
    """Open a local copy or the hub's: test is the public validation split, train is divided 90/5/5."""
    revision = check_options(INFO, options)["revision"]
    return open_hub_set(INFO, SOURCE, parse, path, revision=revision)
