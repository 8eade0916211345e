"""A run folder: every step is made in a folder beside its own, which then takes its place by one rename.

Everything a step depends on goes into its ``inputs``, whose digest is kept in its ``step.json``, together with size and
SHA-256 of every file that it made. A step with the same digest and whole files is not done again, so ``kft run``
resumes an interrupted run, makes again what was deleted or damaged, and leaves a finished one as it is.

``step.json`` counts the work that is in the step's files: of killed attempts what was kept (finished chunks of a
detection, steps of a training up to the checkpoint that it was resumed from), and nothing that was done again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kft_cli.display.console import narrate
from kft_cli.pipeline.machine import now
from kft_cli.report.run_layout import RESULT, STEP_RECORD, RunLayout
from kft_cli.report.run_outputs import describe_outputs, find_damage, find_missing, is_scratch
from kft_cli.report.run_records import read_started
from kft_cli.report.scratch import is_abandoned
from kft_tasks.errors import DataError, StateError
from kft_tasks.files import is_temporary, remove, sha256_of_json, unwritable, write_json
from kft_tasks.locks import LockedError, wait_for_lock

_SECONDS_TO_END = 3.0  # that the workers of a run which was just killed may need to end


@dataclass
class StepCost:
    """What a step cost, and where it is. Seconds that are None are measured by the run folder.

    Attributes:
        folder: holds the step's files; None where they are in the folder that was to be filled.
    """

    seconds: float | None = None
    cpu_seconds: float | None = None
    tokens: dict[str, float] = field(default_factory=dict)
    generations: dict[str, int] = field(default_factory=dict)
    folder: Path | None = None


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
            raise unwritable(path, error) from error

    @contextmanager
    def locked(self, seconds: float = _SECONDS_TO_END) -> Iterator[None]:
        """Keep other processes from working on this run, and remove what killed ones have left behind.

        Args:
            seconds: that another process may need to end.

        Raises:
            StateError: another process is working on it.
        """
        with self.layout.marker.open("a") as stream:
            try:
                release = wait_for_lock(stream, self.layout.marker, seconds)
            except LockedError as error:
                raise StateError(f"{self.path}: another process is working on this run. {error.remedy}") from error
            self.lock_descriptors = (stream.fileno(),)
            try:
                self._sweep()
                yield
            finally:
                self.lock_descriptors = ()
                release()

    def is_done(self, name: str, inputs: Mapping[str, Any], *, quiet: bool = False) -> bool:
        """Whether the step is done, with the same inputs, and all its files are what they were.

        Args:
            quiet: do not say what is damaged.
        """
        if not _exists(self.layout.step(name)):
            return False
        record, damage = self._record(self.layout.step(name), name)
        if record and record.get("inputs") != sha256_of_json(inputs):
            return False
        if damage and not quiet:
            narrate(f"{damage}. The step {name} is done again.")
        return not damage

    def step(self, name: str, inputs: Mapping[str, Any], make: Callable[[Path], StepCost]) -> Path:
        """Do a step unless it is done; return its folder.

        Args:
            make: fills the folder it is given; if it is killed, the next run calls it with the partly filled folder.
        """
        final, partial = self.layout.step(name), self.layout.partial(name)
        if self.is_done(name, inputs):
            return final
        wanted = {"step": name, "inputs": sha256_of_json(inputs)}
        content = self._made(name, wanted)
        if content is None:
            if not _is_for(partial, wanted):
                remove(partial)
            partial.mkdir(exist_ok=True)
            write_json(partial / STEP_RECORD, wanted)
            content = self._make(partial, wanted, make)
        for path in list(content.iterdir()):
            if is_scratch(path):
                remove(path)
        self._put_in_place(name, content)
        return final

    def verify(self, names: Sequence[str]) -> None:
        """Read all files of finished steps, and say how many there are; :meth:`is_done` names the damaged ones."""
        finished = [name for name in names if _exists(self.layout.step(name))]
        records = [self._record(self.layout.step(name), name) for name in finished]
        files = sum(len(record.get("outputs") or {}) for record, _ in records)
        damaged = sum(damage is not None for _, damage in records)
        narrate(f"Read the weights and {files} files of {len(finished)} finished steps; damaged steps: {damaged}.")

    def remove_unfinished(self) -> None:
        """Remove what is left of steps that the run does not have any more, once all its own are done."""
        for path in list(self.path.glob(".*.partial")):
            remove(path)

    def _make(self, partial: Path, wanted: dict[str, str], make: Callable[[Path], StepCost]) -> Path:
        """Make a step and record it; its cost is then safe, whatever happens before it takes its place."""
        wall, cpu = time.perf_counter(), time.process_time()
        cost = make(partial)
        content = cost.folder or partial
        record = {
            **wanted,
            "finished": now(),
            "seconds": time.perf_counter() - wall if cost.seconds is None else cost.seconds,
            "cpu_seconds": time.process_time() - cpu if cost.cpu_seconds is None else cost.cpu_seconds,
            "tokens": cost.tokens,
            "generations": cost.generations,
            "outputs": describe_outputs(content),
        }
        write_json(content / STEP_RECORD, record)
        return content

    def _made(self, name: str, wanted: Mapping[str, str]) -> Path | None:
        """The folder of a step that was made and recorded by a process that was killed before it took its place."""
        partial = self.layout.partial(name)
        for content in (partial / RESULT, partial):
            if (content / STEP_RECORD).is_file() and _is_for(content, wanted):
                record, damage = self._record(content, name)
                if record and record.get("finished") and "outputs" in record and not damage:
                    return content
        return None

    def _record(self, folder: Path, name: str) -> tuple[dict[str, Any], str | None]:
        """The ``step.json`` of a step, {} if it cannot be read, and what is wrong with the step."""
        try:
            record = read_started(folder / STEP_RECORD)
        except DataError as error:
            return {}, str(error).partition(". ")[0]
        if record.get("outputs") is None:
            return record, find_missing(self.layout, name)
        return record, find_damage(folder, record["outputs"])

    def _put_in_place(self, name: str, content: Path) -> None:
        """Rename a finished step to its name; what has the name is moved out of the way first, and then removed."""
        final, old = self.layout.step(name), self.layout.replaced(name)
        remove(old)
        if _exists(final):
            final.rename(old)
        content.rename(final)
        remove(old)
        remove(self.layout.partial(name))

    def _sweep(self) -> None:
        for path in list(self.path.glob(".*")):
            if is_temporary(path) or path.name.endswith(".old") or is_abandoned(path):
                remove(path)


def _is_for(partial: Path, wanted: Mapping[str, Any]) -> bool:
    try:
        started = read_started(partial / STEP_RECORD)
    except DataError:
        return False
    return all(started.get(key) == value for key, value in wanted.items())


def _exists(path: Path) -> bool:
    return path.is_symlink() or path.exists()
