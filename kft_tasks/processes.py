"""Several processes at one detection: who is who, and waiting for one another without hanging.

Any launcher that sets RANK and WORLD_SIZE will do (torchrun, accelerate, a shell loop). The processes share the folder
of journals and nothing else: no process group, in which one that has nothing to do, is done hours earlier, or dies
would hold the others up. A journal is locked as long as its process works on it, also across machines that share a
file system with locks.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kft_tasks.errors import StateError
from kft_tasks.journal import is_being_written, last_change

START_SECONDS = 300.0  # that much later than the first may the last process begin
_POLL_SECONDS = 0.2
_LAUNCHER = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "PMI_", "OMPI_COMM_WORLD_", "MV2_COMM_WORLD_")


@dataclass(frozen=True)
class Process:
    """One of the processes that share the work."""

    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        """Does this process speak and write for all?"""
        return self.rank == 0

    def owns(self, chunk: int) -> bool:
        """Is this chunk part of the process's share?"""
        return chunk % self.world == self.rank


def this_process() -> Process:
    """What the launcher said; one of one without a launcher."""
    return Process(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")))


@contextmanager
def launcher_hidden() -> Iterator[None]:
    """Hide the launcher from libraries while a model is loaded.

    lm-eval's HFLM would form a process group, which waits for every process to load a model; one whose share is done
    never does.
    """
    hidden = {name: value for name, value in os.environ.items() if name.startswith(_LAUNCHER)}
    for name in hidden:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(hidden)


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
