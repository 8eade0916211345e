"""Categories of the training questions: shares at each point, movements between points, and the control."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from kft_cli.report.paper import comparable
from kft_cli.report.run_data import Detection, RunData
from kft_cli.report.run_layout import BASE
from kft_cli.stats.intervals import holm, paired_difference
from kft_cli.stats.movement import Matrix, category_shares, is_forgotten, is_upgraded, movement, transition_matrix
from kft_tasks.categories.category import KnowledgeCategory

Moved = Callable[[KnowledgeCategory, KnowledgeCategory], bool]
"""Whether a question moved in some way, from its categories before and after."""


def measure_categories(detection: Detection) -> dict[str, Any]:
    """Count, share and interval of each category."""
    return {category.value: share.to_json() for category, share in category_shares(detection.categories).items()}


def _named(matrix: Matrix) -> dict[str, dict[str, int]]:
    return {row.value: {column.value: count for column, count in line.items()} for row, line in matrix.items()}


def measure_transitions(data: RunData) -> list[dict[str, Any]]:
    """Transitions between all pairs of points; p values against the control are corrected together (Holm)."""
    steps = [_transition(data, before, after) for before, after in data.pairs]
    rows = [row for step in steps if step["against_control"] for row in step["against_control"].values()]
    for row, p in zip(rows, holm([row["mcnemar_p"] for row in rows]), strict=True):
        row["holm_p"] = p
    return steps


def _transition(data: RunData, before: str, after: str) -> dict[str, Any]:
    one, two = data.detections[before].categories, data.detections[after].categories
    matrix = transition_matrix(one, two)
    result: dict[str, Any] = {"before": before, "after": after, "matrix": _named(matrix)}
    result["movement"] = movement(matrix).to_json()
    result["against_control"] = None
    if before == BASE and data.retest is not None:
        result["against_control"] = _against_control(one, two, data.retest.categories)
    return result


def _against_control(
    base: Mapping[str, KnowledgeCategory],
    after: Mapping[str, KnowledgeCategory],
    retest: Mapping[str, KnowledgeCategory],
) -> dict[str, Any]:
    """Training against a second detection of the base model, paired by question: which one moved more of them?"""
    highest = KnowledgeCategory.HIGHLY_KNOWN
    could_rise = [id_ for id_, category in base.items() if category is not highest]
    could_be_forgotten = [id_ for id_, category in base.items() if category is highest]

    def compare(ids: Iterable[str], moved: Moved) -> dict[str, Any]:
        ids = list(ids)
        by_chance = [moved(base[id_], retest[id_]) for id_ in ids]
        return paired_difference(by_chance, [moved(base[id_], after[id_]) for id_ in ids]).to_json()

    return {"upgraded": compare(could_rise, is_upgraded), "forgotten": compare(could_be_forgotten, is_forgotten)}


def measure_control(data: RunData) -> dict[str, Any] | None:
    """What moves when the base model is detected twice; None if it was detected once."""
    if data.retest is None:
        return None
    matrix = transition_matrix(data.base.categories, data.retest.categories)
    protocol, again = data.base.header.protocol.to_json(), data.retest.header.protocol.to_json()
    return {
        "matrix": _named(matrix),
        "movement": movement(matrix).to_json(),
        "shares": measure_categories(data.retest),
        "seed": again["seed"],
        "same_seed": again["seed"] == protocol["seed"],
        "other_settings": sorted(key for key in protocol if key != "seed" and protocol[key] != again[key]),
    }


def measure_comparable(data: RunData, transitions: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The quantities that the run shares with the paper, see :mod:`kft_cli.report.paper`."""
    counts = Counter(category.value for category in data.base.categories.values())
    chain = transitions[: len(data.stages)]
    return comparable(data.recipe.name, {c.value: counts[c.value] for c in KnowledgeCategory}, chain)
