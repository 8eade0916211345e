"""What is wrong with a question set, and what to know before using it: sentences made from a survey."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from kft_tasks.errors import DataError
from kft_tasks.progress import ProgressCallback, no_progress
from kft_tasks.protocol.exemplars import ExemplarPool
from kft_tasks.protocol.protocol import Protocol
from kft_tasks.question_sets.checks.local_copies import LocalCopy, find_local_copy, verify
from kft_tasks.question_sets.checks.survey import Survey, survey
from kft_tasks.question_sets.info import SetInfo
from kft_tasks.question_sets.registry import info_of, open_set
from kft_tasks.question_sets.splits.cleaning import YIELDS_TO
from kft_tasks.question_sets.splits.splitting import key_of
from kft_tasks.questions import QuestionSet

_LISTED = 3  # of the repeated ids, in a message


@dataclass(frozen=True)
class Check:
    """The outcome of a check.

    Attributes:
        wrong: what must be repaired before results can be trusted, one sentence each.
        notes: repeats and overlap, which are in the data as published or written; removed only on request.
        verified: what could be compared, so that the reader can judge how much the check says.
    """

    held: LocalCopy
    survey: Survey
    wrong: tuple[str, ...]
    notes: tuple[str, ...]
    verified: tuple[str, ...]


def check_set(
    name: str,
    path: str | Path | None = None,
    options: Mapping[str, object] | None = None,
    protocol: Protocol | None = None,
    progress: ProgressCallback = no_progress,
) -> Check:
    """Read a whole set through its loader and compare it with everything known about it.

    Raises:
        UsageError: an unknown set or option.
        UnavailableError: the data are not on this machine and could not be fetched.
        DataError: a broken file or row; the message names it.
    """
    source = open_set(name, path, options)
    held = find_local_copy(name, path)
    files = verify(held)
    found = survey(source, progress)
    wrong = [*files.wrong, *_wrong_ids(source, found), *_wrong_splits(found)]
    wrong += _wrong_exemplars(source, found, protocol or Protocol())
    verified = []
    if files.checked:
        verified.append(f"{files.checked} downloaded files match the digests given by the hub.")
    if options:
        verified.append("Sizes were not compared with the published ones, which apply only without options.")
    else:
        compared, differing = _published(info_of(name), found)
        verified += compared
        wrong += differing
    return Check(held, found, tuple(wrong), tuple(notes(found)), tuple(verified))


def _wrong_ids(source: QuestionSet, found: Survey) -> Iterator[str]:
    if not found.repeated_ids:
        return
    names: list[str] = []
    for split in found.splits:
        for question in source.split(split):
            if len(names) < _LISTED and question.id not in names and key_of(question.id) in found.repeated_ids:
                names.append(question.id)
    listed = ", ".join(map(repr, names))
    yield f"{len(found.repeated_ids):,} ids occur more than once, such as {listed}. Give each question its own id."


def _wrong_splits(found: Survey) -> Iterator[str]:
    for name, split in found.splits.items():
        if not split.count:
            yield f"{name}: holds no questions."
        if split.unmatched:
            yield (
                f"{name}: {split.unmatched:,} questions have no answer with a letter or a digit in it, so most scorers "
                "have nothing to compare. Add an alias in words."
            )


def _wrong_exemplars(source: QuestionSet, found: Survey, protocol: Protocol) -> Iterator[str]:
    if not protocol.shots:
        return
    if "exemplars" not in found.splits:
        yield "There is no exemplars split. Add one, or use 0 shots."
        return
    pool = ExemplarPool(source.split("exemplars"), protocol, "exemplars")
    for type_ in sorted(
        {type_ for name, split in found.splits.items() if name != "exemplars" for type_ in split.types}
    ):
        try:
            pool.sets(type_)
        except DataError as error:
            yield str(error)


def _published(info: SetInfo, found: Survey) -> tuple[list[str], list[str]]:
    """What agrees with the published splits, sizes and digests, and what differs."""
    sizes, digests, differ = [], [], []
    for name in info.splits:
        split, size, digest = found.splits.get(name), info.sizes[name], info.digests.get(name)
        if split is None:
            if info.name != "questions":
                differ.append(f"{name}: missing here, but part of the published set. Fetch or complete the data.")
        elif size is not None and split.count != size:
            differ.append(
                f"{name}: {split.count:,} questions instead of the published {size:,}. Fetch or complete the data."
            )
        elif digest is not None and split.digest.hexdigest() != digest:
            differ.append(f"{name}: questions or answers differ from those known to kft. Fetch the data again.")
        else:
            sizes += [] if size is None else [f"{name} {size:,}"]
            digests += [] if digest is None else [name]
    agree = [f"Sizes as published: {', '.join(sizes)}."] if sizes else []
    agree += [f"Questions and answers as known to kft: {', '.join(digests)}."] if digests else []
    return agree, differ


def notes(found: Survey) -> Iterator[str]:
    """Sentences about repeats within splits and overlap between them, each with the option that removes it."""
    for name, split in found.splits.items():
        copies = split.keys.copies()
        if repeated := copies.exact + copies.other_answers:
            yield (
                f"{name}: {repeated:,} of {split.count:,} questions repeat the text of another one "
                f"({copies.exact:,} with the same answers, {copies.other_answers:,} with others). "
                "The option deduplicate=true asks each text once."
            )
    for yielding, keepers in YIELDS_TO.items():
        for keeper in reversed(keepers):
            yield from _leaks(found, keeper, yielding)


def _leaks(found: Survey, keeper: str, yielding: str) -> Iterator[str]:
    shared = found.overlap(keeper, yielding)
    if shared is None:
        return
    if shared.text:
        yield (
            f"{keeper}: {shared.text:,} of {shared.questions:,} questions ({_share(shared.text, shared.questions)}) "
            f"are also asked in {yielding}, {shared.text_and_answers:,} of them with the same answers. "
            f"The option remove_overlap=true leaves them out of {yielding}."
        )
    if shared.subject and "exemplars" not in (keeper, yielding):
        yield (
            f"{keeper}: {shared.subject:,} of {shared.questions:,} questions "
            f"({_share(shared.subject, shared.questions)}) are about a subject that {yielding} asks about too. "
            f"The option separate_subjects=true leaves those out of {yielding}."
        )


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %"
