"""A worker process of an experiment: takes the next step that is ready and that nobody else has, until none is left.

    python -m kft_cli.experiment.worker FOLDER [--alone] [NAME]

Any number of them, on one or several machines with a common folder, work on one experiment. A step is locked by the
worker that does it; when the worker dies, the step is free again and what was done of it is kept.
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

from kft_cli.display.libraries import calm_libraries
from kft_cli.experiment.graph import read_graph
from kft_cli.experiment.layout import ExperimentLayout
from kft_cli.experiment.sources import shared_sources
from kft_cli.experiment.store import Store
from kft_cli.experiment.worker_state import StateFile, new_name
from kft_cli.pipeline.pipeline import Pipeline
from kft_cli.pipeline.run_folder import RunFolder
from kft_cli.report.report import write_report
from kft_tasks.errors import KftError, StateError
from kft_train.errors import StageInterruptedError
from kft_train.recipes.recipe import load_recipe

_PAUSE = 0.5  # seconds until others are asked again whether they have finished something
_LOG_LINES = 20


def main(folder: str, *options: str) -> None:
    """Work until nothing is left to do.

    Args:
        folder: of the experiment.
        options: ``--alone`` if nobody holds this process's standard input, whose end is else the end of this process;
            the name of the worker.
    """
    if "--alone" not in options:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group: who started it decides
        threading.Thread(target=_end_with_input, daemon=True).start()
    calm_libraries()
    import torch

    layout = ExperimentLayout(Path(folder))
    torch.set_num_threads(read_graph(layout.graph).threads)
    layout.workers.mkdir(parents=True, exist_ok=True)
    names = [option for option in options if option != "--alone"]
    state = StateFile(layout, names[0] if names else new_name())
    log = os.open(state.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    os.dup2(log, 1)
    os.dup2(log, 2)
    try:
        Worker(layout, state).work()
    except StageInterruptedError as error:
        sys.exit(error.exit_code)
    finally:
        state.remove()


def _end_with_input() -> None:
    sys.stdin.read()
    os._exit(0)


class Worker:
    """Does steps and reports, one after another, and keeps the model between them."""

    def __init__(self, layout: ExperimentLayout, state: StateFile) -> None:
        self.layout = layout
        self.state = state
        self.graph = read_graph(layout.graph)
        self.store = Store(layout, self.graph)
        self._open_source = shared_sources()
        self._run: int | None = None
        self._point: str | None = None
        self._pipeline: Pipeline | None = None

    def work(self) -> None:
        """Until every step and report is done, or has failed, or needs one that has.

        Raises:
            StageInterruptedError: a signal ended a training after it was saved.
        """
        while True:
            if self._do_step() or self._do_report():
                continue
            if not self._is_waiting():
                return
            self.state.tell()
            time.sleep(_PAUSE)

    def _is_waiting(self) -> bool:
        """Whether others are at work on something, after which there may be more to do."""
        store = self.store
        open_steps = set(self.graph.steps) - store.done() - self.graph.blocked(store.failed())
        return bool(open_steps) or any(True for _ in self._reports_to_do())

    def _do_step(self) -> bool:
        """Do one step; return False if none can be taken."""
        store = self.store
        ready = self.graph.ready(store.done(), store.failed())
        for key in sorted(ready, key=partial(self.graph.priority, run=self._run, point=self._point)):
            with store.take(key) as home:
                if home is None or key in store.done():
                    continue
                self._do(key, home)
                return True
        return False

    def _do(self, key: str, home: RunFolder) -> None:
        node = self.graph.steps[key]
        number = self._run if self._run in node.runs else node.runs[0]
        run = self.graph.runs[number]
        begin = self.state.log.stat().st_size
        with self._failing(self.layout.failed(key), begin):
            self.store.link_all(node.needs, run)
            pipeline = self._open(number)
            bar = partial(self.state.bar, key, f"{run.arm}, seed {run.seed}")
            pipeline.do(node.step, bar, home=home)
            self.store.link(key)
        self._point = node.point

    def _open(self, number: int) -> Pipeline:
        """The pipeline of a run; that of another one lets go of its model."""
        if self._pipeline is None or self._run != number:
            if self._pipeline is not None:
                self._pipeline.unload()
            run = self.graph.runs[number]
            folder = self.layout.run(run.arm, run.seed).absolute()
            recipe = load_recipe(str(folder / "recipe.yaml"))
            self._pipeline = Pipeline(recipe, folder, (), open_source=self._open_source)
            self._run = number
        return self._pipeline

    def _reports_to_do(self) -> Iterator[int]:
        return (number for number, run in enumerate(self.graph.runs) if self.store.needs_report(run))

    def _do_report(self) -> bool:
        """Write the report of one run that is complete; return False if there is none."""
        for number in self._reports_to_do():
            run = self.graph.runs[number]
            self.store.link_all(run.steps.values(), run)
            folder = RunFolder(self.layout.run(run.arm, run.seed))
            begin = self.state.log.stat().st_size
            try:
                with folder.locked(0):
                    if not self.store.needs_report(run):
                        continue
                    self.state.tell(title=f"{run.arm}, seed {run.seed}: report")
                    with self._failing(self.layout.failed_report(run.arm, run.seed), begin):
                        write_report(folder.path)
            except StateError:
                continue  # another process writes it
            return True
        return False

    @contextmanager
    def _failing(self, path: Path, begin: int) -> Iterator[None]:
        """Record whatever goes wrong."""
        try:
            yield
        except StageInterruptedError:
            raise
        except KftError as error:
            self.store.fail(path, str(error), error.exit_code, log=self._log_since(begin))
        except Exception as error:
            words = f"{type(error).__name__}: {error}"
            self.store.fail(path, words, details=traceback.format_exc(), log=self._log_since(begin))

    def _log_since(self, begin: int) -> list[str]:
        """The last lines that this process has printed since its log had a size."""
        sys.stderr.flush()
        with self.state.log.open("rb") as stream:
            stream.seek(max(begin, self.state.log.stat().st_size - (1 << 16)))
            return stream.read().decode("utf-8", errors="replace").splitlines()[-_LOG_LINES:]


if __name__ == "__main__":
    main(*sys.argv[1:])
