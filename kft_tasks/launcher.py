"""Which of several processes this is; a launcher (torchrun, accelerate, a shell loop) sets RANK and WORLD_SIZE."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_LAUNCHER = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "PMI_", "OMPI_COMM_WORLD_", "MV2_COMM_WORLD_")


@dataclass(frozen=True)
class Process:
    """One of the processes that share the work."""

    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        """Whether this process prints and writes for all of them."""
        return self.rank == 0

    def owns(self, chunk: int) -> bool:
        """Whether this chunk belongs to the process."""
        return chunk % self.world == self.rank


def this_process() -> Process:
    """Return this process as numbered by the launcher; without a launcher it is the only one."""
    return Process(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")))


@contextmanager
def launcher_hidden() -> Iterator[None]:
    """Hide the launcher from libraries while a model is loaded.

    lm-eval's HFLM would form a process group, which waits until every process has loaded a model; a process
    whose share is already done never loads one.
    """
    hidden = {name: value for name, value in os.environ.items() if name.startswith(_LAUNCHER)}
    for name in hidden:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(hidden)
