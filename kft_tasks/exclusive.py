"""One process at a time: a lock that others wait for, as where a file is fetched into a cache that they share."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from kft_tasks.errors import DataError, StateError
from kft_tasks.locks import LockedError, take_lock

FETCH_SECONDS = 3600.0
"""How long to wait for another process that fetches the same file from the web."""

_PAUSES = (0.05, 0.1, 0.2)  # seconds between attempts: whoever only looks whether a lock is held has it for a moment
_WAITING = 1.0


@contextmanager
def exclusive(path: Path, busy: str, wait: float = 0.0) -> Iterator[None]:
    """Hold the lock of :mod:`kft_tasks.locks` on a file.

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
    with os.fdopen(handle, "r+b") as stream:
        try:
            release = _in_time(lambda: take_lock(stream, path), busy, wait)
        except OSError as error:
            raise DataError(f"{path}: cannot be locked ({error.strerror}). Choose another folder.") from error
        try:
            yield
        finally:
            release()


def _in_time(take: Callable[[], Callable[[], None]], busy: str, wait: float) -> Callable[[], None]:
    """Try a few times and then for ``wait`` seconds; return what releases the lock."""
    until, pauses = time.monotonic() + wait, iter(_PAUSES)
    while True:
        try:
            return take()
        except LockedError as error:
            pause = next(pauses, None)
            if pause is None and time.monotonic() >= until:
                raise StateError(f"{busy} {error.who}".rstrip()) from error
            time.sleep(pause or _WAITING)
