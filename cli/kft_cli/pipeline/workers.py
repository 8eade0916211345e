"""Steps of a run in several processes, each of which keeps its model between steps.

The longest path of a run, its detections and trainings, is done with all threads by the first process. Beside it, the
others do measurements and tests with fewer threads and lower priority, in the time that the first leaves over: a
training keeps two cores busy for little more than half of the time. The number of threads hangs on the kind of step and
never on the order in which steps happen to end, so that a run can be repeated.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import IO

from kft_cli.display.console import Bar, progress_bars
from kft_cli.pipeline.messages import Outcome, Progress, Task, parse_message
from kft_cli.pipeline.order import is_on_the_path, next_step
from kft_tasks.errors import KftError
from kft_train.recipes.plan import Step

_SECONDS_TO_SAVE = 30  # that a training has to write a checkpoint when the run is stopped


class WorkerError(KftError):
    """A step failed in a worker, or the worker died."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class UnexpectedWorkerError(Exception):
    """An error in a worker that nobody thought of, with its traceback."""


def run_on_workers(
    folder: Path,
    needs: Mapping[Step, frozenset[Step]],
    is_done: Callable[[Step], bool],
    *,
    workers: int,
    threads: int,
    held: Sequence[int] = (),
) -> None:
    """Do all steps that are not done.

    Args:
        folder: of the run; its recipe is there.
        needs: of every step, in the order of the recipe.
        is_done: asked once what a step needs is done.
        workers: processes, at least two.
        threads: of a step on the longest path; other steps share them out.
        held: file descriptors that the workers keep open, so that the run stays locked until the last one has ended.

    Raises:
        WorkerError: a step failed, with the message and exit code of its error, or a worker died.
        UnexpectedWorkerError: a step failed in a way that nobody thought of.
    """
    with progress_bars() as start_bar, _pool(folder, workers, held) as (pool, messages):
        schedule = _Schedule(needs, is_done, workers, threads)
        while schedule.unfinished():
            for worker in pool:
                if worker.step is None and (step := schedule.start(worker)) is not None:
                    worker.give(step, schedule.task(step))
            if not any(worker.step for worker in pool):
                continue  # steps that were done already made others ready
            worker, line = messages.get()
            if not line:
                raise _death(worker)
            message = parse_message(line)
            if isinstance(message, Progress):
                worker.show(message, start_bar)
                continue
            step, worker.step = worker.step, None
            _raise_from(message)
            if step is not None:
                schedule.done.add(step)


@dataclass
class _Worker:
    """One process, with what it is doing."""

    process: subprocess.Popen[str]
    beside: bool
    step: Step | None = None
    last_point: str | None = None
    bars: dict[str, Bar] = field(default_factory=dict)

    def give(self, step: Step, task: Task) -> None:
        self.step, self.last_point = step, step.point
        stream = self.process.stdin
        assert stream is not None
        with contextlib.suppress(BrokenPipeError):  # it died: the end of its output says so
            stream.write(task.model_dump_json() + "\n")
            stream.flush()

    def show(self, progress: Progress, start_bar: Callable[[str], Bar]) -> None:
        if progress.event == "begin":
            self.bars[progress.title] = start_bar(progress.title)
        elif progress.event == "move":
            self.bars[progress.title](progress.done, progress.total, progress.note)
        else:
            self.bars.pop(progress.title).end()


class _Schedule:
    """What is done, and what comes next."""

    def __init__(
        self, needs: Mapping[Step, frozenset[Step]], is_done: Callable[[Step], bool], workers: int, threads: int
    ) -> None:
        self.needs = needs
        self.done: set[Step] = set()
        self._started: set[Step] = set()
        self._is_done = is_done
        self._threads = threads
        self._shared = max(1, threads // workers)

    def unfinished(self) -> bool:
        """Whether there are steps that are not done."""
        return len(self.done) < len(self.needs)

    def start(self, worker: _Worker) -> Step | None:
        """The next step for a worker; None if there is none now. Steps found done on the way are noted."""
        while True:
            step = next_step(self.needs, self.done, self._started, last_point=worker.last_point, beside=worker.beside)
            if step is None:
                return None
            self._started.add(step)
            if not self._is_done(step):
                return step
            self.done.add(step)

    def task(self, step: Step) -> Task:
        """The step as a worker is told it."""
        threads = self._threads if is_on_the_path(step) else self._shared
        return Task(step=step.name, threads=threads, overall=f"[{len(self._started)}/{len(self.needs)}]")


@contextmanager
def _pool(
    folder: Path, workers: int, held: Sequence[int]
) -> Iterator[tuple[list[_Worker], SimpleQueue[tuple[_Worker, str]]]]:
    """Worker processes, and the lines they write; an empty line for the end of one's output."""
    messages: SimpleQueue[tuple[_Worker, str]] = SimpleQueue()
    pool: list[_Worker] = []
    readers = []
    try:
        for number in range(workers):
            beside = number > 0
            command = [sys.executable, "-m", "kft_cli.pipeline.worker", str(folder), str(int(beside))]
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8", pass_fds=held
            )
            pool.append(_Worker(process, beside))
            assert process.stdout is not None
            readers.append(threading.Thread(target=_pass_on, args=(pool[-1], process.stdout, messages), daemon=True))
            readers[-1].start()
        yield pool, messages
    finally:
        for worker in pool:
            _end(worker)
        for reader in readers:
            reader.join()


def _pass_on(worker: _Worker, stream: IO[str], messages: SimpleQueue[tuple[_Worker, str]]) -> None:
    with stream:
        for line in stream:
            messages.put((worker, line))
    messages.put((worker, ""))


def _end(worker: _Worker) -> None:
    """End a worker: an idle one by the end of its input, a busy one by a signal at which a training is saved."""
    if worker.step is not None:
        worker.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            worker.process.wait(_SECONDS_TO_SAVE)
    assert worker.process.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        worker.process.stdin.close()
    worker.process.kill()
    worker.process.wait()


def _death(worker: _Worker) -> WorkerError:
    code = worker.process.wait()
    step = worker.step.name if worker.step else "no step"
    if code == -signal.SIGKILL:
        how, remedy = "was killed, perhaps for want of memory", "Run the same command again with --workers 1 to go on"
    else:
        name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        how, remedy = f"ended ({name})", "Run the same command again to go on"
    return WorkerError(f"{step}: the process that did this step {how}. {remedy}.")


def _raise_from(outcome: Outcome) -> None:
    if outcome.details is not None:
        raise UnexpectedWorkerError(f"{outcome.error}\n\n{outcome.details}")
    if outcome.error is not None:
        raise WorkerError(outcome.error, outcome.exit_code)
