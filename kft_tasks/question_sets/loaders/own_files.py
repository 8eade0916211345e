"""`questions`: the user's own JSON Lines, CSV, TSV, JSON or Parquet files."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kft_tasks.errors import DataError
from kft_tasks.files import home_path
from kft_tasks.question_sets.info import OptionInfo, SetInfo, check_options
from kft_tasks.question_sets.splits.row_set import RowSet, Source
from kft_tasks.question_sets.storage.locate import SUFFIXES, listing, locate, split_files
from kft_tasks.question_sets.storage.rows import column_names
from kft_tasks.questions import Question, parse_question
from kft_tasks.strict_json import parse_json

FIELDS = ("question", "answers", "id", "type", "split", "subject")

INFO = SetInfo(
    name="questions",
    title="Your own questions",
    description="Any JSON Lines, CSV, TSV, JSON or Parquet file, or a folder with one file per split.",
    source="your own file or folder",
    paper="",
    licence="yours",
    types='the column "type", or "question" for all questions if there is none',
    options=(
        *(OptionInfo(name, f"Your column for {name!r}.", "", "text") for name in FIELDS),
        OptionInfo("exemplars", "A separate file with the questions that exemplars are drawn from.", "", "text"),
    ),
)


class RowParser:
    """Turns a user's row into a question, by the user's column names.

    Args:
        options: name of the column for each of ``FIELDS``; "" for its own name.
    """

    def __init__(self, options: Mapping[str, str]) -> None:
        self._mapped = {field: options[field] for field in FIELDS if options[field]}
        self._names = [(field, self._mapped.get(field, field)) for field in FIELDS]

    def __call__(self, where: str, row: Mapping[str, Any]) -> Question:
        """Parse one row.

        Raises:
            DataError: a missing column, or a field that is missing, empty or of the wrong type.
        """
        fields = {field: row.get(name) for field, name in self._names}
        if "answers" not in self._mapped and "answers" not in row and "answer" in row:
            fields["answers"] = row["answer"]
        for field, name in self._names:
            if (
                fields[field] is None
                and name not in row
                and (field in self._mapped or field in ("question", "answers"))
            ):
                raise DataError(_missing(where, field, name, row))
        fields["answers"] = _answers(fields["answers"])
        for name in ("id", "type", "split", "subject"):
            fields[name] = _text(fields[name])
        if fields["split"] in ("dev", "valid"):
            fields["split"] = "validation"
        return parse_question(fields, where)


def _missing(where: str, field: str, name: str, row: Mapping[str, Any]) -> str:
    return (
        f"{where}: no column {name!r} for {field}. The columns are: {column_names(row)}. Say which one it is with "
        f'`--option {field}=COLUMN` (kft) or `--metadata kft_options=\'{{"{field}": "COLUMN"}}\'` (lm_eval).'
    )


def _answers(value: object) -> object:
    """A cell as a list of text: a list, a JSON list as text, or a single answer."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = parse_json(value)
        except ValueError:
            return [value]  # "[sic] ..." is an answer, not a list
    if isinstance(value, (list, tuple)):
        return [_text(item) for item in value]
    return None if value is None or value == "" else [_text(value)]


def _text(value: object) -> Any:
    """Numbers as text (a year, a class number); everything else unchanged, to be checked. NaN stands for no value."""
    if isinstance(value, bool) or (isinstance(value, float) and not math.isfinite(value)):
        return value
    return str(value) if isinstance(value, (int, float)) else value


def open_questions(path: str | Path | None, options: Mapping[str, object] | None = None) -> RowSet:
    """Open the user's file or folder."""
    checked = check_options(INFO, options)
    place = locate(INFO, path, None)
    files = split_files(place)
    if not any(files.values()):
        raise DataError(f"{place}: holds no {', '.join(SUFFIXES)} files. Name a file, or a folder with one per split.")
    if files.get("") and len(files) > 1:
        names = listing({"": files[""]})
        raise DataError(
            f"{place}: {names} is next to files with a split in their names. Rename it, or move it elsewhere."
        )
    sources = [Source(tuple(paths), split) for split, paths in files.items()]
    if checked["exemplars"]:
        extra = home_path(str(checked["exemplars"]), "exemplars")
        if not extra.is_file():
            raise DataError(f"{extra}: the exemplars file does not exist. Check the option exemplars.")
        others = [Source(tuple(p for p in s.files if p.resolve() != extra.resolve()), s.split) for s in sources]
        sources = [*(source for source in others if source.files), Source((extra,), "exemplars")]
    return RowSet(INFO, tuple(sources), RowParser(checked), repeated="error")
