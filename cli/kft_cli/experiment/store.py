"""The finished steps of an experiment, each once, and the run folders that are made of them by links."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pydantic import Field

from kft_cli.experiment.graph import Graph, RunNode
from kft_cli.experiment.layout import ExperimentLayout
from kft_cli.pipeline.machine import now
from kft_cli.pipeline.run_folder import RunFolder
from kft_cli.report.run_layout import STEP_RECORD, RunLayout
from kft_cli.report.run_outputs import digest_of, find_damage
from kft_cli.report.run_records import read_started
from kft_tasks.errors import DataError, StateError
from kft_tasks.files import remove, unwritable, write_json
from kft_tasks.records import Record, read_record

_NO_LINKS = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS, errno.EACCES)


class FailedRecord(Record):
    """``failed.json``: how a step, or the report of a run, failed.

    Attributes:
        error: the message.
        details: the traceback of an error that nobody thought of.
        log: the last lines that were printed.
    """

    error: str
    exit_code: int
    finished: str
    details: str | None = None
    log: list[str] = Field(default_factory=list)


class Store:
    """The steps of a graph in an experiment's folder."""

    def __init__(self, layout: ExperimentLayout, graph: Graph) -> None:
        self.layout = layout
        self.graph = graph
        self._done: set[str] = set()

    def done(self) -> set[str]:
        """Keys of the finished steps. What was once finished is not looked at again."""
        self._done |= {key for key in self._started() if self._is_finished(key)}
        return self._done

    def forget(self) -> None:
        """Look at all steps again."""
        self._done.clear()

    def failed(self) -> set[str]:
        """Keys of the steps that failed and are not finished."""
        done = self.done()
        return {key for key in self._started() if key not in done and self.layout.failed(key).is_file()}

    def failure(self, key: str) -> FailedRecord:
        """How a step failed.

        Raises:
            DataError: the file cannot be read.
        """
        return _read_failed(self.layout.failed(key))

    def report_failure(self, run: RunNode) -> FailedRecord:
        """How the report of a run failed.

        Raises:
            DataError: the file cannot be read.
        """
        return _read_failed(self.layout.failed_report(run.arm, run.seed))

    def fail(
        self, path: Path, error: str, exit_code: int = 1, details: str | None = None, log: Sequence[str] = ()
    ) -> None:
        """Record how a step or a report failed.

        Args:
            path: of the record.
        """
        record = FailedRecord(error=error, exit_code=exit_code, finished=now(), details=details, log=list(log))
        write_json(path, record.model_dump(mode="json"))

    def retry(self) -> None:
        """Let everything that failed be tried again."""
        for key in self.failed():
            self.layout.failed(key).unlink(missing_ok=True)
        for run in self.graph.runs:
            self.layout.failed_report(run.arm, run.seed).unlink(missing_ok=True)

    @contextmanager
    def take(self, key: str) -> Iterator[RunFolder | None]:
        """Lock a step; gives the folder that holds it, or None if another process has it."""
        home = RunFolder(self.layout.home(key))
        with ExitStack() as stack:
            try:
                stack.enter_context(home.locked(0))
                free = True
            except StateError:
                free = False
            yield home if free else None

    def link(self, key: str) -> None:
        """Put a finished step into all runs that have it. Its lock must be held.

        Raises:
            DataError: a run folder cannot be written.
        """
        node = self.graph.steps[key]
        source = RunLayout(self.layout.home(key)).step(node.step.name)
        for number in node.runs:
            run = self.layout.run(self.graph.runs[number].arm, self.graph.runs[number].seed)
            try:
                _link_step(source, RunLayout(run), node.step.name)
            except OSError as error:
                raise unwritable(run, error) from error

    def link_all(self, keys: Iterable[str], run: RunNode) -> None:
        """Put finished steps into a run where a process was killed before it did so.

        Raises:
            DataError: a run folder cannot be written.
        """
        folder = RunLayout(self.layout.run(run.arm, run.seed))
        for key in keys:
            while not folder.step_record(self.graph.steps[key].step.name).is_file():
                with self.take(key) as home:
                    if home is not None:
                        self.link(key)

    def remove(self, key: str) -> None:
        """Remove a step that is not what it should be. Its lock must be held."""
        remove(RunLayout(self.layout.home(key)).step(self.graph.steps[key].step.name))
        self._done.discard(key)

    def is_complete(self, run: RunNode) -> bool:
        """Whether all steps of a run are finished."""
        done = self.done()
        return all(key in done for key in run.steps.values())

    def needs_report(self, run: RunNode) -> bool:
        """Whether a run has no report yet, and could have one."""
        if not run.trains or not self.is_complete(run) or self.layout.failed_report(run.arm, run.seed).is_file():
            return False
        return not (RunLayout(self.layout.run(run.arm, run.seed)).report / "report.json").is_file()

    def _started(self) -> set[str]:
        """Keys of steps that were started and are not known to be finished: often few of many, and often asked for."""
        try:
            return self.graph.steps.keys() & {path.name for path in self.layout.steps.iterdir()} - self._done
        except FileNotFoundError:
            return set()

    def _is_finished(self, key: str) -> bool:
        return (RunLayout(self.layout.home(key)).step_record(self.graph.steps[key].step.name)).is_file()


def _read_failed(path: Path) -> FailedRecord:
    return read_record(FailedRecord, path, "Remove the file; the step is then tried again.")


def _link_step(source: Path, run: RunLayout, name: str) -> None:
    """Make a run's step the same as a finished one, unless it is; the run's report is then out of date."""
    final, old = run.step(name), run.replaced(name)
    if _is_same(source, final):
        return
    private = run.folder / f".{name}.{secrets.token_hex(4)}"  # a name that the run folder removes after a kill
    for path in sorted(source.rglob("*")):
        target = private / path.relative_to(source)
        if path.is_dir():
            target.mkdir(parents=True, exist_ok=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            _link(path, target)
    remove(run.report)
    remove(old)
    if final.exists():
        final.rename(old)
    private.rename(final)
    remove(old)


def _is_same(source: Path, final: Path) -> bool:
    """Whether a run's step has the record of a finished one, and whole files."""
    try:
        if digest_of(source / STEP_RECORD) != digest_of(final / STEP_RECORD):
            return False
        return find_damage(final, read_started(final / STEP_RECORD)["outputs"]) is None
    except (OSError, DataError):
        return False


def _link(source: Path, target: Path) -> None:
    """Link a file, or copy it where the file system has no links."""
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        shutil.copy2(source, target)
