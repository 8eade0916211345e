"""Small files that stand for much: refused with one clear error, in less than a gigabyte and a few seconds."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from attacking import MEMORY, read_folder


def _parquet(path: Path, columns: dict[str, Any], **options: Any) -> None:
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.table(columns)
    pyarrow.parquet.write_table(table, path, compression="zstd", store_schema=False, **options)


def _entries(numbers: Any, entries: list[str]) -> Any:
    import pyarrow

    return pyarrow.DictionaryArray.from_arrays(pyarrow.array(numbers, pyarrow.int32()), pyarrow.array(entries))


def _long_entry(path: Path) -> None:
    """100,000 rows of 10 MB each by a dictionary; the first is short."""
    questions = _entries([0] + [1] * 99_999, ["short", "x" * 10_000_000])
    _parquet(path, {"question": questions, "answers": ["a"] * 100_000}, dictionary_pagesize_limit=1 << 30)


def _long_entry_in_lists(path: Path) -> None:
    import pyarrow

    entries = _entries([0, 0] + [1] * 50_000, ["short", "x" * 100_000])
    lists = pyarrow.ListArray.from_arrays(pyarrow.array([0, 0, 2, 50_002], pyarrow.int32()), entries)
    _parquet(path, {"question": ["a", "b", "c"], "answers": lists}, dictionary_pagesize_limit=1 << 30)


def _long_list(path: Path) -> None:
    """One row with 17 million answers."""
    import numpy
    import pyarrow

    count = 17_000_000
    entries = _entries(numpy.zeros(count, dtype=numpy.int32), ["y"])
    lists = pyarrow.ListArray.from_arrays(pyarrow.array([0, count], pyarrow.int32()), entries)
    _parquet(path, {"question": ["q"], "answers": lists})


def _prefixes(path: Path) -> None:
    """Each value repeats the one before it, which is 8 MB long."""
    options = {"use_dictionary": False, "column_encoding": {"question": "DELTA_BYTE_ARRAY", "answers": "PLAIN"}}
    _parquet(path, {"question": ["x" * 8_000_000] * 40, "answers": ["a"] * 40}, **options)


def _pages(path: Path) -> None:
    """Compressed pages of 400 MB."""
    import pyarrow

    big = pyarrow.array(["x" * 100_000_000], pyarrow.string())
    names = ("question", "answers", "type", "id")
    _parquet(
        path, {name: pyarrow.concat_arrays([big, pyarrow.array([""] * 99)]) for name in names}, use_dictionary=False
    )


def _rows(path: Path) -> None:
    """30 million times the same row."""
    import numpy

    same = _entries(numpy.zeros(30_000_000, dtype=numpy.int32), ["y"])
    _parquet(path, {"question": same, "answers": same})


def _open_quotation_marks(path: Path) -> None:
    path.write_bytes(b"question,answers\n" + b'"\n",' * 5_000_000)


def _members(path: Path) -> None:
    """A directory of a zip with 300,000 members of nothing."""
    name = b"a"
    entry = b"PK\1\2" + b"\0" * 24 + len(name).to_bytes(2, "little") + b"\0" * 16 + name
    count = 300_000
    end = b"PK\5\6" + b"\0" * 4 + b"\xff\xff" * 2 + (len(entry) * count).to_bytes(4, "little") + b"\0" * 6
    path.write_bytes(entry * count + end)


def _many_blocks(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as bundle:
        bundle.writestr("a.json", b"\0" * 100_000_000)


def _zeros(path: Path) -> None:
    """800 MB of nothing in 800 kB."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle, bundle.open("a.json", "w") as stream:
        for _ in range(100):
            stream.write(b"\0" * 8_000_000)


def _aliases(path: Path) -> None:
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    path.write_text("\n".join(lines), encoding="utf-8")


def _merges(path: Path) -> None:
    lines = ["a0: &a0 {x: 1}"] + [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, 30)]
    path.write_text("\n".join(lines), encoding="utf-8")


def _text(content: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(content, encoding="utf-8")


ROW = '{"question": "Q?", "answers": ["A"]}\n'
BOMBS: dict[str, tuple[Callable[[Path], object], str]] = {
    "long-entry.parquet": (_long_entry, "which is too much to decode"),
    "long-entry-in-lists.parquet": (_long_entry_in_lists, "which is too much to decode"),
    "long-list.parquet": (_long_list, "has lists of 17,000,000 values in one row group"),
    "prefixes.parquet": (_prefixes, "MiB in 1024 rows, which is too much to decode"),
    "pages.parquet": (_pages, "which is too much to decode"),
    "rows.parquet": (_rows, "has 30,000,000 rows in"),
    "open-marks.csv": (_open_quotation_marks, "the row that ends here or later has over 16 MiB"),
    "columns.csv": (_text(",".join(map(str, range(1_000_000)))), "over 10,000 columns"),
    "lists.jsonl": (_text(ROW + '{"question": [' + "[]," * 6_000_000), "2: line of over 16 MiB"),
    "lists.json": (_text('[{"question": [' + "{}," * 5_000_000 + "{}]}]"), "would take over 768 MiB of memory"),
    "whole-lists.json": (_text("[" + "{}," * 5_000_000 + "{}]"), "would take over 768 MiB of memory"),
    "deep.jsonl": (
        _text(ROW + '{"question": ' + "[" * 100_000),
        "2: not a JSON object (line contains invalid json: brackets",
    ),
    "deep-but-sound.json": (_text('[{"question": ' + "[" * 300 + "]" * 300 + "}]"), "brackets nested deeper than 100"),
    "whole-deep.json": (_text("[" * 100_000), "brackets nested deeper than 100"),
    "digits.jsonl": (_text('{"question": ' + "1" * 5000 + "}"), "Exceeds the limit"),
    "members.zip": (_members, "lists more members than any data set"),
    "blocks.zip": (_many_blocks, "is packed by method 12"),
    "zeros.zip": (_zeros, "a.json: more than"),
    "aliases.yaml": (_aliases, "stands for over 20,000 values, aliases written out"),
    "merges.yaml": (_merges, "stands for over 20,000 values, aliases written out"),
    "itself.yaml": (_text("a: &a [*a]"), "alias 'a' stands inside what it names"),
    "deep.yaml": (_text("x: " + "[" * 100_000), "nested deeper than 50"),
    "number.yaml": (_text("x: !!int " + "1:" * 300_000 + "1"), "a number or date of over 100 characters"),
}


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("bombs")
    for name, (write, _) in BOMBS.items():
        write(folder / name)
    return read_folder(folder)


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused(result: dict[str, Any], name: str) -> None:
    assert result["ends"][name].startswith("refused: ")
    assert BOMBS[name][1] in result["ends"][name]


def test_reading_them_all_takes_less_than_a_gigabyte(result: dict[str, Any]) -> None:
    assert sorted(result["ends"]) == sorted(BOMBS)
    assert result["peak"] < MEMORY, json.dumps(result["counts"])
