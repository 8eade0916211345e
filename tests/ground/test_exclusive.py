"""Locks between processes: with flock, and where a file system has none."""

from __future__ import annotations

import errno
import fcntl
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kft_tasks import locks as module
from kft_tasks.errors import DataError, StateError
from kft_tasks.exclusive import exclusive

_HOLD = """
import sys, time
from pathlib import Path
import fcntl, errno
if sys.argv[2] == "none":
    def flock(handle, kind):
        raise OSError(errno.ENOLCK, "No locks available")
    fcntl.flock = flock
from kft_tasks.exclusive import exclusive
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
    with _holder(path, flock) as process:
        try:
            with (
                pytest.raises(StateError, match="Another one works on it"),
                exclusive(path, "Another one works on it."),
            ):
                pass
        finally:
            process.kill()
    with exclusive(path, "busy"):  # a killed process leaves nothing that is in the way
        pass
    assert [file.name for file in tmp_path.iterdir()] == ["run"]


def test_waits_for_the_other_one(tmp_path: Path, flock: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run"
    with _holder(path, flock) as process:
        monkeypatch.setattr(module, "_WAITING", 0.05)
        monkeypatch.setattr(module, "_PAUSES", ())
        slept = []
        real = module.time.sleep

        def sleep(seconds: float) -> None:
            slept.append(seconds)
            if len(slept) == 2:
                process.send_signal(signal.SIGKILL)
                process.wait()
            real(seconds)

        monkeypatch.setattr(module.time, "sleep", sleep)
        with exclusive(path, "busy", wait=30):
            pass
    assert len(slept) >= 2


def test_what_cannot_be_locked(tmp_path: Path) -> None:
    for path in (tmp_path / "missing" / "run", tmp_path):
        with pytest.raises(DataError, match="cannot be written"), exclusive(path, "busy"):
            pass
