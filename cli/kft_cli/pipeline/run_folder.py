"""A run folder: every step is made in a folder beside its own, then renamed, and redone only if its inputs change.

Everything a step depends on goes into its ``inputs``, whose digest is kept in its ``step.json``. A step with the same
digest is not done again, so ``kft run`` resumes an interrupted run and leaves a finished one as it is.
"""

from __future__ import annotations

import fcntl
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from kft_cli.pipeline.machine import now
from kft_cli.report.run_layout import STEP_RECORD, RunLayout
from kft_cli.report.run_records import read_started
from kft_tasks.errors import DataError, StateError
from kft_tasks.files import sha256_of_json, write_json

_SECONDS_TO_END = 3.0  # that the workers of a run which was just killed may need to end


@dataclass
class StepCost:
    """What a step cost. Seconds that are None are measured by the run folder."""

    seconds: float | None = None
    cpu_seconds: float | None = None
    tokens: dict[str, float] = field(default_factory=dict)
    generations: dict[str, int] = field(default_factory=dict)


class RunFolder:
    """Steps of one run.

    Args:
        path: created if missing.

    Raises:
        DataError: it cannot be written.
        StateError: it holds something other than a run.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.layout = RunLayout(path)
        self.lock_descriptors: tuple[int, ...] = ()  # of the lock, while it is held
        foreign = path.exists() and (not path.is_dir() or (any(path.iterdir()) and not self.layout.marker.exists()))
        if foreign:
            raise StateError(f"{path} exists and is not a run of kft. Choose another folder.")
        try:
            path.mkdir(parents=True, exist_ok=True)
            self.layout.marker.touch()
        except OSError as error:
            raise DataError(
                f"{path}: cannot be written ({error.strerror}). Choose a folder you can write to."
            ) from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from working on this run.

        Raises:
            StateError: another process is working on it.
        """
        with self.layout.marker.open("a") as stream:
            end = time.monotonic() + _SECONDS_TO_END
            while not _lock(stream):
                if time.monotonic() > end:
                    raise StateError(f"{self.path}: another process is working on this run. Wait for it, or stop it.")
                time.sleep(0.05)
            self.lock_descriptors = (stream.fileno(),)
            try:
                yield
            finally:
                self.lock_descriptors = ()

    def is_done(self, name: str, inputs: Mapping[str, Any]) -> bool:
        """Whether the step is done, with the same inputs."""
        file = self.layout.step_record(name)
        return file.is_file() and read_started(file).get("inputs") == sha256_of_json(inputs)

    def step(self, name: str, inputs: Mapping[str, Any], make: Callable[[Path], StepCost]) -> Path:
        """Do a step unless it is done; return its folder.

        Args:
            make: fills the folder it is given; if it is killed, the next run calls it with the partly filled folder.
        """
        final, partial = self.layout.step(name), self.layout.partial(name)
        if self.is_done(name, inputs):
            return final
        wanted = {"step": name, "inputs": sha256_of_json(inputs)}
        if partial.exists() and not _is_for(partial, wanted):
            shutil.rmtree(partial)
        partial.mkdir(exist_ok=True)
        write_json(partial / STEP_RECORD, wanted)
        wall, cpu = time.perf_counter(), time.process_time()
        cost = make(partial)
        record = {
            **wanted,
            "finished": now(),
            "seconds": time.perf_counter() - wall if cost.seconds is None else cost.seconds,
            "cpu_seconds": time.process_time() - cpu if cost.cpu_seconds is None else cost.cpu_seconds,
            "tokens": cost.tokens,
            "generations": cost.generations,
        }
        write_json(partial / STEP_RECORD, record)
        shutil.rmtree(final, ignore_errors=True)  # made with other inputs
        partial.rename(final)
        return final


def _lock(stream: IO[str]) -> bool:
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_for(partial: Path, wanted: Mapping[str, Any]) -> bool:
    file = partial / STEP_RECORD
    return file.is_file() and all(read_started(file).get(key) == value for key, value in wanted.items())
