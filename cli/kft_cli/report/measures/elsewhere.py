"""Forgetting elsewhere: types that no stage trained on, held-out text, further tasks of lm-eval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kft_cli.report.measures.accuracy import asking_keys, measure_differences
from kft_cli.report.measures.readings import measure_share
from kft_cli.report.run_data import RunData
from kft_cli.report.run_layout import BASE
from kft_cli.stats.estimates import Estimate, weighted_mean
from kft_cli.stats.groups import QuestionGroups, Reading
from kft_tasks.evaluation.evaluate import Asking, TestQuestion
from kft_tasks.evaluation.further_tasks import MetricRecord
from kft_tasks.evaluation.text_loss import PassageLoss


def measure_elsewhere(data: RunData) -> dict[str, Any] | None:
    """What training did besides the questions that it was for; None where nothing of it was measured."""
    held_out = set(data.recipe.questions.held_out_types)
    if not held_out and not data.elsewhere:
        return None
    return {
        "held_out_types": _held_out_types(data, held_out) if held_out else None,
        "text": _text(data),
        "tasks": _tasks(data),
    }


def _spans(data: RunData) -> list[tuple[str, str]]:
    """From the base model to every other point, and from each control to its stage."""
    return [*((BASE, point) for point in data.all_points[1:]), *data.control_pairs]


def _held_out_types(data: RunData, types: set[str]) -> dict[str, Any]:
    """Test accuracy on the questions of held-out types; changes tested as those of all test questions are."""
    answers: dict[str, dict[Asking, Sequence[TestQuestion]]] = {
        point: {asking: [item for item in items if item.type in types] for asking, items in ways.items()}
        for point, ways in data.answers.items()
    }
    accuracy = [
        {"point": point, **asking_keys(asking), **_shown(measure_share(answers[point][asking]))}
        for asking in data.askings
        for point in data.all_points
    ]
    main = [(BASE, data.points[-1]), *data.control_pairs]
    changes = measure_differences(answers, data.askings, _spans(data), main=main)
    return {"types": sorted(types), "accuracy": accuracy, "changes": changes}


def _shown(share: Mapping[str, Any]) -> dict[str, Any]:
    return {key: share[key] for key in ("n", "share", "low", "high", "reading")}


def _text(data: RunData) -> dict[str, Any] | None:
    """Nats per token of the held-out text; intervals over passages of these kinds."""
    losses = {point: one.text.passages for point, one in data.elsewhere.items() if one.text is not None}
    if not losses:
        return None
    base = losses[BASE]
    first = data.elsewhere[BASE].text
    assert first is not None
    return {
        "digest": first.digest,
        "passages": len(base),
        "tokens": sum(passage.tokens for passage in base),
        "points": [{"point": point, **loss_estimate(one).to_json()} for point, one in losses.items()],
        "changes": [
            {"before": one, "after": two, **loss_estimate(losses[two], losses[one]).to_json()}
            for one, two in _spans(data)
        ],
    }


def loss_estimate(losses: Sequence[PassageLoss], before: Sequence[PassageLoss] | None = None) -> Estimate:
    """Nats per token over all passages, or how it changed, with an interval over passages."""
    import numpy as np

    tokens = np.array([passage.tokens for passage in losses], dtype=float)
    nats = np.array([passage.nats for passage in losses])
    if before is not None:
        nats = nats - np.array([passage.nats for passage in before])
    groups = QuestionGroups([passage.type for passage in losses], [passage.id for passage in losses])
    return weighted_mean(nats / tokens, tokens, groups, Reading.THESE_TYPES)


def _tasks(data: RunData) -> list[dict[str, Any]]:
    """Each metric of each further task at every point, and how it changed."""
    found = {point: one.tasks.tasks for point, one in data.elsewhere.items() if one.tasks is not None}
    if not found:
        return []
    rows = []
    for number, task in enumerate(found[BASE]):
        for index, metric in enumerate(task.metrics):
            at = {point: tasks[number].metrics[index] for point, tasks in found.items()}
            rows.append(
                {
                    "task": task.task,
                    "version": task.version,
                    "shots": task.shots,
                    "n": task.n,
                    "metric": metric.metric,
                    "filter": metric.filter,
                    "higher_is_better": metric.higher_is_better,
                    "main": index == 0,
                    "points": [{"point": point, "value": one.value, "stderr": one.stderr} for point, one in at.items()],
                    "changes": [
                        {"before": one, "after": two, **metric_change(at[one], at[two])} for one, two in _spans(data)
                    ],
                }
            )
    return rows


def metric_change(before: MetricRecord, after: MetricRecord) -> dict[str, Any]:
    """The change of a metric; its interval is over documents, taken as independent, where their values are known."""
    import numpy as np

    difference = after.value - before.value
    if before.values is None or after.values is None or len(before.values) != len(after.values):
        return {"difference": difference, "low": None, "high": None}
    changes = np.array(after.values) - np.array(before.values)
    names = [str(number) for number in range(len(changes))]
    found = weighted_mean(changes, np.ones(len(changes)), QuestionGroups(["task"] * len(names), names), _DOCUMENTS)
    return {"difference": difference, "low": found.low, "high": found.high}


_DOCUMENTS = Reading.THESE_TYPES  # every document is a subject of its own
