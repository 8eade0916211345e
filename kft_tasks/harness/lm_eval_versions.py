"""What differs between lm-eval 0.4 and 0.5 for a task class, told apart by what there is and never by a version.

| | 0.4.13 | 0.5.0.dev1 |
|---|---|---|
| ``construct_requests`` is told | ``metadata=(task, document, repeats)`` | ``doc_id=`` |
| an ``Instance`` takes | ``metadata`` | ``task_name``, ``doc_id``, ``repeats`` |
| a task's filters are in | ``task._filters`` | one scorer each, ``task._scorers`` |
| ``process_results`` gets | a list of answers per request | all answers of a document in one list |
| ``task.dataset`` is loaded | when the task is made | when it is first used |
| a metric of generated answers gives | a number, for one answer | a list, one number per repeat |
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lm_eval.api import registry
from lm_eval.api.filter import Filter, FilterEnsemble
from lm_eval.api.instance import Instance
from lm_eval.api.task import ConfigurableTask

FILTER = "none"
"""Name of the only filter, as lm-eval calls one that a task does not name."""

LM_EVALS_KEYS = ("_qualified_name",)
"""Keys that lm-eval itself adds to a task's configuration, such as the name within its group."""

_FIELDS = {field.name for field in dataclasses.fields(Instance)}


class VersionedTask(ConfigurableTask):
    """A task class that both versions of lm-eval can run; subclasses see one interface.

    Subclasses write :meth:`requests_of` and :meth:`values_of` in place of ``construct_requests`` and
    ``process_results``.
    """

    def __init__(self, config: dict[str, Any], make_filter: Callable[[], Filter]) -> None:
        super().__init__(config=config)
        self._make_filter = make_filter
        self._use_own_filter()
        _ = self.dataset  # both versions report missing data before the model is asked

    def _use_own_filter(self) -> None:
        """Filter answers as the subclass says: 0.4 would keep only the first of several."""
        ensemble = FilterEnsemble(name=FILTER, filters=[self._make_filter])
        if hasattr(self, "_scorers"):
            from lm_eval.scorers import GenScorer

            self._scorers = [GenScorer(name=FILTER, filter=ensemble, metrics=[])]
        else:
            self._filters = [ensemble]

    def override_metric(self, metric_name: str) -> None:
        """Replace the metrics, for ``--predict_only``; the filter stays."""
        super().override_metric(metric_name)
        self._use_own_filter()

    def construct_requests(
        self, doc: dict[str, Any], ctx: Any, metadata: Any = None, *, doc_id: int | None = None, **kwargs: Any
    ) -> list[Any]:
        """The requests for a document."""
        number = metadata[1] if doc_id is None else doc_id
        return self.requests_of(doc, ctx, number)

    def requests_of(self, doc: dict[str, Any], ctx: Any, number: int) -> list[Any]:
        """The requests for a document.

        Args:
            doc: the document.
            ctx: what ``fewshot_context`` gave.
            number: of the document.
        """
        raise NotImplementedError

    def process_results(self, doc: dict[str, Any], results: Sequence[Any]) -> dict[str, Any]:
        """The metrics of a document."""
        return self.values_of(doc, results_by_request(results, self.answers_per_request()))

    def values_of(self, doc: dict[str, Any], results: Sequence[Sequence[str]]) -> dict[str, Any]:
        """The metrics of a document.

        Args:
            doc: the document.
            results: the filtered answers to each request, at least as many as asked for.
        """
        raise NotImplementedError

    def answers_per_request(self) -> list[int]:
        """Number of answers that each request of a document asks for."""
        raise NotImplementedError


def instance_place(task: str, doc_id: int, repeats: int, target: str) -> Mapping[str, Any]:
    """Where a request belongs, as arguments of ``Instance``; 0.4 unpacks the metadata, 0.5 takes the rest by name.

    Args:
        target: what is right, for the sample log; 0.4 asks the task for it.
    """
    place = {"task_name": task, "doc_id": doc_id, "repeats": repeats, "metadata": (task, doc_id, repeats)}
    return {**place, "target": target} if "target" in _FIELDS else place


def results_by_request(results: Sequence[Any], sizes: Sequence[int]) -> list[Sequence[str]]:
    """The answers to each request of a document, from either version's ``results``.

    A rank with fewer requests is padded by repeats of its last one: surplus answers are the last request's.
    """
    if not results or not isinstance(results[0], str):
        return list(results)
    grouped: list[Sequence[str]] = []
    start = 0
    for size in sizes:
        grouped.append(results[start : start + size])
        start += size
    return grouped


def metric_value(scores: list[float]) -> Any:
    """What a metric of generated answers returns for its scores, one per answer."""
    return scores if hasattr(registry, "scorer_registry") else sum(scores) / len(scores)
