"""Questions taken from a set: a few to look at, or whole splits in a file that the set ``questions`` reads back."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from kft_tasks.errors import UsageError, suggest
from kft_tasks.files import is_stdout
from kft_tasks.hashing import keyed_digest
from kft_tasks.outputs import check_output
from kft_tasks.questions import Question, QuestionSet, write_questions

_LISTED = 40  # of the known types, in an error


@dataclass(frozen=True)
class Sample:
    """Questions drawn by seed, and the number they were drawn from."""

    questions: tuple[Question, ...]
    total: int


def sample(source: QuestionSet, split: str, size: int, *, seed: int = 0, type_: str | None = None) -> Sample:
    """Draw questions of a split (and of one type) by a keyed hash of their ids, independent of their order.

    Raises:
        UsageError: the split has no question of that type.
        DataError: no such split, or damaged data.
    """
    types: Counter[str] = Counter()

    def wanted() -> Iterator[Question]:
        for question in source.split(split):
            types[question.type] += 1
            if type_ in (None, question.type):
                yield question

    def rank(question: Question) -> bytes:
        return keyed_digest("show", seed, question.id, size=12)

    chosen = heapq.nsmallest(size, wanted(), key=rank)
    if type_ is not None and type_ not in types:
        known = [ascii(name)[1:-1] for name, _ in types.most_common(_LISTED)]  # foreign text: escape hidden characters
        raise UsageError(f"{source.name}: split {split!r} has no type {type_!r}. {suggest(type_, known)}")
    return Sample(tuple(chosen), types.total() if type_ is None else types[type_])


def export(source: QuestionSet, splits: Sequence[str], output: Path, *, overwrite: bool = False) -> dict[str, int]:
    """Write splits as JSON Lines; return the number of questions of each.

    Raises:
        UsageError: ``output`` does not have the suffix of JSON Lines, by which it is read back.
        StateError: ``output`` already exists.
        DataError: no such split, damaged data, or ``output`` cannot be written.
    """
    if not is_stdout(output) and output.suffix.lower() not in (".jsonl", ".ndjson"):
        raise UsageError(f"{output}: the export is JSON Lines, which is recognised by its suffix. Name a .jsonl file.")
    check_output(output, overwrite=overwrite)
    counts: Counter[str] = Counter()

    def counted(split: str, questions: Iterator[Question]) -> Iterator[Question]:
        for question in questions:
            counts[split] += 1
            yield question

    streams = [
        counted(split, source.split(split)) for split in splits
    ]  # unknown splits fail before anything is written
    write_questions(output, chain.from_iterable(streams))
    return {split: counts[split] for split in splits}
