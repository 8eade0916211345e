"""The hidden folder in which a report is made: locked by the process that makes it, so that nobody removes it early."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kft_tasks.errors import StateError
from kft_tasks.locks import LockedError, is_locked, take_lock

_LOCK = "lock"
_NAME = re.compile(r"\.report\.[a-z0-9_]{8}(\.old)?")  # .old: of an earlier version


@contextmanager
def scratch_folder(target: Path) -> Iterator[Path]:
    """A private folder beside ``target`` that is removed in the end; killed processes leave it behind.

    Raises:
        OSError: it cannot be made.
        StateError: another process removed it at once, or holds its lock.
    """
    private = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))  # nobody else may look inside
    try:
        with (private / _LOCK).open("w") as stream:
            release = take_lock(stream, private / _LOCK)
            try:
                yield private
            finally:
                release()
    except LockedError as error:
        raise StateError(f"{private}: another process removes this folder. Try again.") from error
    finally:
        shutil.rmtree(private, ignore_errors=True)


def is_abandoned(path: Path) -> bool:
    """Whether a path in a run folder is the scratch folder of a report that no process is making any more."""
    if not _NAME.fullmatch(path.name):
        return False
    try:
        with (path / _LOCK).open("rb") as stream:
            return not is_locked(stream, path / _LOCK)
    except OSError:
        return True  # of an earlier version, or killed before it was locked
