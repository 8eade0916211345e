"""Rows of JSON Lines, JSON, CSV, TSV and Parquet files, each with the place it came from; all but JSON stream."""

from __future__ import annotations

import csv
import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from kft_tasks.errors import DataError
from kft_tasks.files import MAX_LINE_BYTES, read_jsonl

Row = tuple[str, dict[str, Any]]
MAX_JSON_BYTES = 128 * 1024 * 1024  # decoded as a whole, in several times as much memory
_DELIMITERS = (",", ";", "\t")  # spreadsheets in most of Europe write semicolons


def read_rows(path: Path, *, quoted: bool = True) -> Iterator[Row]:
    """Yield ``("file:line", row)`` for every row of a data file, in flat memory unless it is a JSON array.

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
        return _parquet_rows(path)
    raise DataError(f"{path}: unknown file type. Use .jsonl, .json, .csv, .tsv or .parquet.")


def _json_rows(path: Path) -> Iterator[Row]:
    entries = _load_json(path)
    if not isinstance(entries, list):
        raise DataError(
            f"{path}: is not a JSON array of objects. Write an array, or one object per line in a .jsonl file."
        )
    for number, entry in enumerate(entries, start=1):
        where = f"{path}:entry {number}"
        if not isinstance(entry, dict):
            raise DataError(f"{where}: not an object. Fix or remove the entry.")
        yield where, entry


def _load_json(path: Path) -> Any:
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise DataError(
                f"{path}: over {MAX_JSON_BYTES >> 20} MiB, too large for a JSON array. Write one object per line in a "
                ".jsonl file."
            )
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 ({error.reason}). Convert the file to UTF-8.") from error
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path}:{error.lineno}: not JSON ({error.msg}, character {error.colno} of the line). "
            "Fix the file, or fetch it again."
        ) from error
    except (ValueError, RecursionError) as error:  # a number of 4,300 digits, brackets in brackets
        raise DataError(f"{path}: not JSON ({error}). Fix the file, or fetch it again.") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}). Check the path.") from error


def _csv_rows(path: Path, delimiter: str, quoted: bool) -> Iterator[Row]:
    lines = _text_lines(path)
    top = next(lines, "")
    delimiter = delimiter or max(_DELIMITERS, key=re.sub(r'"[^"]*"', "", top).count)
    lines = itertools.chain([top] if top else [], lines)
    if quoted:
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
    else:
        reader = csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE)
    line = 1  # where the row starts: quoted cells may hold line breaks
    try:
        header = next(reader, None)
        if not header:
            raise DataError(f"{path}: is empty. Write a first line with column names.")
        if len(set(header)) < len(header):
            raise DataError(f"{path}:1: two columns have the same name. Give every column a name of its own.")
        line = reader.line_num + 1
        for cells in reader:
            where, line = f"{path}:{line}", reader.line_num + 1
            if not cells:
                continue
            if len(cells) != len(header):
                raise DataError(f"{where}: {len(cells)} columns where the first line has {len(header)}. Fix the line.")
            yield where, dict(zip(header, cells, strict=True))
    except csv.Error as error:
        raise DataError(f"{path}:{line}: {error}. Fix the line.") from error


def _text_lines(path: Path) -> Iterator[str]:
    """Lines of bounded length, so that the wrong file fails instead of filling memory."""
    number = 0
    try:
        with path.open("rb") as stream:
            while line := stream.readline(MAX_LINE_BYTES + 1):
                number += 1
                if len(line) > MAX_LINE_BYTES:
                    raise DataError(
                        f"{path}:{number}: line of over {MAX_LINE_BYTES >> 20} MiB. Is this the right file?"
                    )
                yield line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}:{number}: not UTF-8 ({error.reason}). Convert the file to UTF-8.") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}). Check the path.") from error


def _parquet_rows(path: Path) -> Iterator[Row]:
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            number = 0
            _check_sizes(file.metadata, path)
            for batch in file.iter_batches(batch_size=1024):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{path}:row {number}", row
    except (pyarrow.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{path}: is not a readable Parquet file ({reason}). Fetch or write it again.") from error


def _check_sizes(metadata: Any, path: Path) -> None:
    """Refuse rows that are overlong on average before reading any of them."""
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        if group.total_byte_size > MAX_LINE_BYTES * max(1, group.num_rows):
            raise DataError(f"{path}: rows of over {MAX_LINE_BYTES >> 20} MiB. Is this the right file?")


def read_files(paths: Iterable[Path]) -> Iterator[Row]:
    """Rows of several files, one file after another."""
    for path in paths:
        yield from read_rows(path)


def need_columns(where: str, row: Mapping[str, Any], names: Sequence[str], source: str) -> None:
    """Check that a row has the columns its source is known to have.

    Raises:
        DataError: the schema changed, or this is a different data set.
    """
    missing = [name for name in names if name not in row]
    if missing:
        raise DataError(
            f"{where}: no column {', '.join(missing)}; there are {', '.join(map(str, row))}. Is this {source}? "
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
