"""Accuracy on the test questions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kft_cli.report.measures.readings import add_readings
from kft_cli.report.run_data import RunData, question_digest
from kft_cli.stats.intervals import holm, paired_difference, wilson_share
from kft_tasks.categories.category import KnowledgeCategory
from kft_tasks.evaluation.evaluate import Asking, TestQuestion


def measure_test(data: RunData) -> dict[str, Any]:
    """Test accuracy at each point and every paired change: overall, by first category and by type."""
    answers = data.test_answers
    accuracy = [
        {
            "point": point,
            "shots": shots,
            **wilson_share(sum(item.value == 1 for item in items), len(items)).to_json(),
            "empty": round(sum(item.empty for item in items)),
            "right": "".join("1" if item.value == 1 else "0" for item in items),
        }
        for shots in data.recipe.evaluation.shots
        for point, items in ((point, data.answers[point][Asking(shots)]) for point in data.points)
    ]
    categories = {} if data.first_categories is None else data.first_categories.categories
    by_category = _groups(data, lambda item: categories.get(item.id), list(KnowledgeCategory))
    return {
        "n": len(answers),
        "digest": question_digest(answers),
        "shots": list(data.recipe.evaluation.shots),
        "accuracy": accuracy,
        "differences": measure_differences(data),
        "by_category": [_untested(row) for row in by_category] if data.first_categories else None,
        "by_type": _holm_rows(_groups(data, lambda item: item.type, sorted({item.type for item in answers}))),
    }


def measure_differences(data: RunData) -> list[dict[str, Any]]:
    """Every paired change of test accuracy, with both readings; p corrected (Holm) over these rows."""
    rows = []
    for shots in data.recipe.evaluation.shots:
        for before, after in data.pairs:
            one, two = data.answers[before][Asking(shots)], data.answers[after][Asking(shots)]
            values = paired_difference([item.value == 1 for item in one], [item.value == 1 for item in two]).to_json()
            from_empty = sum(first.empty == 1 and second.value == 1 for first, second in zip(one, two, strict=True))
            rows.append({"shots": shots, "before": before, "after": after, **values, "gained_from_empty": from_empty})
    add_readings(data, rows)
    return _holm_rows(rows)


def _holm_rows(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    corrected = holm([row["mcnemar_p"] for row in rows])
    return [{**row, "holm_p": p} for row, p in zip(rows, corrected, strict=True)]


def _groups(data: RunData, group_of: Callable[[TestQuestion], Any], names: Sequence[Any]) -> list[dict[str, Any]]:
    """Accuracy at each point and the change from first to last, by group of test questions, without empty groups."""
    rows = []
    for shots in data.recipe.evaluation.shots:
        for name in names:
            right = {
                point: [item.value == 1 for item in data.answers[point][Asking(shots)] if group_of(item) == name]
                for point in data.points
            }
            first, last = right[data.points[0]], right[data.points[-1]]
            if first:
                shares = {point: wilson_share(sum(each), len(each)).to_json() for point, each in right.items()}
                values = paired_difference(first, last).to_json()
                rows.append({"group": str(name), "shots": shots, "accuracy": shares, **values})
    return rows


def _untested(row: Mapping[str, Any]) -> dict[str, Any]:
    """Counts without interval and p: the same answers that made the categories would be tested by them."""
    return {key: value for key, value in row.items() if key not in ("low", "high", "mcnemar_p")}
