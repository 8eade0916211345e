"""The paper's counts, and the same quantities of a run, so that they can be shown side by side.

The paper's later detections are greedy only: WeaklyKnown and Unknown become one level, "never right greedily". For a
comparison, a run's own categories are merged in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kft_cli.report.published_record import read_published
from kft_cli.stats.intervals import Share, wilson_share
from kft_tasks.categories.category import KnowledgeCategory

NEVER_RIGHT = "NeverRight"
_LEVELS = {"HighlyKnown": 2, "MaybeKnown": 1, "WeaklyKnown": 0, "Unknown": 0, NEVER_RIGHT: 0}

NamedMatrix = Mapping[str, Mapping[str, int]]


def load_paper() -> dict[str, Any]:
    """The counts of Li et al. 2024, each with its source: ``published/gradual-learning.json``."""
    return read_published("gradual-learning").model_dump(mode="json")


def load_slick() -> dict[str, Any]:
    """The accuracies of Gekhman et al. 2024, with their source: ``published/slick.json``."""
    return read_published("slick").model_dump(mode="json")


def greedy_upgraded(matrix: NamedMatrix) -> Share:
    """Questions whose greedy level rose, out of those that were not HighlyKnown.

    Levels: never right greedily, MaybeKnown, HighlyKnown.
    """
    could = sum(sum(line.values()) for row, line in matrix.items() if row != "HighlyKnown")
    return wilson_share(_count(matrix, lambda row, column: _LEVELS[column] > _LEVELS[row]), could)


def forgotten(matrix: NamedMatrix) -> Share:
    """Questions that are no longer HighlyKnown afterwards, out of those that were."""
    highest = matrix["HighlyKnown"]
    return wilson_share(sum(highest.values()) - highest["HighlyKnown"], sum(highest.values()))


def never_right_any_more(matrix: NamedMatrix) -> Share:
    """Questions that are never right greedily afterwards, out of those that were HighlyKnown."""
    highest = matrix["HighlyKnown"]
    lowest = sum(count for column, count in highest.items() if _LEVELS[column] == 0)
    return wilson_share(lowest, sum(highest.values()))


def highly_known_counts(matrices: Sequence[NamedMatrix]) -> list[int]:
    """HighlyKnown questions at each point of a chain of transitions, starting with the first "before"."""
    if not matrices:
        return []
    first = sum(matrices[0]["HighlyKnown"].values())
    return [first, *(sum(line["HighlyKnown"] for line in matrix.values()) for matrix in matrices)]


def growth_of_gain(counts: Sequence[int]) -> float | None:
    """The paper's headline: gain in HighlyKnown after the last stage divided by the gain after the first, minus 1.

    It is 0.24 for the paper's run A, whose count itself grows by 7.5 % from stage 1 to stage 2. None where there are
    fewer than two stages or the first gained nothing.
    """
    if len(counts) < 3 or counts[1] <= counts[0]:
        return None
    return (counts[-1] - counts[0]) / (counts[1] - counts[0]) - 1


def comparable(name: str, first_detection: Mapping[str, int], chain: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The quantities that a run and the paper share.

    Args:
        first_detection: questions of each category.
        chain: consecutive transitions, each with ``before``, ``after`` and ``matrix``.
    """
    n = sum(first_detection.values())
    counts = highly_known_counts([step["matrix"] for step in chain])
    return {
        "name": name,
        "n": n,
        "shares": {c.value: wilson_share(first_detection[c.value], n).to_json() for c in KnowledgeCategory},
        "stages": [
            {
                "before": step["before"],
                "after": step["after"],
                "greedy_upgraded": greedy_upgraded(step["matrix"]).to_json(),
                "forgotten": forgotten(step["matrix"]).to_json(),
                "never_right_any_more": never_right_any_more(step["matrix"]).to_json(),
            }
            for step in chain
        ],
        "highly_known": counts,
        "growth_of_gain": growth_of_gain(counts),
    }


def paper_runs() -> list[dict[str, Any]]:
    """The paper's runs, see :func:`comparable`."""
    runs = load_paper()["runs"]
    return [
        comparable(f"paper, run {run['name']}", run["first_detection"]["counts"], run["transitions"]) for run in runs
    ]


def _count(matrix: NamedMatrix, chosen: Any) -> int:
    return sum(count for row, line in matrix.items() for column, count in line.items() if chosen(row, column))
