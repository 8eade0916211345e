"""Locks between processes, also on network file systems: ``flock``, or where that fails a file with the holder."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from kft_tasks.errors import DataError, StateError

FETCH_SECONDS = 3600.0
"""How long to wait for another process that fetches the same file from the web."""

_PAUSES = (0.05, 0.1, 0.2)  # seconds between attempts: whoever only looks whether a lock is held has it for a moment
_WAITING = 1.0
_HELD = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)
_LIMIT = 4096  # bytes of a lock file that are read


@contextmanager
def exclusive(path: Path, busy: str, wait: float = 0.0) -> Iterator[None]:
    """Hold a lock that one process at a time can have; a process that ends in any way releases it.

    Where ``flock`` does not work, ``<path>.lockfile`` is made instead, with the holder's host and process. One that a
    dead process of this machine left behind is taken over; of another machine's nobody can know, so the error says
    which file to remove.

    Args:
        path: locked; made if it is missing, in a folder that exists, and left there.
        busy: what the error says if another process has the lock: sentences.
        wait: seconds to wait for the other process.

    Raises:
        StateError: another process has the lock.
        DataError: the file cannot be written.
    """
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o666)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror}). Choose a folder you may write to.") from error
    file = _lock_file_of(path)
    try:
        if _in_time(lambda: _flock(handle, fcntl.LOCK_EX), lambda: busy, wait):
            yield
            return
        mine = _description()
        _in_time(lambda: _make(file, mine), lambda: f"{busy} {_remedy(file)}", wait)
        try:
            yield
        finally:
            if _content(file) == mine:
                file.unlink(missing_ok=True)
    finally:
        os.close(handle)


def is_held(path: Path) -> bool:
    """Whether a running process holds the lock :func:`exclusive` on ``path``; False if the file is missing."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        if _flock(handle, fcntl.LOCK_SH):
            return False
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    content = _content(_lock_file_of(path))
    return content is not None and not _is_stale(content)


def _in_time(attempt: Callable[[], bool], busy: Callable[[], str], wait: float) -> bool:
    """Try until it does not raise BlockingIOError, a few times and then for ``wait`` seconds; return its result."""
    until, pauses = time.monotonic() + wait, iter(_PAUSES)
    while True:
        try:
            return attempt()
        except BlockingIOError as error:
            pause = next(pauses, None)
            if pause is None and time.monotonic() >= until:
                raise StateError(busy()) from error
            time.sleep(pause or _WAITING)


def _flock(handle: int, kind: int) -> bool:
    """Lock an open file; return False if its file system has no such locks.

    Raises:
        BlockingIOError: another process has it.
    """
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _HELD:
            raise BlockingIOError(error.errno, error.strerror) from error
        return False
    return True


def _lock_file_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.lockfile")


def _make(file: Path, mine: str) -> bool:
    """Make the lock file, after removing one whose process is dead.

    Raises:
        BlockingIOError: it is another process's.
        DataError: it cannot be written.
    """
    content = _content(file)
    if content is not None and _is_stale(content):
        _remove_stale(file, content)
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    except FileExistsError as error:
        raise BlockingIOError(errno.EAGAIN, "held") from error
    except OSError as error:
        raise DataError(f"{file}: cannot be written ({error.strerror}). Choose a folder you may write to.") from error
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write(mine)
    return True


def _remove_stale(file: Path, content: str) -> None:
    """Remove a lock file, unless another process has replaced it meanwhile."""
    aside = file.with_name(f"{file.name}.{os.getpid()}")
    with suppress(FileNotFoundError):
        file.rename(aside)
        if _content(aside) != content:
            with suppress(FileExistsError):
                os.link(aside, file)
        aside.unlink(missing_ok=True)


def _content(file: Path) -> str | None:
    """What a lock file says; None if there is none."""
    try:
        with file.open("rb") as stream:
            return stream.read(_LIMIT).decode("utf-8", "replace")
    except FileNotFoundError:
        return None
    except OSError:
        return ""


def _description() -> str:
    return json.dumps({"host": socket.gethostname(), "process": os.getpid(), "machine": _machine()}) + "\n"


def _machine() -> str:
    """What tells apart machines of one name, containers on one machine, and times before and after a restart."""
    found = []
    with suppress(OSError):
        found.append(Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip())
        found.append(str(Path("/proc/self/ns/pid").readlink()))
    return " ".join(found)


def _holder(content: str) -> tuple[str, int, str] | None:
    """Host, process and machine that a lock file names."""
    try:
        value = json.loads(content)
        host, process, machine = value["host"], value["process"], value["machine"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    whole = type(host) is str and type(process) is int and 0 < process < 1 << 31 and type(machine) is str
    return (host, process, machine) if whole else None


def _is_stale(content: str) -> bool:
    """Whether a lock file's process is certainly dead: one of this machine that does not run."""
    holder = _holder(content)
    if holder is None or holder[0] != socket.gethostname() or not holder[2] or holder[2] != _machine():
        return False
    try:
        os.kill(holder[1], 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass
    return False


def _remedy(file: Path) -> str:
    holder = _holder(_content(file) or "")
    by = f"process {holder[1]} on {holder[0]} made it" if holder else "it does not say who made it"
    return f"If no such process runs any more, remove {file} ({by})."
