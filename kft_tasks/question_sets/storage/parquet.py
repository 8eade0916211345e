"""Rows of Parquet files, whose decoded size is bounded before anything is decoded.

Parquet compresses so well that 1 kB can stand for 100 GB: pages are compressed, values are numbers of entries of a
dictionary, and repeats of a number are counted. So the headers of all pages are read first (:mod:`page_headers`), the
largest batch of rows they allow is worked out, and where only the values can tell, these are decoded as numbers of
dictionary entries and added up.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from kft_tasks import limits
from kft_tasks.errors import DataError
from kft_tasks.files import open_input
from kft_tasks.question_sets.storage.page_headers import Page, read_pages

_BATCH_ROWS = 1024
_VALUE_BYTES = 64  # what one value takes in Python beside its text
_MAX_FIXED = 1024  # bytes of one value of a type of fixed length
_FOOTER = {"thrift_string_size_limit": 16 << 20, "thrift_container_size_limit": 100_000}


def parquet_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield ``(row number from 1, row)`` in bounded memory.

    Raises:
        DataError: not a Parquet file, damaged, or one of which a few rows would take too much memory.
    """
    import pyarrow
    import pyarrow.parquet

    try:
        with open_input(path) as stream, pyarrow.parquet.ParquetFile(str(path), **_FOOTER) as file:
            check = _Check(path, stream, file.metadata)
            number = 0
            for group in range(file.metadata.num_row_groups):
                check.row_group(group)
                for batch in file.iter_batches(batch_size=_BATCH_ROWS, row_groups=[group]):
                    # long texts take up to four times as much in Python: one row at a time
                    step = 1 if check.batch(batch) > limits.MAX_LINE_BYTES else batch.num_rows
                    for start in range(0, batch.num_rows, step):
                        for row in batch.slice(start, step).to_pylist():
                            number += 1
                            yield number, row
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError) as error:
        # ValueError: text that is not UTF-8, a damaged page header; OverflowError: a date after the year 9999
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{path}: is not a readable Parquet file ({reason}). Fetch or write it again.") from error


class _Check:
    """Refuses what one file has too much of.

    Args:
        path: the file.
        stream: the same file, opened.
        metadata: pyarrow's record of its footer.
    """

    def __init__(self, path: Path, stream: IO[bytes], metadata: Any) -> None:
        self._path = path
        self._stream = stream
        self._metadata = metadata
        self._dictionaries: Any = None
        size = os.fstat(stream.fileno()).st_size
        self._pages_left = 1000 + size // 8  # a page takes more bytes, unless column chunks overlap
        if metadata.num_columns > limits.MAX_COLUMNS:
            raise self._refused(f"{metadata.num_columns:,} columns")
        if metadata.num_rows > 1000 + limits.MAX_PARQUET_ROWS_PER_BYTE * size:
            raise self._refused(f"{metadata.num_rows:,} rows in {size:,} bytes, which repeat each other")
        for number in range(metadata.num_columns):
            column = metadata.schema.column(number)
            if column.physical_type == "FIXED_LEN_BYTE_ARRAY" and column.length > _MAX_FIXED:
                raise self._refused(f"column {column.path}: values of {column.length:,} bytes each")

    def row_group(self, number: int) -> None:
        """Refuse a row group of which a batch of rows could take too much."""
        group = self._metadata.row_group(number)
        if group.total_byte_size > limits.MAX_LINE_BYTES * max(1, group.num_rows):
            raise DataError(f"{self._path}: rows of over {limits.MAX_LINE_BYTES >> 20} MiB. Is this the right file?")
        held = window = repeated = 0
        by_dictionary: dict[str, int] = {}  # columns by name, and how often a batch may take an entry
        worst = 0
        for index in range(group.num_columns):
            column, chunk = self._metadata.schema.column(index), group.column(index)
            pages = self._pages(chunk)
            flat = column.max_repetition_level == 0
            if not flat:
                repeated += max(chunk.num_values, sum(page.values for page in pages if page.holds != "dictionary"))
            held += sum(sorted(page.size for page in pages)[-2:])
            window += _largest_window(pages, flat)
            if _is_text(column) and any(page.holds == "numbers" for page in pages):
                by_dictionary[column.path] = min(group.num_rows, _BATCH_ROWS) if flat else chunk.num_values
                entries = max((page.size for page in pages if page.holds == "dictionary"), default=0)
                worst += by_dictionary[column.path] * entries
        if repeated > limits.MAX_PARQUET_REPEATED:
            raise self._refused(f"lists of {repeated:,} values in one row group")
        if held > limits.MAX_PARQUET_PAGES:
            raise self._refused(f"pages of {held >> 20:,} MiB to be held at once")
        if window > limits.MAX_PARQUET_WINDOW:
            raise self._refused(f"up to {window >> 20:,} MiB in {_BATCH_ROWS} rows")
        if worst > limits.MAX_PARQUET_WINDOW:
            self._check_dictionaries(number, by_dictionary)

    def _pages(self, chunk: Any) -> Sequence[Page]:
        start = chunk.data_page_offset
        if chunk.has_dictionary_page and 0 < (chunk.dictionary_page_offset or 0) < start:
            start = chunk.dictionary_page_offset
        pages = read_pages(self._stream, start, chunk.total_compressed_size, self._pages_left)
        self._pages_left -= len(pages)
        return pages

    def _check_dictionaries(self, number: int, times: Mapping[str, int]) -> None:
        """Add up what batches take, unless the longest entry of every dictionary is short enough anyway.

        Args:
            number: of the row group.
            times: how often a batch may take an entry, by column.
        """
        if self._dictionaries is None:
            import pyarrow.parquet

            columns = [self._metadata.schema.column(index) for index in range(self._metadata.num_columns)]
            names = [column.path for column in columns if _is_text(column)]
            self._dictionaries = pyarrow.parquet.ParquetFile(str(self._path), read_dictionary=names, **_FOOTER)
        worst = 0
        for name, count in times.items():
            first = next(self._dictionaries.iter_batches(batch_size=1, row_groups=[number], columns=[name]), None)
            worst += count * _longest_entry(first)
        if worst > limits.MAX_PARQUET_WINDOW:
            for batch in self._dictionaries.iter_batches(_BATCH_ROWS, row_groups=[number], columns=list(times)):
                self.batch(batch)

    def batch(self, batch: Any) -> int:
        """The bytes that rows take as values of Python, about; refuse too many."""
        taken = sum(_decoded_size(column) for column in batch.columns)
        if taken > limits.MAX_PARQUET_WINDOW:
            raise self._refused(f"{taken >> 20:,} MiB in {batch.num_rows} rows")
        return taken

    def _refused(self, what: str) -> DataError:
        return DataError(f"{self._path}: has {what}, which is too much to decode. Is this the right file?")


def _is_text(column: Any) -> bool:
    return str(column.physical_type) == "BYTE_ARRAY"


def _largest_window(pages: Sequence[Page], flat: bool) -> int:
    """Bytes that a batch of rows of one column can take, without those that come out of a dictionary."""
    most = 0
    for page in pages:
        values = min(page.values, _BATCH_ROWS) if flat else page.values
        if page.holds == "prefixed":
            most = max(most, values * page.size) if flat else most + values * page.size
        elif page.holds == "plain":
            most = max(most, values * page.size // max(1, page.values)) if flat else most + page.size
    return most


def _longest_entry(batch: Any) -> int:
    """Length of the longest dictionary entry in bytes; a huge number if the first row shows no dictionary."""
    import pyarrow.compute

    longest = [
        pyarrow.compute.max(pyarrow.compute.binary_length(array.dictionary)).as_py()
        for column in (batch.columns if batch is not None else ())
        for array in _leaves(column)
        if hasattr(array, "dictionary") and len(array.dictionary)
    ]
    return max(longest) if longest else limits.MAX_PARQUET_WINDOW + 1


def _decoded_size(array: Any) -> int:
    """Bytes that an array takes as values of Python, about."""
    return sum(_leaf_size(leaf) + _VALUE_BYTES * len(leaf) for leaf in _leaves(array))


def _leaf_size(array: Any) -> int:
    import pyarrow.compute
    import pyarrow.types

    if not pyarrow.types.is_dictionary(array.type):
        return int(array.nbytes)
    try:
        lengths = pyarrow.compute.binary_length(array.dictionary)
    except pyarrow.ArrowNotImplementedError:  # no texts: numbers, dates
        return 16 * len(array)
    return int(pyarrow.compute.sum(lengths.take(array.indices)).as_py() or 0)


def _leaves(array: Any) -> Iterator[Any]:
    """The arrays of plain values within lists and structs."""
    import pyarrow.types

    kind = array.type
    if isinstance(array, pyarrow.ExtensionArray):
        yield from _leaves(array.storage)
    elif pyarrow.types.is_struct(kind):
        for field in array.flatten():
            yield from _leaves(field)
    elif pyarrow.types.is_map(kind):
        yield from _leaves(array.keys)
        yield from _leaves(array.items)
    elif pyarrow.types.is_nested(kind):
        yield from _leaves(array.flatten())
    else:
        yield array
