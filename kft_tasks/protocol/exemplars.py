"""Held-out exemplar sets: fixed per type (Gekhman et al. 2024, section 3: ten 4-shot prompts), or per question."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from kft_tasks.errors import DataError
from kft_tasks.hashing import keyed_digest
from kft_tasks.protocol.protocol import Protocol
from kft_tasks.questions import Question, QuestionDigest

ExemplarSet = tuple[Question, ...]

_KEPT = 512  # questions whose own sets are kept: those of a chunk are asked in several rounds


class ExemplarPool:
    """The exemplars split of a question set by type, and the sets drawn from it.

    A draw depends on the seed, the type and the ids in the pool, never on their order. Sets are disjoint as long as
    the pool of a type lasts; then it is shuffled again. Where each question has sets of its own, a draw also depends on
    the question's id.
    """

    def __init__(self, questions: Iterable[Question], protocol: Protocol, name: str = "the question set") -> None:
        self._protocol = protocol
        self._name = name
        self._pools: dict[str, list[Question]] = {}
        self._sets: dict[str, tuple[ExemplarSet, ...]] = {}
        self._own_sets: dict[tuple[str, str], tuple[ExemplarSet, ...]] = {}
        digest = QuestionDigest()
        if protocol.shots:
            for question in questions:
                digest.add(question)
                self._pools.setdefault(question.type, []).append(question)
        self.digest = digest.hexdigest()

    def sets(self, type_: str) -> tuple[ExemplarSet, ...]:
        """The exemplar sets of a type: ``protocol.exemplar_sets`` tuples of ``protocol.shots`` questions.

        Raises:
            DataError: the type has too few exemplars.
        """
        if type_ not in self._sets:
            self._sets[type_] = tuple(self._draw(type_, type_))
        return self._sets[type_]

    def sets_for(self, question: Question, type_: str | None = None) -> tuple[ExemplarSet, ...]:
        """The exemplar sets that a question is asked with: its type's, or its own where the protocol says per question.

        Args:
            type_: take exemplars of this type instead of the question's own.

        Raises:
            DataError: the type has too few exemplars.
        """
        chosen = question.type if type_ is None else type_
        if self._protocol.exemplars == "fixed":
            return self.sets(chosen)
        key = (chosen, question.id)
        if key not in self._own_sets:
            if len(self._own_sets) == _KEPT:
                self._own_sets.clear()
            self._own_sets[key] = tuple(self._draw(chosen, f"{chosen}|{question.id}"))
        return self._own_sets[key]

    def ids(self) -> frozenset[str]:
        """Ids of all exemplars; none of them may be a question under test."""
        return frozenset(question.id for pool in self._pools.values() for question in pool)

    def _draw(self, type_: str, salt: str) -> Iterator[ExemplarSet]:
        wanted, shots = self._protocol.exemplar_sets, self._protocol.shots
        if shots == 0:
            yield ()
            return
        pool = self._pools.get(type_, [])
        seen: set[frozenset[str]] = set()
        round_ = 0
        while len(seen) < wanted:
            if len(pool) < shots or round_ > 100 * wanted:
                raise DataError(
                    f"{self._name}: type {type_!r} has {len(pool)} exemplars, too few for {wanted} different sets of "
                    f"{shots}. Add exemplars of this type, or lower shots or exemplar_sets."
                )
            order = _shuffled(pool, f"{self._protocol.seed}|{salt}|{round_}")
            for start in range(0, len(order) - shots + 1, shots):
                chosen = tuple(order[start : start + shots])
                key = frozenset(question.id for question in chosen)
                if key not in seen and len(seen) < wanted:
                    seen.add(key)
                    yield chosen
            round_ += 1


def _shuffled(pool: Sequence[Question], salt: str) -> list[Question]:
    """Order by a keyed hash of the id: the same on every Python version, whatever the order of the pool."""
    return sorted(pool, key=lambda question: keyed_digest(salt, question.id))
