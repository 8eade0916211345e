"""Locks between processes: with flock, and where a file system has none."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kft_tasks import locks
from kft_tasks.errors import DataError, StateError
from kft_tasks.locks import exclusive, is_held

_HOLD = """
import sys, time
from pathlib import Path
import fcntl, errno
if sys.argv[2] == "none":
    def flock(handle, kind):
        raise OSError(errno.ENOLCK, "No locks available")
    fcntl.flock = flock
from kft_tasks.locks import exclusive
with exclusive(Path(sys.argv[1]), "busy"):
    print("held", flush=True)
    time.sleep(60)
"""


def _no_locks(handle: int, kind: int) -> None:
    raise OSError(errno.ENOLCK, "No locks available")


@pytest.fixture(params=["flock", "none"])
def flock(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Once with flock, once on a file system that has none."""
    if request.param == "none":
        monkeypatch.setattr(fcntl, "flock", _no_locks)
    return str(request.param)


def _holder(path: Path, flock: str) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", _HOLD, str(path), flock], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_one_process_at_a_time(tmp_path: Path, flock: str) -> None:
    path = tmp_path / "run"
    assert not is_held(path)
    with _holder(path, flock) as process:
        try:
            assert is_held(path)
            with (
                pytest.raises(StateError, match="Another one works on it"),
                exclusive(path, "Another one works on it."),
            ):
                pass
        finally:
            process.kill()
    assert not is_held(path)
    with exclusive(path, "busy"):  # a killed process leaves nothing that is in the way
        assert is_held(path)
    assert not is_held(path)
    assert [file.name for file in tmp_path.iterdir()] == ["run"]


def test_waits_for_the_other_one(tmp_path: Path, flock: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run"
    with _holder(path, flock) as process:
        monkeypatch.setattr(locks, "_WAITING", 0.05)
        monkeypatch.setattr(locks, "_PAUSES", ())
        slept = []
        real = locks.time.sleep

        def sleep(seconds: float) -> None:
            slept.append(seconds)
            if len(slept) == 2:
                process.send_signal(signal.SIGKILL)
                process.wait()
            real(seconds)

        monkeypatch.setattr(locks.time, "sleep", sleep)
        with exclusive(path, "busy", wait=30):
            pass
    assert len(slept) >= 2


def test_a_lock_file_names_its_holder_and_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "flock", _no_locks)
    path, file = tmp_path / "run", tmp_path / "run.lockfile"
    with exclusive(path, "busy"):
        found = json.loads(file.read_text())
        assert found["process"] == os.getpid()
    assert not file.exists()
    # a process of another machine: it may run
    file.write_text(json.dumps({**found, "host": "elsewhere", "process": 2**30}))
    with pytest.raises(StateError) as caught, exclusive(path, "Somebody works here."):
        pass
    assert str(caught.value) == (
        f"Somebody works here. If no such process runs any more, remove {file} (process {2**30} on elsewhere made it)."
    )
    assert file.exists()
    file.unlink()
    with exclusive(path, "busy"):
        pass


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"host": 1, "process": "x", "machine": ""}', "[" * 4096])
def test_a_lock_file_that_says_nothing_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str) -> None:
    monkeypatch.setattr(fcntl, "flock", _no_locks)
    (tmp_path / "run.lockfile").write_text(content)
    with pytest.raises(StateError, match="does not say who"), exclusive(tmp_path / "run", "busy"):
        pass


def test_a_lock_of_another_process_is_not_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "flock", _no_locks)
    file = tmp_path / "run.lockfile"
    with exclusive(tmp_path / "run", "busy"):
        file.write_text("somebody else's")
    assert file.read_text() == "somebody else's"
    dead = json.dumps({"host": "h", "process": 1, "machine": "m"})
    locks._remove_stale(file, dead)  # it was replaced after it was found to be dead
    assert file.read_text() == "somebody else's"
    assert [one.name for one in tmp_path.iterdir() if one.name not in ("run", file.name)] == []


def test_what_cannot_be_locked(tmp_path: Path) -> None:
    for path in (tmp_path / "missing" / "run", tmp_path):
        with pytest.raises(DataError, match="cannot be written"), exclusive(path, "busy"):
            pass
