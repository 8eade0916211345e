"""What the steps of an experiment cost, or will: measured by finished steps, else by a table of measured rates."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal, get_args

from kft_cli.experiment.graph import Graph
from kft_cli.experiment.store import Store
from kft_cli.pipeline.pipeline import Pipeline
from kft_cli.report.run_layout import BASE, TRAINING, RunLayout
from kft_cli.report.run_records import read_step
from kft_tasks.errors import DataError
from kft_tasks.records import Count, Record, Seconds, read_record
from kft_train.recipes.plan import PlannedStep, Step, dry_run
from kft_train.recipes.recipe import Recipe
from kft_train.stage.training_record import read_training

RateKind = Literal["sampled", "greedy", "test", "training", "elsewhere"]
"""Steps of a kind cost about the same per unit.

=========  ==========================================================================================
sampled    detections with samples; a unit is an answer, of those that would be the most
greedy     detections and measurements of greedy answers; a unit is an answer
test       test accuracy; a unit is an answer
training   stages and controls; a unit is a row that is trained on, or a validation answer
elsewhere  held-out text and further tasks; a unit is such a step
=========  ==========================================================================================
"""

MIXTURE_SHARE = 0.2
"""Share of the training questions that a stage is taken to train on, before that is known."""


class Rate(Record):
    """Seconds and tokens per unit; tokens are read, written or trained on."""

    seconds: Seconds
    tokens: Seconds


class RatesFile(Record):
    """The shipped table.

    Attributes:
        source: how the rates were measured.
    """

    source: str
    rates: dict[RateKind, Rate]


class Cost(Record):
    """What some steps took.

    Attributes:
        tokens: read, written or trained on.
    """

    steps: Count = 0
    seconds: Seconds = 0.0
    cpu_seconds: Seconds = 0.0
    tokens: Seconds = 0.0

    def plus(self, other: Cost) -> Cost:
        """The sum of both."""
        return Cost(
            steps=self.steps + other.steps,
            seconds=self.seconds + other.seconds,
            cpu_seconds=self.cpu_seconds + other.cpu_seconds,
            tokens=self.tokens + other.tokens,
        )


class ExperimentCost(Record):
    """What an experiment took, and what its runs would have taken one by one.

    Attributes:
        kinds: of the steps that were done, by kind of step.
        total: all steps, each once.
        separate: all steps of all runs, as if nothing were shared.
        runs: number of runs.
    """

    kinds: dict[str, Cost]
    total: Cost
    separate: Cost
    runs: Count

    @property
    def saved(self) -> float:
        """Share of the seconds of separate runs that sharing saved."""
        return 1 - self.total.seconds / self.separate.seconds if self.separate.seconds else 0.0


@dataclass(frozen=True)
class Work:
    """How much there is to do in a step."""

    kind: RateKind
    units: float


def works_of(graph: Graph, pipelines: Sequence[Pipeline]) -> dict[str, Work]:
    """The work of every step, by key.

    Args:
        pipelines: of the graph's runs.
    """
    found: dict[str, Work] = {}
    for run, pipeline in zip(graph.runs, pipelines, strict=True):
        for planned, key in zip(dry_run(pipeline.recipe).steps, run.steps.values(), strict=True):
            if key not in found:
                found[key] = _work(pipeline, planned)
    return found


def _work(pipeline: Pipeline, planned: PlannedStep) -> Work:
    detail, recipe = planned.detail, pipeline.recipe
    if planned.kind == "elsewhere":
        return Work("elsewhere", 1)
    if planned.kind in ("train", "control"):
        return Work("training", _training_units(pipeline, planned))
    answers = pipeline.count(planned.step) * detail["max_generations_per_question"]
    if planned.kind == "evaluate":
        return Work("test", answers)
    return Work("greedy" if _is_greedy(recipe, planned) else "sampled", answers)


def _is_greedy(recipe: Recipe, planned: PlannedStep) -> bool:
    if planned.kind == "measure":
        return recipe.protocol_for("measurement").samples == 0
    return planned.name != "base" and recipe.protocol_for("redetection").samples == 0


def _training_units(pipeline: Pipeline, planned: PlannedStep) -> float:
    """Rows and validation answers, on the assumption of :data:`MIXTURE_SHARE`."""
    stages = {stage.name: stage for stage in pipeline.recipe.stages}
    stage = stages.get(planned.name) or pipeline.recipe.stages[-1]
    rows_per_epoch = max(1.0, MIXTURE_SHARE * pipeline.count(Step("detect", BASE)))
    batch = planned.detail["batch_size_per_process"]
    rows = stage.max_steps * batch if stage.max_steps else rows_per_epoch * stage.num_train_epochs
    validations = len(pipeline.validation) * (rows / rows_per_epoch + 1)
    return float(rows + validations)


def shipped_rates() -> RatesFile:
    """The table that comes with kft."""
    return read_record(RatesFile, Path(str(resources.files("kft_cli") / "experiment" / "rates.json")), "Reinstall kft.")


def cost_of(store: Store, key: str) -> Cost:
    """What a finished step took.

    Raises:
        DataError: its record cannot be read.
    """
    record = read_step(_folder(store, key).step_record(store.graph.steps[key].step.name), "Run `kft experiment` again.")
    tokens = sum((record.get("tokens") or {}).values())
    return Cost(steps=1, seconds=record["seconds"], cpu_seconds=record.get("cpu_seconds") or 0.0, tokens=tokens)


def _folder(store: Store, key: str) -> RunLayout:
    return RunLayout(store.layout.home(key))


def measured_rates(store: Store, works: Mapping[str, Work]) -> dict[RateKind, Rate]:
    """Rates of the kinds of which steps are finished."""
    units: dict[RateKind, float] = defaultdict(float)
    costs: dict[RateKind, Cost] = defaultdict(Cost)
    for key in store.done():
        work = works[key]
        try:
            costs[work.kind] = costs[work.kind].plus(cost_of(store, key))
            units[work.kind] += _units_done(store, key, work)
        except DataError:
            continue
    return {
        kind: Rate(seconds=costs[kind].seconds / units[kind], tokens=costs[kind].tokens / units[kind])
        for kind in get_args(RateKind)
        if units[kind]
    }


def _units_done(store: Store, key: str, work: Work) -> float:
    """Of a training, what it really did."""
    if work.kind != "training":
        return work.units
    training: dict[str, Any] = read_training(_folder(store, key).step(store.graph.steps[key].step.name) / TRAINING)
    rows = training["cost"]["steps"] * (training.get("effective_batch_size") or 1)
    return float(rows + sum(row["asked"] for row in training["epochs"]))


@dataclass(frozen=True)
class Estimate:
    """What steps are expected to take.

    Attributes:
        measured: kinds whose rates are of this experiment.
    """

    cost: Callable[[str], Cost]
    measured: frozenset[RateKind]

    def total(self, keys: Iterable[str]) -> Cost:
        """Of several steps; one that is named twice counts twice."""
        found = Cost()
        for key in keys:
            found = found.plus(self.cost(key))
        return found


def estimate(store: Store, works: Mapping[str, Work]) -> Estimate:
    """What every step takes or took; ``cpu_seconds`` are 0 where it is not done."""
    own = measured_rates(store, works)
    rates = {**shipped_rates().rates, **own}

    def cost(key: str) -> Cost:
        if key in store.done():
            try:
                return cost_of(store, key)
            except DataError:
                pass
        work = works[key]
        rate = rates[work.kind]
        return Cost(steps=1, seconds=rate.seconds * work.units, tokens=rate.tokens * work.units)

    return Estimate(cost, frozenset(own))


def experiment_cost(store: Store) -> ExperimentCost:
    """What the finished steps took.

    Raises:
        DataError: a record cannot be read.
    """
    costs = {key: cost_of(store, key) for key in store.graph.steps if key in store.done()}
    kinds: dict[str, Cost] = {}
    total, separate = Cost(), Cost()
    for key, cost in costs.items():
        node = store.graph.steps[key]
        kinds[node.kind] = kinds.get(node.kind, Cost()).plus(cost)
        total = total.plus(cost)
        for _ in node.runs:
            separate = separate.plus(cost)
    return ExperimentCost(kinds=kinds, total=total, separate=separate, runs=len(store.graph.runs))
