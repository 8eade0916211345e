"""Any tasks of lm-eval on a loaded model, recorded with their standard errors and, where there are any, by document."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from kft_tasks.errors import KftError, UnavailableError, UsageError, shortened, suggest
from kft_tasks.files import home_path, write_json
from kft_tasks.records import Count, Record, read_record

_RESAMPLES = 1_000  # for the standard errors of metrics that are no means


class MetricRecord(Record):
    """One metric of a task.

    Attributes:
        filter: lm-eval's filter of the answers, "none" where there is no other.
        stderr: as lm-eval has it; None where it has none.
        higher_is_better: None where the task does not say.
        values: by document, in the order of the task; None where the metric has no numbers by document.
    """

    metric: str
    filter: str
    value: float
    stderr: Annotated[float, Field(ge=0)] | None
    higher_is_better: bool | None
    values: list[float] | None


class TaskRecord(Record):
    """One task; a group has no documents of its own."""

    task: str
    version: str
    shots: Count | None
    n: Count | None
    metrics: Annotated[list[MetricRecord], Field(min_length=1)]

    def main(self) -> MetricRecord:
        """The metric that stands for the task: its first one."""
        return self.metrics[0]


class FurtherTasks(Record):
    """The file of an evaluation."""

    format: Literal["kft-further-tasks/1"]
    lm_eval: str
    tasks: list[TaskRecord]


def evaluate_tasks(names: Sequence[str], lm: Any, folder: str | None = None, limit: int | None = None) -> FurtherTasks:
    """Run tasks with ``lm_eval.simple_evaluate``, with its own seeds and settings.

    Args:
        names: tasks, groups or tags of lm-eval.
        lm: a loaded model of lm-eval.
        folder: holds further task files, as ``lm_eval --include_path`` takes it.
        limit: documents of each task; None for all.

    Raises:
        UsageError: there is no such task.
        UnavailableError: the task's data is not here and cannot be fetched, or the task fails.
    """
    from lm_eval import __version__, simple_evaluate

    manager = _manager_for(tuple(names), folder)
    try:
        results = simple_evaluate(
            lm, tasks=list(names), task_manager=manager, limit=limit, bootstrap_iters=_RESAMPLES, log_samples=True
        )
    except KftError:
        raise
    except Exception as error:  # a task may raise anything: its data, its code, its answers
        reason = shortened(" ".join(str(error).split()))
        raise UnavailableError(
            f"evaluation.also ({', '.join(names)}): lm-eval cannot run it ({type(error).__name__}: {reason}). "
            "Fetch the task's data first, or remove the task."
        ) from error
    tasks = [found for name in results["results"] if (found := _task(name, results))]
    return FurtherTasks(format="kft-further-tasks/1", lm_eval=__version__, tasks=tasks)


def write_further_tasks(path: Path, found: FurtherTasks) -> None:
    """Write the file of an evaluation."""
    write_json(path, found.model_dump(mode="json"))


def read_further_tasks(path: Path, remedy: str) -> FurtherTasks:
    """Read what :func:`write_further_tasks` wrote.

    Raises:
        DataError: it cannot be read, or is something else.
    """
    return read_record(FurtherTasks, path, remedy, "not an evaluation of further tasks")


@lru_cache(maxsize=4)  # lm-eval reads 14,000 files for its own tasks, which takes seconds
def _manager_for(names: tuple[str, ...], folder: str | None) -> Any:
    """A task manager that knows these names: of the folder alone where that is enough."""
    from lm_eval.tasks import TaskManager

    place = None if folder is None else str(home_path(folder, "evaluation.also_folder").absolute())
    if place is not None:
        if not Path(place).is_dir():
            raise UsageError(f"evaluation.also_folder: {folder} is not a folder. Name the folder of the task files.")
        own = TaskManager(include_defaults=False, include_path=place)
        if set(names) <= set(own.all_tasks):
            return own
    manager = TaskManager(include_path=place)
    for name in names:
        if name not in manager.all_tasks:
            raise UsageError(f"evaluation.also: lm-eval has no task {name!r}. {_nearest(name, manager.all_tasks)}")
    return manager


def _nearest(name: str, known: Sequence[str]) -> str:
    words = suggest(name, known)
    return words.partition(" Known:")[0] if words.startswith("Did") else "`lm_eval ls tasks` lists them."


def _task(name: str, results: Mapping[str, Any]) -> TaskRecord | None:
    """What lm-eval measured of a task; None for a group that has no numbers of its own."""
    values = results["results"][name]
    samples = results.get("samples", {}).get(name)
    better = results.get("higher_is_better", {}).get(name) or {}
    metrics = []
    for key, value in values.items():
        metric, comma, filter_ = key.partition(",")
        number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
        if not comma or metric.endswith("_stderr") or not number:
            continue
        error = values.get(f"{metric}_stderr,{filter_}")
        stderr = float(error) if isinstance(error, (int, float)) and math.isfinite(error) else None
        record = MetricRecord(
            metric=metric,
            filter=filter_,
            value=float(value),
            stderr=stderr,
            higher_is_better=better.get(metric),
            values=_by_document(samples, metric, filter_),
        )
        metrics.append(record)
    if not metrics:
        return None
    shots, effective = results.get("n-shot", {}).get(name), results.get("n-samples", {}).get(name, {}).get("effective")
    return TaskRecord(
        task=name,
        version=str(results.get("versions", {}).get(name)),
        shots=shots if isinstance(shots, int) else None,
        n=effective,
        metrics=metrics,
    )


def _by_document(samples: Sequence[Mapping[str, Any]] | None, metric: str, filter_: str) -> list[float] | None:
    """The metric of each document; None for metrics that are no mean over documents."""
    rows = sorted((row for row in samples or () if row.get("filter") == filter_), key=lambda row: row["doc_id"])
    values = [row.get(metric) for row in rows]
    numbers = [float(value) for value in values if isinstance(value, (int, float)) and math.isfinite(value)]
    return numbers if numbers and len(numbers) == len(values) else None
