"""Steps of a run in several processes, each of which keeps its model between steps.

The processes share the threads out: a multiplication by two threads takes more than half of the time that one takes,
and a training keeps two cores busy for little more than half of the time. A detection, for which everything waits, is
shared by all processes that are idle; beside a training, measurements and tests are done.
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
from kft_cli.pipeline.order import next_step
from kft_tasks.errors import KftError
from kft_tasks.signals import describe_end
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
        threads: of all processes together.
        held: file descriptors that the workers keep open, so that the run stays locked until the last one has ended.

    Raises:
        WorkerError: a step failed, with the message and exit code of its error, or a worker died.
        UnexpectedWorkerError: a step failed in a way that nobody thought of.
    """
    schedule = _Schedule(needs, is_done, max(1, threads // workers))
    first = schedule.start()
    if first is None:
        return  # all steps are done: no process is needed
    with progress_bars() as start_bar, _pool(folder, workers, held) as (pool, messages):
        schedule.give(first, pool[0], pool)
        while schedule.unfinished():
            for worker in pool:
                if worker.is_idle and (step := schedule.start(worker.step)) is not None:
                    schedule.give(step, worker, pool)
            if not any(worker.task for worker in pool):
                continue  # steps that were done already made others ready
            worker, line = messages.get()
            if not line:
                raise _death(worker)
            message = parse_message(line)
            if isinstance(message, Progress):
                worker.show(message, start_bar)
                schedule.call_helpers(worker)
                continue
            _raise_from(message)
            schedule.end(worker)


@dataclass
class _Worker:
    """One process, with what it is doing.

    Attributes:
        reserved: it will help with a step that another worker prepares.
        helpers: workers that help with this one's step, and have not been told to yet.
    """

    process: subprocess.Popen[str]
    step: Step | None = None
    task: Task | None = None
    reserved: bool = False
    helpers: list[_Worker] = field(default_factory=list)
    bars: dict[str, Bar] = field(default_factory=dict)

    @property
    def is_idle(self) -> bool:
        """Whether it can be given a step."""
        return self.task is None and not self.reserved

    def reserve(self, pool: Sequence[_Worker]) -> list[_Worker]:
        """Keep the other idle workers from other steps."""
        helpers = [one for one in pool if one.is_idle and one is not self]
        for helper in helpers:
            helper.reserved = True
        return helpers

    def give(self, step: Step, task: Task) -> None:
        """Tell the process what to do."""
        self.step, self.task, self.reserved = step, task, False
        stream = self.process.stdin
        assert stream is not None
        with contextlib.suppress(BrokenPipeError):  # it died: the end of its output says so
            stream.write(task.model_dump_json() + "\n")
            stream.flush()

    def show(self, progress: Progress, start_bar: Callable[[str], Bar]) -> None:
        """Begin, move or end one of its bars."""
        if progress.event == "begin":
            self.bars[progress.title] = start_bar(progress.title)
        elif progress.event == "move":
            self.bars[progress.title](progress.done, progress.total, progress.note)
        else:
            self.bars.pop(progress.title).end()


class _Schedule:
    """What is done, and what comes next."""

    def __init__(self, needs: Mapping[Step, frozenset[Step]], is_done: Callable[[Step], bool], threads: int) -> None:
        self.needs = needs
        self._done: set[Step] = set()
        self._started: set[Step] = set()
        self._is_done = is_done
        self._threads = threads

    def unfinished(self) -> bool:
        """Whether there are steps that are not done."""
        return len(self._done) < len(self.needs)

    def start(self, last: Step | None = None) -> Step | None:
        """The next step, for a worker whose last one was ``last``; None if there is none now.

        Steps found done on the way are noted.
        """
        last_point = last.point if last else None
        while True:
            step = next_step(self.needs, self._done, self._started, last_point=last_point)
            if step is None:
                return None
            self._started.add(step)
            if not self._is_done(step):
                return step
            self._done.add(step)

    def give(self, step: Step, worker: _Worker, pool: Sequence[_Worker]) -> None:
        """Let a worker do a step; the idle ones help with a detection once its folder is prepared."""
        worker.helpers = worker.reserve(pool) if step.kind == "detect" else []
        worker.give(step, self._task(step, 0, 1 + len(worker.helpers)))

    def _task(self, step: Step, rank: int, world: int) -> Task:
        """The step as a worker is told it."""
        overall = f"[{len(self._started)}/{len(self.needs)}]"
        return Task(step=step.name, threads=self._threads, overall=overall, rank=rank, world=world)

    def call_helpers(self, worker: _Worker) -> None:
        """Let the others help with a step whose folder is prepared."""
        helpers, worker.helpers = worker.helpers, []
        if helpers and worker.step is not None:
            for rank, helper in enumerate(helpers, start=1):
                helper.give(worker.step, self._task(worker.step, rank, 1 + len(helpers)))

    def end(self, worker: _Worker) -> None:
        """A worker has done its task."""
        if worker.task is not None and worker.task.rank == 0 and worker.step is not None:
            self._done.add(worker.step)
        worker.task = None
        for helper in worker.helpers:  # the step was done in the meantime, and nobody was called
            helper.reserved = False
        worker.helpers = []


@contextmanager
def _pool(
    folder: Path, workers: int, held: Sequence[int]
) -> Iterator[tuple[list[_Worker], SimpleQueue[tuple[_Worker, str]]]]:
    """Worker processes, and the lines they write; an empty line for the end of one's output."""
    messages: SimpleQueue[tuple[_Worker, str]] = SimpleQueue()
    pool: list[_Worker] = []
    readers = []
    try:
        for _ in range(workers):
            command = [sys.executable, "-m", "kft_cli.pipeline.worker", str(folder)]
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8", pass_fds=held
            )
            pool.append(_Worker(process))
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
    if worker.task is not None:
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
    less = " with --workers 1" if code == -signal.SIGKILL else ""
    return WorkerError(
        f"{step}: the process that did this step {describe_end(code)}. Run the same command again{less} to go on."
    )


def _raise_from(outcome: Outcome) -> None:
    if outcome.details is not None:
        raise UnexpectedWorkerError(f"{outcome.error}\n\n{outcome.details}")
    if outcome.error is not None:
        raise WorkerError(outcome.error, outcome.exit_code)
