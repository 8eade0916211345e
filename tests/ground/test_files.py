from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from kft_tasks.errors import DataError
from kft_tasks.files import atomic_write, json_line, read_json, read_jsonl, sha256_of_file, sha256_of_json, write_json


def test_a_file_that_is_written_whole_takes_its_place(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "file.txt"
    with atomic_write(path) as stream:
        stream.write("é\n")
        assert not path.exists()
    assert path.read_bytes() == "é\n".encode()
    assert os.listdir(path.parent) == ["file.txt"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("old", [None, "old content"])
def test_a_block_that_raises_leaves_nothing_behind_and_the_old_content(
    tmp_path: Path, error: type[BaseException], old: str | None
) -> None:
    path = tmp_path / "file.txt"
    if old is not None:
        path.write_text(old)
    with pytest.raises(error), atomic_write(path) as stream:
        stream.write("half")
        stream.flush()
        raise error
    assert os.listdir(tmp_path) == ([] if old is None else ["file.txt"])
    assert old is None or path.read_text() == old


def test_readers_of_the_old_file_are_not_disturbed(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")
    with path.open() as reader:
        with atomic_write(path) as stream:
            stream.write("new")
        assert reader.read() == "old"
    assert path.read_text() == "new"


def test_a_file_gets_the_rights_that_the_umask_leaves(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_json(tmp_path / "x.json", 1)
        assert os.umask(0o027) == 0o027  # reading it has not changed it
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "x.json").stat().st_mode) == 0o640


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"cannot be written \(.*\). Choose a folder you may write to."):
        write_json(tmp_path / "file" / "sub" / "x.json", 1)


def test_a_folder_in_the_place_of_the_file_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "x.json").mkdir()
    with pytest.raises(DataError, match="x.json: cannot be written"):
        write_json(tmp_path / "x.json", 1)
    assert os.listdir(tmp_path) == ["x.json"]


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "cannot be read"), (b"{", "is not JSON"), (b"\xff", "is not JSON"), (b"", "is not JSON")],
)
def test_read_json_names_the_file(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "x.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=f"x.json: {message}"):
        read_json(path)


def test_jsonl_lines_are_counted_from_one_and_need_no_newline_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"a": 1}\n{"a": 2}')
    assert list(read_jsonl(path)) == [(1, {"a": 1}), (2, {"a": 2})]


def test_dump_line_is_one_line_of_utf8_in_the_order_given() -> None:
    line = json_line({"z": "é\n\u2028", "a": [1]})
    assert line == '{"z": "é\\n\u2028", "a": [1]}\n'
    assert json.loads(line) == {"z": "é\n\u2028", "a": [1]}


def test_digests_know_values_not_the_order_of_keys(tmp_path: Path) -> None:
    assert sha256_of_json({"a": 1, "b": 2}) == sha256_of_json({"b": 2, "a": 1})
    assert sha256_of_json({"a": 1}) != sha256_of_json({"a": "1"})
    assert sha256_of_json([1, 2]) != sha256_of_json([2, 1])
    (tmp_path / "x").write_bytes(b"abc")
    assert sha256_of_file(tmp_path / "x") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
