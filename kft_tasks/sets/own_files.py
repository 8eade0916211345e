"""`questions`: the user's own JSON Lines, CSV, TSV, JSON or Parquet files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kft_tasks.errors import DataError, UsageError, suggest
from kft_tasks.questions import Question, parse_question
from kft_tasks.sets.info import OptionInfo, SetInfo, check_options
from kft_tasks.sets.places import SUFFIXES, listing, locate, split_files
from kft_tasks.sets.row_set import RowSet, Source

FIELDS = ("question", "answers", "id", "type", "split", "subject")

INFO = SetInfo(
    name="questions",
    title="Your own questions",
    description="Any JSON Lines, CSV, TSV, JSON or Parquet file, or a folder with one file per split.",
    source="your own file or folder",
    paper="",
    licence="yours",
    types='the column "type", or "question" for all where there is none',
    options=(
        OptionInfo("columns", "Your column names, such as {question: q, answers: gold, type: topic}.", {}, "mapping"),
        OptionInfo("exemplars", "A file of its own with the questions that demonstrations are drawn from.", "", "text"),
    ),
)


class _Parser:
    """Makes a row of the user's a question, by his column names."""

    def __init__(self, columns: Mapping[str, str]) -> None:
        for field in columns:
            if field not in FIELDS:
                raise UsageError(f"questions: columns has the unknown field {field!r}. {suggest(field, FIELDS)}")
        self._columns = columns
        self._names = [(field, columns.get(field, field)) for field in FIELDS]

    def __call__(self, where: str, row: Mapping[str, Any]) -> Question:
        """Parse one row.

        Raises:
            DataError: a column is not there, or a field is missing, empty or of the wrong type.
        """
        for field, column in self._columns.items():
            if column not in row:
                there = ", ".join(map(str, row))
                raise DataError(f"{where}: no column {column!r} (for {field!r}). There are {there}. Fix columns.")
        fields = {field: row.get(name) for field, name in self._names}
        if fields["answers"] is None and "answers" not in self._columns:
            fields["answers"] = row.get("answer")
        fields["answers"] = _answers(fields["answers"])
        for name in ("id", "type", "split", "subject"):
            fields[name] = _text(fields[name])
        if fields["split"] in ("dev", "valid"):
            fields["split"] = "validation"
        return parse_question(fields, where)


def _answers(value: object) -> object:
    """A cell as a list of text: lists as they are, text that is a JSON list, or one single answer."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except ValueError:
            return [value]  # "[sic] ..." is an answer, not a list
    if isinstance(value, (list, tuple)):
        return [_text(item) for item in value]
    return None if value is None or value == "" else [_text(value)]


def _text(value: object) -> Any:
    """Numbers as text (a year, a class number); everything else unchanged, to be checked."""
    return str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


def open_questions(path: str | Path | None, options: Mapping[str, object] | None = None) -> RowSet:
    """Open the user's file or folder."""
    checked = check_options(INFO, options)
    place = locate(INFO, path, None)
    files = split_files(place)
    if not any(files.values()):
        raise DataError(f"{place}: holds no {', '.join(SUFFIXES)} files. Name a file, or a folder with one per split.")
    if files.get("") and len(files) > 1:
        names = listing({"": files[""]})
        raise DataError(f"{place}: {names} is beside files with a split in the name. Rename it, or move it away.")
    sources = [Source(tuple(paths), split) for split, paths in files.items()]
    if checked["exemplars"]:
        extra = Path(str(checked["exemplars"])).expanduser()
        if not extra.is_file():
            raise DataError(f"{extra}: the exemplars file does not exist. Check the option exemplars.")
        others = [Source(tuple(p for p in s.files if p.resolve() != extra.resolve()), s.split) for s in sources]
        sources = [*(source for source in others if source.files), Source((extra,), "exemplars")]
    return RowSet(INFO, tuple(sources), _Parser(checked["columns"]), repeated="error")
