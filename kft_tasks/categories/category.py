"""The four SliCK categories and the decision, exhaustive or lazy (Gekhman et al. 2024, section 3)."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from kft_tasks.errors import UsageError


class KnowledgeCategory(str, enum.Enum):
    """How well a model has mastered a question, always "for model M under protocol P"."""

    HIGHLY_KNOWN = "HighlyKnown"
    MAYBE_KNOWN = "MaybeKnown"
    WEAKLY_KNOWN = "WeaklyKnown"
    UNKNOWN = "Unknown"

    def __str__(self) -> str:
        return self.value

    @property
    def rank(self) -> int:
        """3 for HighlyKnown down to 0 for Unknown; "upgraded" means that the rank rose."""
        return len(_BEST_FIRST) - 1 - _BEST_FIRST.index(self)


_BEST_FIRST = tuple(KnowledgeCategory)


@dataclass(frozen=True)
class Tally:
    """How many of the answers asked for were right."""

    right: int = 0
    asked: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.right <= self.asked:
            raise UsageError(f"{self.right} right answers out of {self.asked} are impossible.")

    @property
    def wrong(self) -> int:
        """Answers that were not right."""
        return self.asked - self.right

    @property
    def share(self) -> float | None:
        """P_correct over what was asked, or None if nothing was."""
        return self.right / self.asked if self.asked else None

    def plus(self, right: int, asked: int) -> Tally:
        """A tally that includes more answers."""
        return Tally(self.right + right, self.asked + asked)


def decide(greedy: Tally, sampled: Tally, *, greedy_total: int, sampled_total: int) -> KnowledgeCategory | None:
    """The category as soon as no further answer can change it, else None.

    Args:
        greedy: greedy answers so far, one per exemplar set.
        sampled: sampled answers so far; they matter only if every greedy answer is wrong.
        greedy_total: greedy answers of the whole protocol (exemplar sets), at least 1.
        sampled_total: sampled answers of the whole protocol (exemplar sets x samples), possibly 0.

    Raises:
        UsageError: a protocol without greedy answers, or more answers than it has.
    """
    if greedy_total < 1 or sampled_total < 0:
        raise UsageError("A category needs at least one greedy answer. Ask for one exemplar set or more.")
    if greedy.asked > greedy_total or sampled.asked > sampled_total:
        raise UsageError(
            f"{greedy.asked} greedy and {sampled.asked} sampled answers are more than the protocol's {greedy_total} "
            f"and {sampled_total}. Decide by the protocol that the answers were asked under."
        )
    if greedy.right and greedy.wrong:
        return KnowledgeCategory.MAYBE_KNOWN
    if greedy.asked < greedy_total:
        return None
    if greedy.right:
        return KnowledgeCategory.HIGHLY_KNOWN
    if sampled.right:
        return KnowledgeCategory.WEAKLY_KNOWN
    return KnowledgeCategory.UNKNOWN if sampled.asked == sampled_total else None
