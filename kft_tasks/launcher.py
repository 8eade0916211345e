"""Which of several processes this is; a launcher (torchrun, accelerate, a shell loop) sets RANK and WORLD_SIZE."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from kft_tasks.errors import UsageError

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
    """Return this process as numbered by the launcher; without a launcher it is the only one.

    Raises:
        UsageError: RANK or WORLD_SIZE is no number, or they do not go together.
    """
    process = Process(_number("RANK", 0), _number("WORLD_SIZE", 1))
    if process.world < 1 or process.rank >= process.world:
        raise UsageError(
            f"RANK={process.rank} and WORLD_SIZE={process.world} do not go together: ranks count from 0 to WORLD_SIZE "
            "- 1. Correct or unset both."
        )
    return process


def local_rank() -> int | None:
    """Number of this process on its machine, and so of its GPU; None without a launcher.

    Raises:
        UsageError: LOCAL_RANK is no number.
    """
    return _number("LOCAL_RANK", 0) if "LOCAL_RANK" in os.environ else None


def _number(name: str, default: int) -> int:
    given = os.environ.get(name, str(default))
    if not (given.isascii() and given.isdigit()) or len(given) > 9:
        raise UsageError(f"{name}={given[:40]!r} is not a number from 0. Correct or unset it; launchers set it.")
    return int(given)


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
