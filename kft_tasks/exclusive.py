"""One process at a time: a lock that others wait for, as where a file is fetched into a cache that they share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kft_tasks.errors import DataError, StateError
from kft_tasks.locks import LockedError, wait_for_lock

FETCH_SECONDS = 3600.0
"""How long to wait for another process that fetches the same file from the web."""


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
            release = wait_for_lock(stream, path, wait)
        except LockedError as error:
            raise StateError(f"{busy} {error.who}".rstrip()) from error
        except OSError as error:
            raise DataError(f"{path}: cannot be locked ({error.strerror}). Choose another folder.") from error
        try:
            yield
        finally:
            release()
