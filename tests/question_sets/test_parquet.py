"""Sound Parquet files of every shape are read as pyarrow reads them; their page headers say what the pages take."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from kft_tasks import limits
from kft_tasks.errors import DataError
from kft_tasks.question_sets.storage import parquet as parquet_module
from kft_tasks.question_sets.storage.page_headers import Page, read_pages
from kft_tasks.question_sets.storage.parquet import parquet_rows


def _rows(count: int) -> list[dict[str, Any]]:
    dice = random.Random(0)
    return [
        {
            "question": f"What is {n}? é" if n % 7 else None,
            "answers": [f"A{dice.randrange(50)}" for _ in range(n % 4)] if n % 5 else None,
            "info": {"aliases": [f"x{n % 3}"], "rank": n, "share": n / 3},
            "type": f"P{n % 5}",
            "flag": n % 2 == 0,
        }
        for n in range(count)
    ]


def _write(path: Path, rows: list[dict[str, Any]], **options: Any) -> Path:
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path, **options)
    return path


@pytest.mark.parametrize("compression", ["none", "snappy", "gzip", "zstd"])
@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("dictionary", [True, False])
def test_sound_files_are_read_whole(tmp_path: Path, compression: str, version: str, dictionary: bool) -> None:
    rows = _rows(3000)
    options = {"compression": compression, "data_page_version": version, "use_dictionary": dictionary}
    path = _write(tmp_path / "q.parquet", rows, row_group_size=1300, data_page_size=2000, **options)
    assert list(parquet_rows(path)) == list(enumerate(rows, start=1))


@pytest.mark.parametrize("first", ["", "short"])
def test_where_entries_are_long_batches_are_added_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    """Long entries alone are no reason to refuse a file, only rows that use them too often."""
    monkeypatch.setattr(limits, "MAX_PARQUET_WINDOW", 1 << 20)
    rows = [{"question": first or None, "answers": [] if not first else [first]}] + [
        {"question": f"Q{n % 10}", "answers": [f"A{n % 10}"]} for n in range(3000)
    ]
    rows[2000] = {"question": "x" * 50_000, "answers": ["y" * 50_000]}
    path = _write(tmp_path / "q.parquet", rows)
    assert [row for _, row in parquet_rows(path)] == rows
    for number in range(2000, 2015):
        rows[number] = rows[2000]
    with pytest.raises(DataError, match="q.parquet: has 1 MiB in 1024 rows, which is too much to decode. Is this"):
        list(parquet_rows(_write(path, rows)))


def test_long_rows_are_made_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"question": "x" * 1000 + str(n), "answers": ["A"]} for n in range(50)]
    path = _write(tmp_path / "q.parquet", rows)
    monkeypatch.setattr(limits, "MAX_LINE_BYTES", 2000)
    assert [row for _, row in parquet_rows(path)] == rows


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("MAX_COLUMNS", 3, "has 7 columns"),
        ("MAX_PARQUET_REPEATED", 2000, "has lists of [0-9,]+ values in one row group"),
        ("MAX_PARQUET_ROWS_PER_BYTE", 0, "has 3,000 rows in .* bytes, which repeat each other"),
        ("MAX_PARQUET_PAGES", 1000, "has pages of 0 MiB to be held at once"),
    ],
)
def test_each_limit_has_one_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: int, says: str
) -> None:
    path = _write(tmp_path / "q.parquet", _rows(3000))
    monkeypatch.setattr(limits, name, value)
    with pytest.raises(DataError, match=f"q.parquet: {says}"):
        list(parquet_rows(path))


@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_page_headers_say_what_pyarrow_wrote(tmp_path: Path, version: str) -> None:
    import pyarrow.parquet

    rows = [{"question": f"Q{n % 3}"} for n in range(100)]
    path = _write(tmp_path / "q.parquet", rows, data_page_version=version, compression="none")
    chunk = pyarrow.parquet.ParquetFile(path).metadata.row_group(0).column(0)
    with path.open("rb") as stream:
        first, second = read_pages(stream, chunk.dictionary_page_offset, chunk.total_compressed_size, 10)
        assert first == Page(3 * (4 + 2), 3, "dictionary")
        assert (second.values, second.holds) == (100, "numbers")
        with pytest.raises(ValueError, match="more pages than fit"):
            read_pages(stream, chunk.dictionary_page_offset, chunk.total_compressed_size, 1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x15", "cut off"),
        (b"\x1c" * 100 + b"\0" * 200, "nested too deep"),
        (b"\x1d\0", "a damaged page header"),
        (b"\x15" + b"\xff" * 20, "a damaged page header"),
        (b"\x18\xff\xff\xff\x07", "cut off"),
        (b"\x25\x01\0", "a damaged page header"),
    ],
)
def test_damaged_page_headers(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    with path.open("rb") as stream, pytest.raises(ValueError, match=message):
        read_pages(stream, 0, 100, 10)


def test_a_batch_has_as_many_rows_as_the_limits_are_made_for() -> None:
    assert limits.MAX_PARQUET_WINDOW // parquet_module._BATCH_ROWS == 128 << 10  # bytes of a row, on average
