"""Changes in test accuracy under two readings: other questions of these types, and other types like these."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kft_cli.report.run_data import RunData
from kft_cli.stats.clusters import QuestionGroups, Reading, clustered_difference
from kft_cli.stats.intervals import holm
from kft_cli.stats.power import detectable
from kft_tasks.evaluation.evaluate import Asking, TestQuestion


def add_readings(data: RunData, rows: Sequence[dict[str, Any]]) -> None:
    """Give each change ``clustered``: by reading its interval, p, design effect and minimum detectable effect.

    ``holm_p`` covers all rows under the same reading: every pair of points and number of exemplars.

    Args:
        data: the run.
        rows: changes with ``shots``, ``before`` and ``after``; written into.
    """
    groups = question_groups(data.test_answers)
    for row in rows:
        before, after = (_right(data.answers[row[point]][Asking(row["shots"])]) for point in ("before", "after"))
        found = {reading: clustered_difference(before, after, groups, reading) for reading in Reading}
        row["clustered"] = {
            reading.value: {**one.to_json(), "detectable": detectable(one).to_json(), "holm_p": None}
            for reading, one in found.items()
        }
    for reading in Reading:
        tested = [one for one in (row["clustered"][reading.value] for row in rows) if one["p"] is not None]
        for one, p in zip(tested, holm([one["p"] for one in tested]), strict=True):
            one["holm_p"] = p


def question_groups(answered: Sequence[TestQuestion]) -> QuestionGroups:
    """Type and subject of each question; a question of no known subject is a subject of its own."""
    return QuestionGroups([item.type for item in answered], [item.subject or item.id for item in answered])


def _right(answered: Sequence[TestQuestion]) -> list[float]:
    return [item.value for item in answered]
