"""A whole question set read once and counted: sizes, answers, repeats, and overlap between splits.

Memory: about 50 bytes per question and the distinct lengths; no text is kept.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from kft_tasks.progress import ProgressCallback, no_progress
from kft_tasks.question_sets.splits.overlap import KINDS, SplitKeys
from kft_tasks.question_sets.splits.splitting import key_of
from kft_tasks.questions import SPLITS, Question, QuestionDigest, QuestionSet

if TYPE_CHECKING:
    from kft_tasks.question_sets.splits.overlap import Keys

_EVERY = 5000  # questions between two progress reports


@dataclass(frozen=True)
class Distribution:
    """A summary of whole numbers; all zero if there are none."""

    least: int
    median: int
    mean: float
    p95: int
    most: int

    @classmethod
    def of(cls, counts: Counter[int]) -> Distribution:
        """Summarise numbers by how often each occurs; median and 95th percentile are numbers that occur."""
        total = counts.total()
        if not total:
            return cls(0, 0, 0.0, 0, 0)
        mean = sum(number * count for number, count in counts.items()) / total
        return cls(min(counts), _quantile(counts, 0.5), mean, _quantile(counts, 0.95), max(counts))


def _quantile(counts: Counter[int], share: float) -> int:
    """The smallest number that at least ``share`` of all numbers do not exceed."""
    wanted, seen = share * counts.total(), 0
    for number in sorted(counts):
        seen += counts[number]
        if seen >= wanted:
            return number
    return max(counts)


@dataclass
class SplitSurvey:
    """What was counted in one split.

    Attributes:
        types: number of questions by type.
        characters: canonical answers by their length in characters (Unicode code points).
        words: canonical answers by their length in words (separated by white space).
        aliases: questions by how many answers they accept besides the canonical one.
        unmatched: questions none of whose answers has a letter or a digit, so most scorers have nothing to compare.
    """

    types: Counter[str] = field(default_factory=Counter)
    characters: Counter[int] = field(default_factory=Counter)
    words: Counter[int] = field(default_factory=Counter)
    aliases: Counter[int] = field(default_factory=Counter)
    unmatched: int = 0
    digest: QuestionDigest = field(default_factory=QuestionDigest)
    keys: SplitKeys = field(default_factory=SplitKeys)

    def add(self, question: Question) -> None:
        """Count a question."""
        canonical = question.answers[0]
        self.types[question.type] += 1
        self.characters[len(canonical)] += 1
        self.words[len(canonical.split())] += 1
        self.aliases[len(question.answers) - 1] += 1
        self.unmatched += not any(any(map(str.isalnum, answer)) for answer in question.answers)
        self.digest.add(question)
        self.keys.add(question)

    @property
    def count(self) -> int:
        """Questions in the split."""
        return self.keys.count

    def to_json(self) -> dict[str, Any]:
        """All numbers."""
        return {
            "questions": self.count,
            "digest": self.digest.hexdigest(),
            "types": dict(sorted(self.types.items())),
            "answer_characters": asdict(Distribution.of(self.characters)),
            "answer_words": asdict(Distribution.of(self.words)),
            "aliases": asdict(Distribution.of(self.aliases)),
            "with_aliases": self.count - self.aliases[0],
            "with_subject": self.keys.with_subject,
            "unmatched": self.unmatched,
            "repeats": asdict(self.keys.copies()),
        }


@dataclass(frozen=True)
class Overlap:
    """How many questions of one split share something with another split.

    Attributes:
        of: the split whose questions are counted.
        within: the split they are compared with.
        questions: size of ``of``.
        text: those whose text is also asked there.
        text_and_answers: of these, those with the same answers.
        subject: those whose subject is also asked about there; None if either split names no subjects.
        subject_and_type: of these, those of the same type.
        answer: those with at least one answer that is accepted for some question there.
    """

    of: str
    within: str
    questions: int
    text: int
    text_and_answers: int
    subject: int | None
    subject_and_type: int | None
    answer: int


@dataclass
class Survey:
    """What was counted in a set.

    Attributes:
        splits: in the order of :data:`kft_tasks.questions.SPLITS`.
        overlaps: every ordered pair of splits.
        repeated_ids: keys of ids that occur more than once in the set.
        left_out: rows that the set left out of each split, by reason.
    """

    name: str
    version: str
    splits: dict[str, SplitSurvey] = field(default_factory=dict)
    overlaps: list[Overlap] = field(default_factory=list)
    repeated_ids: frozenset[int] = frozenset()
    left_out: dict[str, Mapping[str, int]] = field(default_factory=dict)

    def overlap(self, of: str, within: str) -> Overlap | None:
        """What two splits share; None if the set does not have both."""
        return next((pair for pair in self.overlaps if (pair.of, pair.within) == (of, within)), None)

    def to_json(self) -> dict[str, Any]:
        """All numbers."""
        return {
            "set": self.name,
            "version": self.version,
            "splits": {name: split.to_json() for name, split in self.splits.items()},
            "overlaps": [asdict(pair) for pair in self.overlaps],
            "left_out": {name: dict(reasons) for name, reasons in self.left_out.items()},
        }


def survey(source: QuestionSet, progress: ProgressCallback = no_progress) -> Survey:
    """Read all splits of a set once and count.

    Raises:
        DataError: the data are damaged.
    """
    found = Survey(source.name, source.version)
    ids = array("Q")
    names = source.splits()
    for number, name in enumerate(names):
        split = found.splits[name] = SplitSurvey()
        for question in source.split(name):
            split.add(question)
            ids.append(key_of(question.id))
            if split.count % _EVERY == 0:
                progress(number, len(names), f"{name}: {split.count:,} questions")
        progress(number + 1, len(names), f"{name}: {split.count:,} questions")
        dropped: Mapping[str, Mapping[str, int]] = getattr(source, "dropped", {})
        if reasons := {reason: count for reason, count in dropped.get(name, {}).items() if count}:
            found.left_out[name] = reasons
    found.repeated_ids = _repeated(ids)
    found.overlaps = _overlaps({name: split.keys for name, split in found.splits.items()})
    return found


def _repeated(keys: array[int]) -> frozenset[int]:
    import numpy

    distinct, counts = numpy.unique(numpy.frombuffer(keys, dtype=numpy.uint64), return_counts=True)
    return frozenset(distinct[counts > 1].tolist())


def _overlaps(splits: Mapping[str, SplitKeys]) -> list[Overlap]:
    shared: dict[tuple[str, str, str], int | None] = {}
    for kind in KINDS:
        distinct: dict[str, Keys] = {name: keys.distinct(kind) for name, keys in splits.items()}
        for of, keys in splits.items():
            for within in splits:
                known = not kind.startswith("subject") or (keys.with_subject and splits[within].with_subject)
                shared[kind, of, within] = keys.shared(kind, distinct[within]) if known else None
    pairs = [(of, within) for of in SPLITS for within in SPLITS if of != within and of in splits and within in splits]
    return [
        Overlap(of, within, splits[of].count, **{kind: shared[kind, of, within] for kind in KINDS})  # type: ignore[arg-type]
        for of, within in pairs
    ]
