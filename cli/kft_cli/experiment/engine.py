"""An experiment from its file to finished runs: prepare the folder, start workers, watch them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from kft_cli.display.console import narrate
from kft_cli.experiment.file import Experiment
from kft_cli.experiment.graph import Graph, build_graph, read_graph
from kft_cli.experiment.kept_values import read_kept
from kft_cli.experiment.launchers import Launcher
from kft_cli.experiment.layout import ExperimentLayout
from kft_cli.experiment.sources import shared_sources
from kft_cli.experiment.store import Store
from kft_cli.experiment.worker_state import WorkerState, read_states, remove_state, state_of
from kft_cli.pipeline.pipeline import Pipeline
from kft_cli.report.run_layout import RunLayout
from kft_tasks.errors import DataError, StateError
from kft_tasks.files import atomic_write, read_text, unwritable, write_json
from kft_tasks.limits import MAX_YAML_BYTES
from kft_tasks.signals import describe_end
from kft_train.recipes.recipe import Recipe
from kft_train.recipes.strict_yaml import parse_yaml

_PAUSE = 0.5  # seconds between two looks at the folder
_DEATHS = 2  # of workers at one step, after which it counts as failed


class Watcher(Protocol):
    """Shows what happens."""

    def finished(self, store: Store, key: str) -> None:
        """A step was finished."""
        ...

    def failed(self, store: Store, key: str) -> None:
        """A step failed."""
        ...

    def look(self, store: Store, states: Sequence[WorkerState]) -> None:
        """Nothing in particular: called again and again."""
        ...


@dataclass(frozen=True)
class Prepared:
    """An experiment whose folder is ready for workers."""

    layout: ExperimentLayout
    store: Store
    pipelines: Sequence[Pipeline]

    @property
    def graph(self) -> Graph:
        """Runs and steps."""
        return self.store.graph


def prepare(experiment: Experiment, folder: Path, command: Sequence[str], threads: int = 1) -> Prepared:
    """Write what workers read: the file of the experiment, its graph, and the run folders with their recipes.

    Args:
        command: the command line, recorded in every run.
        threads: of each worker, unless the folder says another number: results are then the same to the last bit,
            however many workers there are.

    Raises:
        StateError: the folder holds something other than this experiment.
        DataError: it cannot be written, or questions or a model cannot be used.
    """
    layout = ExperimentLayout(folder)
    _claim(experiment, layout)
    open_source = shared_sources()
    pipelines: dict[tuple[str, int], Pipeline] = {}
    for (arm, seed), recipe in experiment.recipes().items():
        pipeline = Pipeline(recipe, layout.run(arm, seed), command, open_source=open_source)
        if not _has_left_values(layout, arm, seed, pipeline.recipe):
            pipelines[arm, seed] = pipeline
            pipeline.describe()
    if layout.graph.is_file():
        threads = read_graph(layout.graph).threads
    graph = build_graph(list(pipelines), list(pipelines.values()), threads)
    with atomic_write(layout.file) as stream:
        stream.write(experiment.to_yaml())
    write_json(layout.graph, graph.model_dump(mode="json"))
    return Prepared(layout, Store(layout, graph), list(pipelines.values()))


def _has_left_values(layout: ExperimentLayout, arm: str, seed: int, recipe: Recipe) -> bool:
    """Whether a run is gone and its values are there, as in the folder of a published experiment: nothing is to do.

    Raises:
        DataError: the values cannot be read.
        StateError: they are of another recipe.
    """
    kept = layout.kept(arm, seed)
    if not kept.is_file() or RunLayout(layout.run(arm, seed)).recipe.is_file():
        return False
    if read_kept(kept).recipe != recipe.digest():
        raise StateError(
            f"{kept}: is of another recipe than arm {arm} has now. Use another folder, or remove the file."
        )
    return True


def _claim(experiment: Experiment, layout: ExperimentLayout) -> None:
    folder = layout.folder
    if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not layout.marker.exists())):
        raise StateError(f"{folder}: exists and is not an experiment of kft. Choose another folder.")
    if layout.file.is_file():
        known = parse_yaml(read_text(layout.file, MAX_YAML_BYTES), str(layout.file))
        name = known.get("name") if isinstance(known, dict) else None
        if name != experiment.file.name:
            raise StateError(f"{folder}: holds the experiment {name!r}. Choose another folder.")
    try:
        layout.workers.mkdir(parents=True, exist_ok=True)
        layout.marker.touch()
    except OSError as error:
        raise unwritable(folder, error) from error


def check_finished(prepared: Prepared) -> int:
    """Look at all finished steps: link those that are whole into their runs, and remove the others.

    Returns:
        The number of removed steps, which are done again.
    """
    store, removed = prepared.store, 0
    store.forget()
    for key, node in prepared.graph.steps.items():
        if key not in store.done() or not all(need in store.done() for need in node.needs):
            continue
        with store.take(key) as home:
            if home is None:
                continue
            if prepared.pipelines[node.runs[0]].is_done(node.step, home):
                store.link(key)
            else:
                narrate(f"{home.path}: the step {node.step.name} is not as it was made. It is done again.")
                store.remove(key)
                removed += 1
    return removed


def execute(prepared: Prepared, launcher: Launcher, workers: int, watcher: Watcher) -> None:
    """Let workers do all steps and reports that are not done; return when nothing more can be done.

    Args:
        workers: how many this process starts; others may work on the same folder.

    Raises:
        StateError: the workers ended before everything was done.
    """
    store = prepared.store
    if is_over(store):
        return  # no process is needed
    deaths: Counter[str] = Counter()
    told_done, told_failed = set(store.done()), set[str]()
    try:
        launcher.start(prepared.layout, workers)
        while True:
            alive = launcher.alive()
            for key in sorted(store.done() - told_done):
                watcher.finished(store, key)
            told_done |= store.done()
            for key in sorted(store.failed() - told_failed):
                watcher.failed(store, key)
            told_failed |= store.failed()
            watcher.look(store, read_states(prepared.layout))
            for name, code in launcher.dead():
                _bury(prepared, name, code, deaths)
                if not is_over(store):
                    launcher.start(prepared.layout, 1)
            if is_over(store) and not alive:
                return
            if not alive and not launcher.alive():
                raise StateError(f"{prepared.layout.folder}: the workers have ended early. {launcher.remedy}")
            time.sleep(_PAUSE)
    finally:
        launcher.stop()


def _bury(prepared: Prepared, name: str, code: int, deaths: Counter[str]) -> None:
    """A worker died: say so, and give the step up where it is not the first."""
    layout, store = prepared.layout, prepared.store
    state = state_of(layout, name)
    remove_state(layout, name)
    key = state.key if state else ""
    what = state.title if state and state.title else "no step"
    narrate(f"{what}: the worker {describe_end(code)}. Another one goes on.")
    deaths[key] += 1
    if deaths[key] < _DEATHS:
        return
    if key not in prepared.graph.steps:
        raise StateError(f"{layout.workers}: workers end before they do anything. Read the logs there.")
    error = f"{what}: {deaths[key]} workers died at this step; the last {describe_end(code)}. Use fewer workers."
    store.fail(layout.failed(key), error)


def is_over(store: Store) -> bool:
    """Whether nothing more can be done: all is finished, or failed, or waits for something that failed."""
    if set(store.graph.steps) - store.done() - store.graph.blocked(store.failed()):
        return False
    return not any(store.needs_report(run) for run in store.graph.runs)


def failures(store: Store) -> list[tuple[str, str]]:
    """What failed, in words, and why."""
    found = []
    for key in sorted(store.failed(), key=list(store.graph.steps).index):
        node = store.graph.steps[key]
        run = store.graph.runs[node.runs[0]]
        found.append((f"{node.step.name} of {run.arm}, seed {run.seed}", store.failure(key).error))
    for run in store.graph.runs:
        path = store.layout.failed_report(run.arm, run.seed)
        if path.is_file():
            try:
                found.append((f"report of {run.arm}, seed {run.seed}", store.report_failure(run).error))
            except DataError as error:
                found.append((f"report of {run.arm}, seed {run.seed}", str(error)))
    return found
