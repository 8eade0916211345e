"""Test questions that some stage trained on under another id: by their text, or by their type and subject."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from kft_cli.report.measures.measured import trained_ids
from kft_cli.report.measures.readings import corrected, measure_change
from kft_cli.report.run_data import RunData, Stage
from kft_tasks.categories.category_file import CategoryFile
from kft_tasks.evaluation.evaluate import TestQuestion
from kft_tasks.question_sets.splits.overlap import plain_text
from kft_tasks.questions import Question
from kft_train.data.repeats import Repeats


def measure_trained_on(data: RunData) -> dict[str, Any]:
    """How many test questions were trained on, and the change from first to last with and without them.

    A question of the same text asks for the same answer; one of the same type and subject asks the same in other
    words. Questions that a part may draw in a later epoch count as trained on.

    Returns:
        ``n`` test questions, ``with_subject`` of them whose subject is known, ``by_text``, ``by_subject`` (same type
        and subject) and ``either``: numbers of test questions; ``rows``: the change without and with these questions,
        none where there are no such questions.
    """
    trained = Repeats(question for stage in data.stages for question in _trained(data, stage))
    tested = data.test_answers
    by_text = {item.id for item in tested if trained.same_text(item)}
    by_subject = {item.id for item in tested if trained.same_subject(item)}
    either = by_text | by_subject
    return {
        "n": len(tested),
        "with_subject": sum(bool(plain_text(item.subject)) for item in tested),
        "by_text": len(by_text),
        "by_subject": len(by_subject),
        "either": len(either),
        "rows": _with_and_without(data, either) if either else [],
    }


def _trained(data: RunData, stage: Stage) -> Iterator[Question]:
    """Questions that some epoch may have trained on; the mixture's file holds those of the first epoch only."""
    first = {item.question.id: item.question for item in stage.mixture.items}
    yield from first.values()
    later = trained_ids(data, stage) - first.keys()
    if later:
        file = CategoryFile(data.detections[stage.before].path)
        yield from (item.question for item in file if item.question.id in later)


def _with_and_without(data: RunData, trained_on: set[str]) -> list[dict[str, Any]]:
    """Questions not trained on, then those trained on, in each way of asking; Holm over these rows."""
    rows = []
    for asking in data.askings:
        before, after = (data.answers[point][asking] for point in (data.points[0], data.points[-1]))
        for inside in (False, True):
            pair = [_only(items, trained_on, inside) for items in (before, after)]
            if pair[0]:
                keys = {"shots": asking.shots, "other_type": asking.other_type, "trained_on": inside}
                rows.append({**keys, **measure_change(pair[0], pair[1])})
    return corrected(rows)


def _only(answered: Sequence[TestQuestion], trained_on: set[str], inside: bool) -> list[TestQuestion]:
    return [item for item in answered if (item.id in trained_on) is inside]
