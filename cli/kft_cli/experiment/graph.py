"""The steps of all runs of an experiment, each once: steps of different runs with the same key are the same."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from kft_cli.pipeline.order import is_on_the_path, needs_of
from kft_cli.pipeline.pipeline import Pipeline
from kft_tasks.records import Count, Record, read_record
from kft_train.recipes.plan import Kind, Step


class RunNode(Record):
    """The run of one arm under one seed.

    Attributes:
        steps: keys of its steps by name, in the order of its recipe.
        trains: whether it has stages, and with them a report.
    """

    arm: str
    seed: Count
    steps: dict[str, str]
    trains: bool


class StepNode(Record):
    """One step, which one or more runs have.

    Attributes:
        needs: keys of the steps whose results it reads.
        runs: numbers of the runs that have it, at least one.
        turn: place of its first run's seed among the seeds: earlier seeds come first.
    """

    kind: Kind
    point: str
    needs: list[str]
    runs: list[Count]
    turn: Count

    @property
    def step(self) -> Step:
        """The step in its run."""
        return Step(self.kind, self.point)


class Graph(Record):
    """All runs and steps.

    Attributes:
        threads: that each worker computes with, whatever their number: sums of floats depend on it in their last bits.
        steps: by key, each after those that it needs.
    """

    threads: Annotated[int, Field(ge=1)] = 1
    runs: list[RunNode]
    steps: dict[str, StepNode]

    def ready(self, done: Collection[str], out: Collection[str]) -> list[str]:
        """Keys of the steps that can be done now.

        Args:
            done: finished steps.
            out: steps that are not to be started, such as failed ones.
        """
        return [
            key
            for key, node in self.steps.items()
            if key not in done and key not in out and all(need in done for need in node.needs)
        ]

    def blocked(self, failed: Collection[str]) -> set[str]:
        """Failed steps, and those that need one of them, directly or not."""
        found: set[str] = set()
        for key, node in self.steps.items():
            if key in failed or any(need in found for need in node.needs):
                found.add(key)
        return found

    def priority(self, key: str, run: int | None = None, point: str | None = None) -> tuple[int, bool, bool, bool]:
        """What comes first: seed by seed; what others may wait for; what asks the model that is loaded.

        Args:
            run: the run whose steps the worker did last, if it did any.
            point: the point that it did last.
        """
        node = self.steps[key]
        return (node.turn, not is_on_the_path(node.step), run not in node.runs, node.point != point)


def build_graph(names: Sequence[tuple[str, int]], pipelines: Sequence[Pipeline], threads: int = 1) -> Graph:
    """The graph of an experiment's runs; no model is loaded.

    Args:
        names: arm and seed of each run, in the order of work.
        pipelines: of the same runs.
        threads: of each worker.

    Raises:
        KftError: questions or a model cannot be used.
    """
    turns = {seed: turn for turn, seed in enumerate(dict.fromkeys(seed for _, seed in names))}
    runs: list[RunNode] = []
    steps: dict[str, StepNode] = {}
    for number, ((arm, seed), pipeline) in enumerate(zip(names, pipelines, strict=True)):
        needs = needs_of(pipeline.recipe, pipeline.steps)
        keys: dict[str, str] = {}
        for step in pipeline.steps:
            key = keys[step.name] = pipeline.key(step, keys)
            needed = [keys[need.name] for need in pipeline.steps if need in needs[step]]
            new = StepNode(kind=step.kind, point=step.point, needs=needed, runs=[], turn=turns[seed])
            steps.setdefault(key, new).runs.append(number)
        runs.append(RunNode(arm=arm, seed=seed, steps=keys, trains=bool(pipeline.recipe.stages)))
    return Graph(threads=threads, runs=runs, steps=steps)


def read_graph(path: Path) -> Graph:
    """Read ``graph.json``.

    Raises:
        DataError: it cannot be read, or is something else.
    """
    return read_record(Graph, path, "Run `kft experiment` again, which writes it.")
