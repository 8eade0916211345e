"""Locks between processes: ``flock``, and a lock file where the file system has no locks (some network file systems).

``flock`` ends with its process, however that ends. A lock file stays behind when its process is killed: it names the
host and the process, so that the next process on the same host sees that it is gone, and a person on another host can
decide. :attr:`LockedError.who` says who holds a lock, and which file to remove if that is wrong.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

_PAUSES = (0.05, 0.1, 0.2)  # seconds between the first attempts
_WAITING = 1.0  # and between all others
_HELD = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)


class LockedError(Exception):
    """Another process holds the lock.

    Attributes:
        who: what is known about the process, and what to do if it is not running; "" if ``flock`` is the judge.
    """

    def __init__(self, who: str = "") -> None:
        super().__init__(who)
        self.who = who

    @property
    def remedy(self) -> str:
        """A sentence on what to do about the other process."""
        return self.who or "Wait for it, or stop it."


def take_lock(stream: IO[Any], path: Path) -> Callable[[], None]:
    """Lock a file that is open for writing; return what releases the lock.

    Args:
        stream: the open file; closing it releases ``flock``.
        path: its path; the lock file, where one is needed, stands beside it.

    Raises:
        LockedError: another process holds it.
        OSError: neither kind of lock can be taken.
    """
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _HELD:
            raise LockedError from error
        return _take_file(lock_file(path))
    return lambda: None


def wait_for_lock(stream: IO[Any], path: Path, seconds: float = 0.0) -> Callable[[], None]:
    """As :func:`take_lock`, until another process has had ``seconds`` to release the lock.

    It is tried several times in any case: who only asks :func:`is_locked` holds the lock for a moment.
    """
    until, pauses = time.monotonic() + seconds, iter(_PAUSES)
    while True:
        try:
            return take_lock(stream, path)
        except LockedError:
            pause = next(pauses, None)
            if pause is None and time.monotonic() >= until:
                raise
            time.sleep(pause or _WAITING)


def is_locked(stream: IO[Any], path: Path) -> bool:
    """Whether a running process holds the lock of a file that is open for reading."""
    try:
        fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in _HELD or _is_held(_holder(lock_file(path)))
    fcntl.flock(stream, fcntl.LOCK_UN)
    return False


def lock_file(path: Path) -> Path:
    """The lock file of a file, for file systems without ``flock``."""
    return path.with_name(f"{path.name}.lock")


def _take_file(lock: Path) -> Callable[[], None]:
    own = json.dumps({"host": socket.gethostname(), "process": os.getpid(), "started": _start_of(os.getpid())})
    holder = _holder(lock)
    if holder is not None and not _is_held(holder):
        stale = lock.with_name(f"{lock.name}.{os.getpid()}")
        lock.replace(stale)  # of two processes that find it, only one can move it
        stale.unlink()
    try:
        handle = os.open(lock, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    except FileExistsError as error:
        raise LockedError(_describe(_holder(lock) or {}, lock)) from error
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write(own)
    return lambda: lock.unlink(missing_ok=True)


def _describe(holder: dict[str, Any], lock: Path) -> str:
    name = f"process {holder['process']} on {holder['host']}" if holder else "a process that it does not name"
    return f"{lock} is of {name}; if that is no longer running, remove the file."


def _holder(lock: Path) -> dict[str, Any] | None:
    """Host and process of a lock file: None if there is no such file, {} if it does not say."""
    try:
        value = json.loads(lock.read_text(encoding="utf-8")[:1000])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError):
        return {}
    sound = isinstance(value, dict) and type(value.get("process")) is int and isinstance(value.get("host"), str)
    return value if sound else {}


def _is_held(holder: dict[str, Any] | None) -> bool:
    """Whether the holder of a lock file may be running; of another host nothing else is known."""
    if not holder or holder["host"] != socket.gethostname():
        return holder is not None
    started = _start_of(holder["process"])
    return started is not None and started == holder.get("started", started)


def _start_of(process: int) -> str | None:
    """When a process of this host started, in the system's own unit; "" if it runs and that is unknown, None if not."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return None
    except PermissionError:
        pass
    try:
        return (
            Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
        )
    except (OSError, IndexError):
        return ""
