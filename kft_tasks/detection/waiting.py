"""Several processes in one detection: waiting for each other without hanging.

Any launcher that sets RANK and WORLD_SIZE will do (torchrun, accelerate, a shell loop). The processes share the folder
of journals and nothing else. There is no process group: in one, a process that has nothing to do, finishes hours
earlier or dies would block the others. A journal is locked while its process works on it, even across machines if
their shared file system supports locks.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from kft_tasks.detection.journal import is_being_written, last_change
from kft_tasks.errors import StateError
from kft_tasks.launcher import Process

START_SECONDS = 300.0  # the last process may start this much later than the first
_POLL_SECONDS = 0.2


def wait_for(process: Process, journal: Path, done: Callable[[], bool], since: float) -> None:
    """Wait until ``done()``, as long as ``process`` is working on its ``journal``.

    Args:
        since: when this process started, by the clock of the file system.

    Raises:
        StateError: the other process stopped before, or never started.
    """
    seen = False
    while True:
        seen = seen or last_change(journal) > since  # checked first: it may start between these lines
        at_work = is_being_written(journal)
        if not at_work and done():
            return
        if not at_work and (seen or time.time() - since > START_SECONDS):
            raise StateError(
                f"{journal}: process {process.rank} of {process.world} {'stopped' if seen else 'did not start'} before "
                "its share was detected. Run the same detection again; the answers so far are kept."
            )
        seen = seen or at_work
        time.sleep(_POLL_SECONDS)
