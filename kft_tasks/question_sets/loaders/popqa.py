"""`popqa`: PopQA (Mallen et al., 2023): questions about entities, popular and obscure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kft_tasks.errors import DataError
from kft_tasks.question_sets.info import SetInfo, check_options
from kft_tasks.question_sets.loaders.hub_sets import REVISION, HubSource, open_hub_set
from kft_tasks.question_sets.splits.row_set import RowSet
from kft_tasks.question_sets.storage.rows import answers_of, need_columns, text_of
from kft_tasks.questions import Question, content_id
from kft_tasks.strict_json import parse_json

SOURCE = HubSource("akariasai/PopQA", ["*.tsv", "data/*.parquet"], "default", {"test": ""}, repeated="keep")

INFO = SetInfo(
    name="popqa",
    title="PopQA",
    description="14,267 questions of 16 Wikidata relations, about popular and obscure subjects.",
    source="hub data set akariasai/PopQA",
    paper="Mallen et al., 2023, When Not to Trust Language Models, arXiv 2212.10511",
    licence="MIT (the authors' repository); the hub's card names none",
    types="the relation (prop), such as place_of_birth",
    published="14,267 in one split",
    options=(REVISION,),
)


def parse(where: str, row: Mapping[str, Any]) -> Question:
    """Parse one row of PopQA, whose ``possible_answers`` is a list written as JSON text.

    Raises:
        DataError: another schema, or a row without answers.
    """
    need_columns(where, row, ("subj", "prop", "question", "possible_answers"), SOURCE.repository)
    answers = row["possible_answers"]
    if isinstance(answers, str):
        try:
            answers = parse_json(answers)
        except ValueError as error:
            raise DataError(
                f'{where}: "possible_answers" is not a JSON list ({error}). Fix or remove the row.'
            ) from error
    checked = answers_of(where, answers, "possible_answers")
    object_ = row.get("obj")
    if isinstance(object_, str) and object_.strip() in checked:  # the relation's own object is canonical
        checked = tuple(dict.fromkeys((object_.strip(), *checked)))
    text, type_ = text_of(where, row, "question"), text_of(where, row, "prop").replace(" ", "_")
    return Question(content_id("popqa", type_, text), text, checked, type_, "", text_of(where, row, "subj"))


def open_popqa(path: str | Path | None, options: Mapping[str, object] | None = None) -> RowSet:
    """Open a local copy or the hub's. The source's one split is divided 70/10/15/5 by subject."""
    revision = check_options(INFO, options)["revision"]
    return open_hub_set(INFO, SOURCE, parse, path, revision=revision)
