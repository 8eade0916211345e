"""Several processes at one detection: who is who, and waiting for one another without hanging.

Any launcher that sets RANK and WORLD_SIZE will do (torchrun, accelerate, a shell loop). The processes share the folder
of journals and nothing else: no process group, in which one that has nothing to do, is done hours earlier, or dies
would hold the others up. A journal is locked as long as its process works on it, also across machines that share a
file system with locks.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from kft_tasks.detection.journal import is_being_written, last_change
from kft_tasks.errors import StateError
from kft_tasks.launcher import Process

START_SECONDS = 300.0  # that much later than the first may the last process begin
_POLL_SECONDS = 0.2


def wait_for(process: Process, journal: Path, done: Callable[[], bool], since: float) -> None:
    """Wait until ``done()``, as long as ``process`` is at work on its ``journal``.

    Args:
        since: when this process began, by the clock of the file system.

    Raises:
        StateError: it stopped before, or never began.
    """
    seen = False
    while True:
        seen = seen or last_change(journal) > since  # asked first: it may begin between these lines
        at_work = is_being_written(journal)
        if not at_work and done():
            return
        if not at_work and (seen or time.time() - since > START_SECONDS):
            raise StateError(
                f"{journal}: process {process.rank} of {process.world} {'stopped' if seen else 'did not begin'} before "
                "its share was detected. Run the same command again; what was answered is kept."
            )
        seen = seen or at_work
        time.sleep(_POLL_SECONDS)
