"""What a smaller protocol would have found, computed exactly from all answers of a larger one.

A smaller protocol takes ``sets`` of the exemplar sets at random, and ``samples`` of the samples of each at random. The
chance of each category is then a ratio of numbers of subsets (hypergeometric): nothing is simulated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from math import comb

from kft_tasks.categories.category import KnowledgeCategory
from kft_tasks.detection.schedule import make_rounds
from kft_tasks.errors import UsageError

Chances = Mapping[KnowledgeCategory, float]
"""Chance of each category; they sum to 1."""


@dataclass(frozen=True)
class SetScores:
    """All answers to one question, scored. The order of the sets does not matter and is not kept.

    Attributes:
        right: number of exemplar sets with a right greedy answer.
        hits: number of right samples in each of the other sets, in ascending order.
        samples: samples per set.
    """

    right: int
    hits: tuple[int, ...]
    samples: int

    @property
    def sets(self) -> int:
        """Number of exemplar sets of the protocol."""
        return self.right + len(self.hits)


@dataclass(frozen=True)
class SmallerProtocol:
    """One question under a smaller protocol.

    Attributes:
        chances: of each category, over all subsets of sets and samples.
        greedy: expected number of greedy answers that lazy detection asks for, over all subsets and orders.
        sampled: the same for samples.
    """

    chances: Chances
    greedy: float
    sampled: float


def score_sets(right: Sequence[bool], hits: Sequence[int], samples: int) -> SetScores:
    """Scores from one entry per exemplar set: whether the greedy answer is right, and how many samples are.

    Raises:
        UsageError: the two do not belong together.
    """
    if len(right) != len(hits) or any(not 0 <= hit <= samples for hit in hits):
        raise UsageError(
            f"{len(right)} greedy answers and {len(hits)} counts of right samples, out of {samples} each, do not fit. "
            "Give one entry per exemplar set."
        )
    missed = tuple(sorted(hit for hit, is_right in zip(hits, right, strict=True) if not is_right))
    return SetScores(sum(right), missed, samples)


@lru_cache(maxsize=65536)
def smaller_protocol(scores: SetScores, sets: int, samples: int) -> SmallerProtocol:
    """Category chances and lazy cost of ``sets`` random exemplar sets with ``samples`` random samples in each.

    Raises:
        UsageError: more sets or samples than there are, or no set.
    """
    if not 1 <= sets <= scores.sets or not 0 <= samples <= scores.samples:
        raise UsageError(
            f"{sets} sets of {samples} samples are not part of {scores.sets} sets of {scores.samples}. Choose fewer."
        )
    no_hit = _no_hit_subsets(scores, samples)
    return SmallerProtocol(
        _chances(scores, sets, no_hit), _lazy_greedy(scores, sets), _lazy_sampled(scores, sets, samples, no_hit)
    )


def _no_hit_subsets(scores: SetScores, samples: int) -> list[float]:
    """Entry m: over all m-subsets of the missed sets, the sum of the chances that no sample taken is right.

    The chance for one set is hypergeometric, C(S - hits, k) / C(S, k); for a subset it is the product over its sets;
    and the sum of the products of all m-subsets is the elementary symmetric polynomial of degree m.
    """
    sums = [1.0] + [0.0] * len(scores.hits)
    total = comb(scores.samples, samples)
    for seen, hits in enumerate(scores.hits, start=1):
        chance = comb(scores.samples - hits, samples) / total
        for degree in range(seen, 0, -1):
            sums[degree] += chance * sums[degree - 1]
    return sums


def _chances(scores: SetScores, sets: int, no_hit: Sequence[float]) -> Chances:
    subsets = comb(scores.sets, sets)
    highly = comb(scores.right, sets) / subsets
    none_right = comb(len(scores.hits), sets) / subsets
    unknown = no_hit[sets] / subsets if sets < len(no_hit) else 0.0
    return {
        KnowledgeCategory.HIGHLY_KNOWN: highly,
        KnowledgeCategory.MAYBE_KNOWN: max(0.0, 1.0 - highly - none_right),
        KnowledgeCategory.WEAKLY_KNOWN: max(0.0, none_right - unknown),
        KnowledgeCategory.UNKNOWN: unknown,
    }


def _round_sizes(sets: int) -> list[tuple[int, int]]:
    """For each round of lazy detection: (sets asked before it, sets in it)."""
    sizes = [len(round_) for round_ in make_rounds(sets)]
    return list(zip(accumulate([0, *sizes[:-1]]), sizes, strict=True))


def _lazy_greedy(scores: SetScores, sets: int) -> float:
    """Expected greedy answers: a round is asked while all greedy answers so far are right, or all are wrong."""

    def open_after(asked: int) -> float:
        if asked == 0:
            return 1.0
        return (comb(scores.right, asked) + comb(len(scores.hits), asked)) / comb(scores.sets, asked)

    return sum(size * open_after(before) for before, size in _round_sizes(sets))


def _lazy_sampled(scores: SetScores, sets: int, samples: int, no_hit: Sequence[float]) -> float:
    """Expected samples: a round is sampled if all greedy answers are wrong, while no sample so far is right."""
    missed = len(scores.hits)
    none_right = comb(missed, sets) / comb(scores.sets, sets)
    if samples == 0 or none_right == 0:
        return 0.0
    rounds = _round_sizes(sets)
    return none_right * samples * sum(size * no_hit[before] / comb(missed, before) for before, size in rounds)
