"""A worker process: does the steps of a run that it is told to, one after another, and keeps the model between them.

Started by :mod:`kft_cli.pipeline.workers`; not for people. It ends at once when the run that started it does.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import IO

from kft_cli.display.libraries import calm_libraries
from kft_cli.pipeline.messages import Outcome, Progress, Task
from kft_tasks.errors import KftError
from kft_tasks.launcher import Process
from kft_tasks.progress import ProgressCallback

_SECONDS = 0.2  # between messages of progress


def main(folder: str) -> None:
    """Do the steps whose names come in as lines, until the input ends.

    Args:
        folder: of the run; its recipe is read.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group: the run decides
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints must not get between the messages
    tasks: SimpleQueue[str] = SimpleQueue()
    threading.Thread(target=_read, args=(sys.stdin, tasks), daemon=True).start()
    for message in _work(Path(folder), tasks, out):
        out.write(message.model_dump_json() + "\n")
        out.flush()


def _read(stream: IO[str], tasks: SimpleQueue[str]) -> None:
    """Pass lines on; at the end of the input the run is gone, and so is this process, in the middle of whatever."""
    for line in stream:
        tasks.put(line)
    os._exit(0)


def _work(folder: Path, tasks: SimpleQueue[str], out: IO[str]) -> Iterator[Outcome]:
    from kft_cli.pipeline.pipeline import Pipeline
    from kft_train.recipes.recipe import load_recipe

    calm_libraries()
    pipeline = None
    while True:
        task = Task.model_validate_json(tasks.get())
        try:
            import torch

            torch.set_num_threads(task.threads)
            if pipeline is None:
                pipeline = Pipeline(load_recipe(str(folder.absolute() / "recipe.yaml")), folder, ())
            step = next(step for step in pipeline.steps if step.name == task.step)
            pipeline.do(step, partial(_bar, out, task.overall), Process(task.rank, task.world))
            yield Outcome()
        except KftError as error:
            yield Outcome(error=str(error), exit_code=error.exit_code)
        except Exception as error:
            words = f"{type(error).__name__}: {error}"
            yield Outcome(error=words, exit_code=1, details=traceback.format_exc())


@contextmanager
def _bar(out: IO[str], overall: str, title: str) -> Iterator[ProgressCallback]:
    """A bar that the run draws."""
    last = 0.0
    title = f"{overall} {title}"

    def send(progress: Progress) -> None:
        out.write(progress.model_dump_json() + "\n")
        out.flush()

    def update(done: int, total: int, note: str) -> None:
        nonlocal last
        now = time.monotonic()
        if done >= total or now - last >= _SECONDS:
            last = now
            send(Progress(event="move", title=title, done=done, total=total, note=note))

    send(Progress(event="begin", title=title))
    yield update
    send(Progress(event="end", title=title))


if __name__ == "__main__":
    main(*sys.argv[1:])
