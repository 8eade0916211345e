from __future__ import annotations

import json
import os
import socket
import stat
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from kft_tasks.errors import DataError
from kft_tasks.files import (
    atomic_write,
    json_line,
    open_input,
    read_json,
    read_jsonl,
    sha256_of_file,
    sha256_of_json,
    write_json,
)


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


def test_the_umask_is_never_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def changed(mask: int) -> int:
        raise AssertionError("another thread would have made a file with these rights")

    monkeypatch.setattr(os, "umask", changed)
    write_json(tmp_path / "x.json", 1)
    assert read_json(tmp_path / "x.json") == 1


READERS: list[Callable[[Path], object]] = [read_json, lambda path: list(read_jsonl(path)), sha256_of_file]


@pytest.mark.parametrize("reader", READERS, ids=["json", "jsonl", "digest"])
@pytest.mark.parametrize("kind", ["folder", "pipe", "device", "socket", "missing", "loop", "no rights"])
def test_what_is_no_file_is_an_error_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, reader: Callable[[Path], object]
) -> None:
    path = tmp_path / "x.json"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)  # without a writer, opening it would wait for ever
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            monkeypatch.chdir(tmp_path)  # names of sockets are short
            server.bind(path.name)
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "no rights":
        path.write_text("{}")
        path.chmod(0)
        if os.access(path, os.R_OK):
            pytest.skip("this user may read everything")
    with pytest.raises(DataError, match=r"x.json: cannot be read \(.*\)\. Check the path"):
        reader(path)


def test_a_nul_in_a_name_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_json(tmp_path / "a\0b")


@pytest.mark.parametrize(
    ("content", "kind", "message"),
    [
        (b"[1]", dict, "is JSON, but not an object. Restore or remove the file."),
        (b"{}", list, "is JSON, but not an array"),
        (b'"x"', int, "is JSON, but not int"),
        (b"\xef\xbb\xbf{}", None, "is not JSON"),
        (b"{}\0", None, "is not JSON"),
        (b'{"a": 1', None, "is not JSON"),
        (b"[" * 100_000, None, "nested deeper than 100"),
    ],
)
def test_read_json_refuses(tmp_path: Path, content: bytes, kind: type | None, message: str) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"x.json: .*{message}"):
        read_json(path, kind)


def test_numbers_that_are_none_are_refused_on_request(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text('{"grad_norm": NaN}')
    assert str(read_json(path, dict)) == "{'grad_norm': nan}"  # as training logs have it
    with pytest.raises(DataError, match="x.json: is not JSON .NaN is not a number"):
        read_json(path, dict, finite=True)
    path.write_text('{"a": 1}\n{"a": NaN}\n')
    with pytest.raises(DataError, match="x.json:2: not a JSON object .*NaN"):
        list(read_jsonl(path))


def test_a_reader_left_half_read_closes_its_file_in_whatever_order_it_is_collected(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"a": 1}\n{"a": 2}\n')
    with open_input(path) as stream:
        descriptor = stream.fileno()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            stream.__del__()  # type: ignore[attr-defined]  # the collector may come to it before the context
        os.fstat(descriptor)  # still open: closing is the context's
    assert not caught
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_a_json_file_over_the_limit_is_refused_without_reading_it(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    with path.open("wb") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(DataError, match="x.json: over 128 MiB, too large"):
        read_json(path)


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
