"""How mastery categories are distributed, and how they move between two detections of the same questions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from kft_cli.stats.intervals import Share, wilson_share
from kft_tasks.categories.category import KnowledgeCategory
from kft_tasks.errors import UsageError

Categories = Mapping[str, KnowledgeCategory]
"""Category by question id."""

Matrix = dict[KnowledgeCategory, dict[KnowledgeCategory, int]]
"""Number of questions by category before (outer) and after (inner); always all sixteen cells."""


@dataclass(frozen=True)
class Movement:
    """How categories moved between two detections of the same questions.

    Attributes:
        upgraded: category rose; of the questions that could rise (not HighlyKnown before).
        downgraded: category fell; of the questions that could fall (not Unknown before).
        forgotten: HighlyKnown before and lower after; of those HighlyKnown before. Part of ``downgraded``.
        never_right_any_more: HighlyKnown before, WeaklyKnown or Unknown after; of those HighlyKnown before.
        unchanged: same category; of all questions.
    """

    n: int
    upgraded: Share
    downgraded: Share
    forgotten: Share
    never_right_any_more: Share
    unchanged: Share

    def to_json(self) -> dict[str, Any]:
        """The record as JSON values."""
        return asdict(self)


def category_shares(categories: Categories) -> dict[KnowledgeCategory, Share]:
    """Count, share and interval of each of the four categories."""
    counts = Counter(categories.values())
    return {category: wilson_share(counts[category], len(categories)) for category in KnowledgeCategory}


def transition_matrix(before: Categories, after: Categories) -> Matrix:
    """Category before x category after.

    Raises:
        UsageError: the two detections are not of the same questions.
    """
    if before.keys() != after.keys():
        raise UsageError("The two detections are of different questions. Detect the same questions both times.")
    cells = Counter((category, after[id_]) for id_, category in before.items())
    return {row: {column: cells[row, column] for column in KnowledgeCategory} for row in KnowledgeCategory}


def movement(matrix: Matrix) -> Movement:
    """Upgraded, downgraded, forgotten and unchanged questions of a transition matrix."""
    best, worst = KnowledgeCategory.HIGHLY_KNOWN, KnowledgeCategory.UNKNOWN
    cells = [(row, column, count) for row, line in matrix.items() for column, count in line.items()]
    n = sum(count for _, _, count in cells)
    highest, lowest = sum(matrix[best].values()), sum(matrix[worst].values())
    never = matrix[best][KnowledgeCategory.WEAKLY_KNOWN] + matrix[best][worst]
    return Movement(
        n=n,
        upgraded=wilson_share(sum(count for row, column, count in cells if column.rank > row.rank), n - highest),
        downgraded=wilson_share(sum(count for row, column, count in cells if column.rank < row.rank), n - lowest),
        forgotten=wilson_share(highest - matrix[best][best], highest),
        never_right_any_more=wilson_share(never, highest),
        unchanged=wilson_share(sum(matrix[category][category] for category in KnowledgeCategory), n),
    )


def is_upgraded(before: KnowledgeCategory, after: KnowledgeCategory) -> bool:
    """Whether the category rose."""
    return after.rank > before.rank


def is_forgotten(before: KnowledgeCategory, after: KnowledgeCategory) -> bool:
    """Whether it was HighlyKnown and no longer is."""
    return before is KnowledgeCategory.HIGHLY_KNOWN and after is not before
