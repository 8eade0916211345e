"""Tiny experiments for tests, and a worker in the process of the test."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from kft_cli.experiment.engine import Prepared, check_finished, execute, prepare
from kft_cli.experiment.file import load_experiment
from kft_cli.experiment.layout import ExperimentLayout
from kft_cli.experiment.store import Store
from kft_cli.experiment.worker import Worker
from kft_cli.experiment.worker_state import StateFile

TWO = {"stage1": None, "method": {"description": "two stages", "stages": ["stage1", "stage2"]}}


def write_experiment(project: Path, name: str = "tiny", **values: Any) -> Path:
    """Write an experiment on ``recipe.yaml`` of the same folder."""
    path = project / f"{name}.yaml"
    complete = {"name": name, "recipe": "./recipe.yaml", "arms": TWO, "seeds": [1], **values}
    path.write_text(yaml.safe_dump(complete, sort_keys=False), encoding="utf-8")
    return path


def prepared(project: Path, folder: Path, **values: Any) -> Prepared:
    """A tiny experiment whose folder is ready for workers."""
    return prepare(load_experiment(str(write_experiment(project, **values))), folder, ["kft", "experiment"])


def keys_of(one: Prepared) -> Mapping[tuple[str, int, str], str]:
    """Key of every step, by arm, seed and name of the step."""
    return {(run.arm, run.seed, name): key for run in one.graph.runs for name, key in run.steps.items()}


class InlineLauncher:
    """Does the work in this process when it is started."""

    remedy = ""

    def __init__(self, threads: int = 1) -> None:
        self.started = 0

    def start(self, layout: ExperimentLayout, workers: int) -> None:
        """Be the worker, to the end."""
        self.started += workers
        state = StateFile(layout, "inline")
        state.log.touch()
        try:
            Worker(layout, state).work()
        finally:
            state.remove()

    def alive(self) -> int:
        """Nobody."""
        return 0

    def dead(self) -> list[tuple[str, int]]:
        """Nobody."""
        return []

    def stop(self) -> None:
        """There is nothing to stop."""


class Told:
    """Remembers what was told."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.failures: list[str] = []

    def finished(self, store: Store, key: str) -> None:
        """A step was finished."""
        self.done.append(store.graph.steps[key].step.name)

    def failed(self, store: Store, key: str) -> None:
        """A step failed."""
        self.failures.append(store.graph.steps[key].step.name)

    def look(self, store: Store, states: object) -> None:
        """Nothing in particular."""


def run_inline(one: Prepared) -> Told:
    """Run an experiment in this process."""
    told = Told()
    check_finished(one)
    execute(one, InlineLauncher(), 1, told)
    return told
