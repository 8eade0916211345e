"""Categories of the training questions: shares at each point, movements between points, and the retest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kft_cli.report.paper import comparable
from kft_cli.report.run_data import Detection, RunData
from kft_cli.report.run_layout import BASE
from kft_cli.stats.clusters import clustered_mean
from kft_cli.stats.groups import Reading
from kft_cli.stats.intervals import wilson_share
from kft_cli.stats.movement import Categories, Matrix, movement, transition_matrix
from kft_tasks.categories.category import KnowledgeCategory

Moved = Callable[[KnowledgeCategory, KnowledgeCategory], bool]
"""Whether a question moved in some way, from its categories before and after."""


def greedy_only(data: RunData) -> bool:
    """Whether some point was asked greedily only, so that WeaklyKnown and Unknown cannot be told apart there."""
    return any(detection.header.protocol.samples == 0 for detection in data.told.values())


def told_categories(data: RunData, detection: Detection) -> Categories:
    """Categories as they can be compared between points.

    Where some point was asked greedily only, WeaklyKnown becomes Unknown everywhere, which then means "never right".
    """
    if not greedy_only(data):
        return detection.categories
    weakly, unknown = KnowledgeCategory.WEAKLY_KNOWN, KnowledgeCategory.UNKNOWN
    return {id_: unknown if one is weakly else one for id_, one in detection.categories.items()}


def measure_points(data: RunData) -> dict[str, Any]:
    """Categories at each point, controls included where they were measured."""
    return {
        point: measure_categories(detection, told_categories(data, detection)) for point, detection in data.told.items()
    }


def measure_categories(detection: Detection, categories: Categories) -> dict[str, Any]:
    """Count, share and interval of each category.

    The interval knows that questions come in clusters: it is for types like these, or for these types where there is
    one type only. ``reading`` says which; it is None where there is one question, whose interval is Wilson's.

    Args:
        detection: knows the types and subjects.
        categories: of questions of this detection.
    """
    ids = list(categories)
    groups = detection.question_groups(ids)
    result = {}
    for category in KnowledgeCategory:
        values = [float(categories[id_] is category) for id_ in ids]
        share: dict[str, Any] = {**wilson_share(round(sum(values)), len(ids)).to_json(), "reading": None}
        for reading in (Reading.TYPES_LIKE_THESE, Reading.THESE_TYPES):
            found = clustered_mean(values, groups, reading)
            if found.low is not None:
                share |= {"low": found.low, "high": found.high, "reading": reading.value}
                break
        result[category.value] = share
    return result


def _named(matrix: Matrix) -> dict[str, dict[str, int]]:
    return {row.value: {column.value: count for column, count in line.items()} for row, line in matrix.items()}


def measure_transitions(data: RunData) -> list[dict[str, Any]]:
    """Transitions between all pairs of points."""
    return [_transition(data, before, after) for before, after in data.pairs]


def _transition(data: RunData, before: str, after: str) -> dict[str, Any]:
    one, two = (told_categories(data, data.told[point]) for point in (before, after))
    matrix = transition_matrix(one, two)
    result: dict[str, Any] = {"before": before, "after": after, "matrix": _named(matrix)}
    # Reports of this format used to test training against the retest. Two points of a run share their exemplars and
    # samples, the retest shares neither: training that changes nothing came out as p = 7.5e-9.
    return {**result, "movement": movement(matrix).to_json()}


def measure_control(data: RunData) -> dict[str, Any] | None:
    """What moves when the base model is asked twice, in the questions asked both times; None if it was asked once."""
    again = data.measurements.get(BASE)
    if again is None:
        return None
    two = told_categories(data, again)
    one = {id_: category for id_, category in told_categories(data, data.base).items() if id_ in two}
    matrix = transition_matrix(one, two)
    first, second = data.base.header.protocol.to_json(), again.header.protocol.to_json()
    expected = {"seed", "samples"} if greedy_only(data) else {"seed"}
    return {
        "matrix": _named(matrix),
        "movement": movement(matrix).to_json(),
        "detected": measure_categories(data.base, one),
        "shares": measure_categories(again, two),
        "seed": second["seed"],
        "same_seed": second["seed"] == first["seed"],
        "other_settings": sorted(key for key in first if key not in expected and first[key] != second[key]),
    }


def measure_comparable(data: RunData, transitions: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The quantities that the run shares with the paper, see :mod:`kft_cli.report.paper`."""
    counts = Counter(category.value for category in data.base.categories.values())
    chain = transitions[: len(data.stages)]
    return comparable(data.recipe.name, {c.value: counts[c.value] for c in KnowledgeCategory}, chain)
