"""What a worker says about itself: a small file that whoever watches the experiment reads, on any machine."""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

from kft_cli.experiment.layout import ExperimentLayout
from kft_tasks.errors import DataError
from kft_tasks.files import write_json
from kft_tasks.progress import ProgressCallback
from kft_tasks.records import Count, Record, read_record

_SECONDS = 2.0  # between two states
_STALE = 60.0  # after which a state is not shown any more


class WorkerState(Record):
    """What a worker is doing.

    Attributes:
        key: of the step; "" while it waits, or writes a report.
        title: the same in words.
        done, total: progress, in units of the step.
    """

    host: str
    process: Count
    key: str = ""
    title: str = "waits"
    done: Count = 0
    total: Count = 0
    note: str = ""


def new_name() -> str:
    """A name for a worker that no other has."""
    return f"{socket.gethostname()}-{secrets.token_hex(4)}"


class StateFile:
    """The state of this process.

    Args:
        name: of the worker.
    """

    def __init__(self, layout: ExperimentLayout, name: str) -> None:
        self.host, self.process = socket.gethostname(), os.getpid()
        self.path = layout.workers / f"{name}.json"
        self.log = self.path.with_suffix(".log")
        self.key = self.title = ""
        self._last = 0.0

    def tell(self, key: str = "", title: str = "waits", done: int = 0, total: int = 0, note: str = "") -> None:
        """Write the state, unless one was written just now for the same step."""
        now = time.monotonic()
        if (key, title) == (self.key, self.title) and now - self._last < _SECONDS:
            return
        self.key, self.title, self._last = key, title, now
        state = WorkerState(
            host=self.host, process=self.process, key=key, title=title, done=done, total=total, note=note
        )
        write_json(self.path, state.model_dump(mode="json"))

    @contextmanager
    def bar(self, key: str, run: str, title: str) -> Iterator[ProgressCallback]:
        """A progress callback of a step."""
        title = f"{run}: {title}"

        def update(done: int, total: int, note: str) -> None:
            self.tell(key, title, done, total, note)

        self.tell(key, title)
        yield update

    def remove(self) -> None:
        """The worker ends."""
        self.path.unlink(missing_ok=True)
        if self.log.is_file() and not self.log.stat().st_size:
            self.log.unlink()


def read_states(layout: ExperimentLayout) -> list[WorkerState]:
    """The states of all workers, on all machines, that have said something lately."""
    found = []
    for path in sorted(layout.workers.glob("*.json")):
        try:
            if time.time() - path.stat().st_mtime < _STALE:
                found.append(read_record(WorkerState, path, ""))
        except (OSError, DataError):
            continue  # it has just ended
    return found


def state_of(layout: ExperimentLayout, name: str) -> WorkerState | None:
    """The last state of a worker that has ended without removing it."""
    try:
        return read_record(WorkerState, layout.workers / f"{name}.json", "")
    except DataError:
        return None


def remove_state(layout: ExperimentLayout, name: str) -> None:
    """Remove the state of a worker that has ended without removing it."""
    (layout.workers / f"{name}.json").unlink(missing_ok=True)
