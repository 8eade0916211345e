"""Accuracy on the test questions, asked in every way and under every exemplar set."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kft_cli.report.measures.leaks import measure_trained_on
from kft_cli.report.measures.readings import BOTH, corrected, measure_change, measure_share, sets_of
from kft_cli.report.run_data import RunData, question_digest
from kft_cli.stats.groups import Reading
from kft_tasks.categories.category import KnowledgeCategory
from kft_tasks.evaluation.evaluate import Asking, TestQuestion

Answers = Mapping[str, Mapping[Asking, Sequence[TestQuestion]]]
"""By point, then by way of asking."""


def measure_test(data: RunData) -> dict[str, Any]:
    """Test accuracy at each point and every paired change: overall, by first category, by type, and without leaks."""
    answered = data.test_answers
    return {
        "n": len(answered),
        "digest": question_digest(answered),
        "shots": list(data.recipe.evaluation.shots),
        "groups": _group_codes(answered),
        "accuracy": [
            {"point": point, **asking_keys(asking), **_accuracy(data.answers[point][asking])}
            for asking in data.askings
            for point in data.all_points
        ],
        "differences": measure_differences(
            data.answers,
            data.askings,
            [*data.pairs, *data.control_pairs],
            main=[data.pairs[-1], *data.control_pairs],
        ),
        "by_category": _by_category(data),
        "by_type": _by_type(data),
        "trained_on": measure_trained_on(data),
    }


def measure_differences(
    answers: Answers,
    askings: Sequence[Asking],
    pairs: Sequence[tuple[str, str]],
    readings: Sequence[Reading] = BOTH,
    main: Sequence[tuple[str, str]] = (),
) -> list[dict[str, Any]]:
    """Every paired change, by both readings; p corrected (Holm) over these rows, for each reading apart.

    Args:
        main: the pairs that were the question before anything was measured, see :func:`kft_cli.stats.intervals.holm`.
    """
    return corrected(
        [
            {
                **asking_keys(asking),
                "before": before,
                "after": after,
                "main": (before, after) in main,
                **measure_change(answers[before][asking], answers[after][asking], readings),
            }
            for asking in askings
            for before, after in pairs
        ]
    )


def asking_keys(asking: Asking) -> dict[str, Any]:
    """How a row names a way of asking."""
    return {"shots": asking.shots, "other_type": asking.other_type}


def question_values(row: Mapping[str, Any]) -> list[float]:
    """Share of right answers of each test question, sorted by question id.

    Args:
        row: of ``test.accuracy``; one without ``sets`` is of an older version, with one answer per question.
    """
    sets = int(row.get("sets", 1))
    return [int(count) / sets for count in row["right"]]


def _accuracy(answered: Sequence[TestQuestion]) -> dict[str, Any]:
    """Share, empty answers, and right answers by question: a string of 0 and 1, or counts where sets are several."""
    counts = [sum(item.right) for item in answered]
    return {
        **measure_share(answered),
        "empty": sum(not given.strip() for item in answered for given in item.given),
        "right": "".join(map(str, counts)) if sets_of(answered) == 1 else counts,
    }


def _group_codes(answered: Sequence[TestQuestion]) -> dict[str, list[int]]:
    """Type and subject of each question as numbers in the order of ids, for who has the report and not the run."""
    types: dict[str, int] = {}
    subjects: dict[tuple[str, str], int] = {}
    return {
        "types": [types.setdefault(item.type, len(types)) for item in answered],
        "subjects": [subjects.setdefault((item.type, item.subject or item.id), len(subjects)) for item in answered],
    }


def _by_category(data: RunData) -> list[dict[str, Any]] | None:
    """By category of the base model; tested only where the test drew other exemplars than made the categories."""
    first = data.first_categories
    if first is None:
        return None
    rows = _groups(data, lambda item: first.categories.get(item.id), list(KnowledgeCategory), BOTH)
    if data.recipe.protocol_for("test").seed == first.header.protocol.seed:
        return [_untested(row) for row in rows]
    return corrected(rows)


def _by_type(data: RunData) -> list[dict[str, Any]]:
    types = sorted({item.type for item in data.test_answers})
    return corrected(_groups(data, lambda item: item.type, types, [Reading.THESE_TYPES]))


def _groups(
    data: RunData, group_of: Callable[[TestQuestion], Any], names: Sequence[Any], readings: Sequence[Reading]
) -> list[dict[str, Any]]:
    """Accuracy at each point and the change from first to last, by group of test questions, without empty groups."""
    rows = []
    for asking in data.askings:
        for name in names:
            of_group = {
                point: [item for item in data.answers[point][asking] if group_of(item) == name] for point in data.points
            }
            if of_group[data.points[0]]:
                shares = {point: _share_of_group(items) for point, items in of_group.items()}
                change = measure_change(of_group[data.points[0]], of_group[data.points[-1]], readings)
                rows.append({"group": str(name), **asking_keys(asking), "accuracy": shares, **change})
    return rows


def _share_of_group(answered: Sequence[TestQuestion]) -> dict[str, Any]:
    return {"n": len(answered), "share": sum(item.value for item in answered) / len(answered)}


def _untested(row: Mapping[str, Any]) -> dict[str, Any]:
    """Counts without interval and p: the same answers that made the categories would be tested by them."""
    return {key: value for key, value in row.items() if key not in ("clustered", "mcnemar_p")}
