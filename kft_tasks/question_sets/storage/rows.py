"""Rows of JSON Lines, JSON, CSV, TSV and Parquet files, each with the place it came from.

All stream; of a JSON array the text is held, not the entries.
"""

from __future__ import annotations

import csv
import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from kft_tasks import limits
from kft_tasks.errors import DataError, shortened
from kft_tasks.files import bounded_lines, read_jsonl, read_whole
from kft_tasks.question_sets.storage.parquet import parquet_rows
from kft_tasks.strict_json import iterate_array

Row = tuple[str, dict[str, Any]]
_DELIMITERS = (",", ";", "\t")  # spreadsheets in most of Europe write semicolons


def read_rows(path: Path, *, quoted: bool = True) -> Iterator[Row]:
    """Yield ``("file:line", row)`` for every row of a data file, in flat memory beside the text of a JSON array.

    Args:
        path: ``.jsonl``, ``.ndjson``, ``.json`` (an array of objects, up to 128 MiB), ``.csv`` (with commas,
            semicolons or tabs), ``.tsv`` or ``.parquet``.
        quoted: whether quotation marks have a meaning in CSV and TSV; in the WikiQA corpus they have none.

    Raises:
        DataError: an unreadable, broken or overlong file, or an unknown suffix.
    """
    suffix = path.suffix.lower()
    if suffix in (".jsonl", ".ndjson"):
        return ((f"{path}:{number}", row) for number, row in read_jsonl(path))
    if suffix == ".json":
        return _json_rows(path)
    if suffix in (".csv", ".tsv"):
        return _csv_rows(path, "\t" if suffix == ".tsv" else "", quoted)
    if suffix == ".parquet":
        return ((f"{path}:row {number}", row) for number, row in parquet_rows(path))
    raise DataError(f"{path}: unknown file type. Use .jsonl, .json, .csv, .tsv or .parquet.")


def _json_rows(path: Path) -> Iterator[Row]:
    if path.is_file() and path.stat().st_size > limits.MAX_JSON_BYTES:
        raise DataError(
            f"{path}: over {limits.MAX_JSON_BYTES >> 20} MiB, too large for a JSON array. Write one object per line in "
            "a .jsonl file."
        )
    data = read_whole(path, limits.MAX_JSON_BYTES)
    try:
        text = data.decode("utf-8-sig")
        del data
        for number, entry in enumerate(iterate_array(text), start=1):
            where = f"{path}:entry {number}"
            if not isinstance(entry, dict):
                raise DataError(f"{where}: not an object. Fix or remove the entry.")
            yield where, entry
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 ({error.reason}). Convert the file to UTF-8.") from error
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path}:{error.lineno}: not JSON ({error.msg}, character {error.colno} of the line). "
            "Fix the file, or fetch it again."
        ) from error
    except TypeError as error:
        raise DataError(
            f"{path}: is not a JSON array of objects. Write an array, or one object per line in a .jsonl file."
        ) from error
    except ValueError as error:  # NaN, a number of 4,300 digits, brackets in brackets
        raise DataError(f"{path}: not JSON ({error}). Fix the file, or fetch it again.") from error


class _TextLines:
    """Lines of text. Those of one row are bounded together, so that no open quotation mark swallows the file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines = enumerate(bounded_lines(path), start=1)
        self._row_bytes = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        number, line = next(self._lines)
        self._row_bytes += len(line)
        if self._row_bytes > limits.MAX_LINE_BYTES:
            raise DataError(
                f"{self._path}:{number}: the row that ends here or later has over {limits.MAX_LINE_BYTES >> 20} MiB. "
                "Close the quotation mark that is open."
            )
        try:
            return line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise DataError(f"{self._path}:{number}: not UTF-8 ({error.reason}). Convert the file to UTF-8.") from error

    def start_row(self) -> None:
        """Count from here."""
        self._row_bytes = 0


def _csv_rows(path: Path, delimiter: str, quoted: bool) -> Iterator[Row]:
    source = _TextLines(path)
    top = next(source, "")
    delimiter = delimiter or max(_DELIMITERS, key=re.sub(r'"[^"]*"', "", top).count)
    lines = itertools.chain([top] if top else [], source)
    if quoted:
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
    else:
        reader = csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE)
    line = 1  # where the row starts: quoted cells may hold line breaks
    try:
        header = next(reader, [])
        _check_header(path, header)
        line = reader.line_num + 1
        source.start_row()
        for cells in reader:
            source.start_row()
            where, line = f"{path}:{line}", reader.line_num + 1
            if not cells:
                continue
            if len(cells) != len(header):
                raise DataError(f"{where}: {len(cells)} columns where the first line has {len(header)}. Fix the line.")
            yield where, dict(zip(header, cells, strict=True))
    except csv.Error as error:
        raise DataError(f"{path}:{line}: {error}. Fix the line.") from error


def _check_header(path: Path, header: Sequence[str]) -> None:
    if not header:
        raise DataError(f"{path}: is empty. Write a first line with column names.")
    if len(header) > limits.MAX_COLUMNS:
        raise DataError(f"{path}:1: over {limits.MAX_COLUMNS:,} columns. Is this the right file?")
    if len(set(header)) < len(header):
        raise DataError(f"{path}:1: two columns have the same name. Give every column a name of its own.")


def read_files(paths: Iterable[Path]) -> Iterator[Row]:
    """Rows of several files, one file after another."""
    for path in paths:
        yield from read_rows(path)


def column_names(row: Mapping[str, Any]) -> str:
    """The columns of a row for an error message, cut to a readable length."""
    return shortened(", ".join(map(str, row)), 500) or "none"


def need_columns(where: str, row: Mapping[str, Any], names: Sequence[str], source: str) -> None:
    """Check that a row has the columns its source is known to have.

    Raises:
        DataError: the schema changed, or this is a different data set.
    """
    missing = [name for name in names if name not in row]
    if missing:
        raise DataError(
            f"{where}: no column {', '.join(missing)}; there are {column_names(row)}. Is this {source}? "
            f"Its columns include {', '.join(names)}."
        )


def text_of(where: str, row: Mapping[str, Any], name: str) -> str:
    """A text cell, stripped.

    Raises:
        DataError: the cell is empty or not text.
    """
    value = row[name]
    if not isinstance(value, str) or not value.strip():
        raise DataError(f'{where}: "{name}" is empty or not text. Fix or remove the row.')
    return value.strip()


def answers_of(where: str, values: object, name: str) -> tuple[str, ...]:
    """Distinct non-blank answers from a cell that holds a list of text.

    Raises:
        DataError: not a list of text, or an empty one.
    """
    if not isinstance(values, (list, tuple)) or not all(isinstance(value, str) for value in values):
        raise DataError(f'{where}: "{name}" is not a list of text. Fix or remove the row.')
    answers = tuple(dict.fromkeys(value.strip() for value in values if value.strip()))
    if not answers:
        raise DataError(f'{where}: "{name}" holds no answer. Add one, or remove the row.')
    return answers
