"""Counts of a detection, for progress and for the report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from kft_tasks.categories.category import KnowledgeCategory
from kft_tasks.categories.category_file import CategorizedQuestion
from kft_tasks.protocol.protocol import RecordedProtocol


@dataclass
class DetectionCount:
    """Questions decided, generations made, generations saved.

    Attributes:
        categories: number of decided questions by category.
        made: generations made, counting greedy answers and samples.
        exhaustive: generations that the exhaustive protocol would have made for the same questions.
    """

    categories: Counter[str] = field(default_factory=Counter)
    made: int = 0
    exhaustive: int = 0

    @property
    def questions(self) -> int:
        """Number of decided questions."""
        return sum(self.categories.values())

    @property
    def saved(self) -> int:
        """Generations that laziness saved."""
        return self.exhaustive - self.made

    def add(self, items: Sequence[CategorizedQuestion], protocol: RecordedProtocol) -> None:
        """Count decided questions."""
        for item in items:
            self.categories[item.category.value] += 1
            self.made += item.greedy.asked + item.sampled.asked
            self.exhaustive += protocol.exemplar_sets + protocol.sampled_total

    def line(self) -> str:
        """A short note for a progress bar."""
        shares = " ".join(f"{category} {self.categories.get(category.value, 0)}" for category in KnowledgeCategory)
        return f"{shares} | {self.made:,} generations, {self.saved:,} saved"
