"""Locks with ``flock`` and, where the file system has none, with a lock file."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest

from kft_tasks.locks import LockedError, is_locked, lock_file, take_lock


@contextmanager
def opened(path: Path) -> Iterator[IO[Any]]:
    with path.open("a+b") as stream:
        yield stream


@pytest.fixture(params=[errno.ENOLCK, errno.ENOTSUP, errno.EINVAL])
def no_flock(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(stream: object, kind: int) -> None:
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(fcntl, "flock", refuse)


def test_flock_refuses_a_second_holder_and_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with opened(path) as first, opened(path) as second:
        take_lock(first, path)
        with pytest.raises(LockedError) as caught:
            take_lock(second, path)
        assert caught.value.who == ""
        assert is_locked(second, path)
    with opened(path) as third:
        assert not is_locked(third, path)
        take_lock(third, path)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.usefixtures("no_flock")
def test_without_flock_a_lock_file_says_who_and_how_to_remove_it(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with opened(path) as first, opened(path) as second:
        release = take_lock(first, path)
        assert is_locked(second, path)
        with pytest.raises(LockedError) as caught:
            take_lock(second, path)
        assert f"process {os.getpid()} on {socket.gethostname()}" in caught.value.who
        assert f"{lock_file(path)} is of" in caught.value.who
        assert "remove the file" in caught.value.who
        release()
        assert not is_locked(second, path)
        take_lock(second, path)()
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.usefixtures("no_flock")
def test_the_lock_file_of_a_process_that_is_gone_is_taken_over(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    path = tmp_path / "journal"
    holder = {"host": socket.gethostname(), "process": child.pid}
    lock_file(path).write_text(json.dumps(holder), encoding="utf-8")
    with opened(path) as stream:
        assert not is_locked(stream, path)
        release = take_lock(stream, path)
        assert json.loads(lock_file(path).read_text(encoding="utf-8"))["process"] == os.getpid()
        release()
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.usefixtures("no_flock")
def test_a_process_that_has_only_the_number_of_the_holder_does_not_hold_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    holder = {"host": socket.gethostname(), "process": os.getpid(), "started": "1"}
    lock_file(path).write_text(json.dumps(holder), encoding="utf-8")
    with opened(path) as stream:
        take_lock(stream, path)


@pytest.mark.usefixtures("no_flock")
@pytest.mark.parametrize("text", ['{"host": "elsewhere", "process": 1}', "", "[]", '{"process": "x"}', "\0"])
def test_the_lock_file_of_another_host_or_of_nobody_known_is_respected(text: str, tmp_path: Path) -> None:
    path = tmp_path / "journal"
    lock_file(path).write_text(text, encoding="utf-8")
    with opened(path) as stream:
        assert is_locked(stream, path)
        with pytest.raises(LockedError, match="remove the file"):
            take_lock(stream, path)
    assert lock_file(path).read_text(encoding="utf-8") == text
