"""Categories of the training questions: shares at each point, movements between points, and the retest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kft_cli.report.paper import comparable
from kft_cli.report.run_data import Detection, RunData
from kft_cli.report.run_layout import BASE
from kft_cli.stats.movement import Matrix, category_shares, movement, transition_matrix
from kft_tasks.categories.category import KnowledgeCategory

Moved = Callable[[KnowledgeCategory, KnowledgeCategory], bool]
"""Whether a question moved in some way, from its categories before and after."""


def measure_categories(detection: Detection) -> dict[str, Any]:
    """Count, share and interval of each category."""
    return {category.value: share.to_json() for category, share in category_shares(detection.categories).items()}


def _named(matrix: Matrix) -> dict[str, dict[str, int]]:
    return {row.value: {column.value: count for column, count in line.items()} for row, line in matrix.items()}


def measure_transitions(data: RunData) -> list[dict[str, Any]]:
    """Transitions between all pairs of points."""
    return [_transition(data, before, after) for before, after in data.pairs]


def _transition(data: RunData, before: str, after: str) -> dict[str, Any]:
    matrix = transition_matrix(data.told[before].categories, data.told[after].categories)
    result: dict[str, Any] = {"before": before, "after": after, "matrix": _named(matrix)}
    # Reports of this format used to test training against the retest. Two points of a run share their exemplars and
    # samples, the retest shares neither: training that changes nothing came out as p = 7.5e-9.
    return {**result, "movement": movement(matrix).to_json()}


def measure_control(data: RunData) -> dict[str, Any] | None:
    """What moves when the base model is detected twice; None if it was detected once."""
    again = data.measurements.get(BASE)
    if again is None or again.categories.keys() != data.base.categories.keys():
        return None
    matrix = transition_matrix(data.base.categories, again.categories)
    one, two = data.base.header.protocol.to_json(), again.header.protocol.to_json()
    return {
        "matrix": _named(matrix),
        "movement": movement(matrix).to_json(),
        "shares": measure_categories(again),
        "seed": two["seed"],
        "same_seed": two["seed"] == one["seed"],
        "other_settings": sorted(key for key in one if key != "seed" and one[key] != two[key]),
    }


def measure_comparable(data: RunData, transitions: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The quantities that the run shares with the paper, see :mod:`kft_cli.report.paper`."""
    counts = Counter(category.value for category in data.base.categories.values())
    chain = transitions[: len(data.stages)]
    return comparable(data.recipe.name, {c.value: counts[c.value] for c in KnowledgeCategory}, chain)
