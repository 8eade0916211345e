"""Rows of JSON Lines, JSON, CSV, TSV and Parquet files, streamed, each with the place it came from."""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from kft_tasks.errors import DataError
from kft_tasks.files import MAX_LINE_BYTES, read_jsonl
from kft_tasks.question_sets.storage.json_array import NotAnArrayError, read_array

Row = tuple[str, dict[str, Any]]
_DELIMITERS = (",", ";", "\t")  # spreadsheets of most of Europe write semicolons


def read_rows(path: Path, *, quoted: bool = True) -> Iterator[Row]:
    """Yield ``("file:line", row)`` for every row of a data file, in flat memory.

    Args:
        path: ``.jsonl``, ``.ndjson``, ``.json`` (an array of objects), ``.csv`` (with commas, semicolons or tabs),
            ``.tsv`` or ``.parquet``.
        quoted: whether quotation marks mean anything in CSV and TSV; they do not in the WikiQA corpus.

    Raises:
        DataError: an unreadable or broken file, or an unknown suffix.
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
    raise DataError(f"{path}: unknown kind of file. Use .jsonl, .json, .csv, .tsv or .parquet.")


def _json_rows(path: Path) -> Iterator[Row]:
    number = 0
    try:
        with path.open(encoding="utf-8-sig") as stream:
            for row in read_array(stream, MAX_LINE_BYTES):
                number += 1
                yield f"{path}:entry {number}", row
    except NotAnArrayError as error:
        raise DataError(
            f"{path}: is not a JSON array of objects. Write a list, or one object a line in a .jsonl file."
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 ({error.reason}). Convert the file to UTF-8.") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}:entry {number + 1}: {error}. Fix or remove the entry.") from error
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
    line = 1  # where the row begins: quoted cells may hold line breaks
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
    """Lines of bounded length, so that a wrong file fails instead of filling the memory."""
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
    """Refuse rows that are over-long on average before any of them is read."""
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        if group.total_byte_size > MAX_LINE_BYTES * max(1, group.num_rows):
            raise DataError(f"{path}: rows of over {MAX_LINE_BYTES >> 20} MiB. Is this the right file?")


def read_files(paths: Iterable[Path]) -> Iterator[Row]:
    """Rows of several files, one after the other."""
    for path in paths:
        yield from read_rows(path)


def need_columns(where: str, row: Mapping[str, Any], names: Sequence[str], source: str) -> None:
    """Check that a row has the columns that a source is known to have.

    Raises:
        DataError: the schema changed, or this is another data set.
    """
    missing = [name for name in names if name not in row]
    if missing:
        raise DataError(
            f"{where}: no column {', '.join(missing)}; there are {', '.join(map(str, row))}. Is this {source}? "
            f"Its schema has {', '.join(names)}."
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
    """Distinct non-blank answers out of a cell that holds a list of text.

    Raises:
        DataError: not a list of text, or nothing in it.
    """
    if not isinstance(values, (list, tuple)) or not all(isinstance(value, str) for value in values):
        raise DataError(f'{where}: "{name}" is not a list of text. Fix or remove the row.')
    answers = tuple(dict.fromkeys(value.strip() for value in values if value.strip()))
    if not answers:
        raise DataError(f'{where}: "{name}" holds no answer. Add one, or remove the row.')
    return answers
