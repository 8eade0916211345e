"""A run folder: steps that are written beside and renamed, redone only where their inputs changed.

Everything a step depends on goes into its ``inputs``; their digest stands in its ``step.json``. A step that is there
with the same digest is not done again, so that ``kft run`` on a broken run goes on and on a finished one does nothing.
"""

from __future__ import annotations

import fcntl
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kft_cli.pipeline.machine import now
from kft_cli.report.run_layout import STEP_RECORD, RunLayout
from kft_tasks.errors import DataError, StateError
from kft_tasks.files import read_json, sha256_of_json, write_json


@dataclass
class StepCost:
    """What a step cost. Seconds left at None are taken from the clock."""

    seconds: float | None = None
    cpu_seconds: float | None = None
    tokens: dict[str, float] = field(default_factory=dict)
    generations: dict[str, int] = field(default_factory=dict)


class RunFolder:
    """Steps of one run.

    Args:
        path: created if missing.

    Raises:
        DataError: it cannot be written, or is a folder with something else in it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.layout = RunLayout(path)
        foreign = path.exists() and (not path.is_dir() or (any(path.iterdir()) and not self.layout.marker.exists()))
        if foreign:
            raise StateError(f"{path}: exists and is not a run of kft. Choose another folder.")
        try:
            path.mkdir(parents=True, exist_ok=True)
            self.layout.marker.touch()
        except OSError as error:
            raise DataError(
                f"{path}: cannot be written ({error.strerror}). Choose a folder you may write to."
            ) from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes off this run.

        Raises:
            StateError: another process is at work on it.
        """
        with self.layout.marker.open("a") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise StateError(
                    f"{self.path}: another process is at work on this run. Wait for it, or stop it."
                ) from error
            yield

    def is_done(self, name: str, inputs: Mapping[str, Any]) -> bool:
        """Is this step there, made from the same inputs?"""
        file = self.layout.step_record(name)
        return file.is_file() and read_json(file).get("inputs") == sha256_of_json(inputs)

    def step(self, name: str, inputs: Mapping[str, Any], make: Callable[[Path], StepCost]) -> Path:
        """Do a step unless it is done; returns its folder.

        Args:
            make: fills the folder it is given; after a kill it is called again with the same, partly filled folder.
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
        shutil.rmtree(final, ignore_errors=True)  # made from other inputs
        partial.rename(final)
        return final


def _is_for(partial: Path, wanted: Mapping[str, Any]) -> bool:
    file = partial / STEP_RECORD
    return file.is_file() and all(read_json(file).get(key) == value for key, value in wanted.items())
