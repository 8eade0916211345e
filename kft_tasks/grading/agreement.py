"""How a grader's verdicts agree with those of judged pairs: measured, and kept beside its replies."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from kft_tasks.categories.header_record import ModelRecord
from kft_tasks.errors import DataError, UnavailableError
from kft_tasks.files import read_jsonl, sha256_of_json, write_json
from kft_tasks.grading.grader import Grader, GraderIdentity
from kft_tasks.grading.prompt import make_pair
from kft_tasks.grading.verdict import Verdict
from kft_tasks.progress import ProgressCallback, no_progress
from kft_tasks.protocol.protocol import Protocol
from kft_tasks.records import Count, Record, parse_record, read_record
from kft_tasks.scoring.scorers import get_scorer

_REMEDY = "Measure the grader again, or remove the file."
_Text = Annotated[str, Field(min_length=1)]


class JudgedPair(Record):
    """An answer and a judgement of it; the other fields say where it comes from."""

    question: _Text
    answers: Annotated[tuple[_Text, ...], Field(strict=False, min_length=1)]
    given: str
    right: bool
    kind: str = ""
    origin: str = ""
    note: str = ""
    set: str = ""
    part: str = ""


class VerdictCounts(Record):
    """Numbers of verdicts."""

    correct: Count = 0
    incorrect: Count = 0
    not_attempted: Count = 0
    unreadable: Count = 0

    @property
    def total(self) -> int:
        """All of them, the unreadable ones too."""
        return self.correct + self.incorrect + self.not_attempted + self.unreadable

    @property
    def rejected(self) -> int:
        """Verdicts that say that an answer is not right."""
        return self.incorrect + self.not_attempted

    def plus(self, verdict: Verdict, times: int = 1) -> VerdictCounts:
        """The numbers with ``times`` more of a verdict."""
        name = verdict.value.lower()
        return self.model_copy(update={name: getattr(self, name) + times})


class Confusion(Record):
    """Verdicts on answers that are right, and on those that are wrong, by somebody else's judgement."""

    right: VerdictCounts = VerdictCounts()
    wrong: VerdictCounts = VerdictCounts()

    def plus(self, right: bool, verdict: Verdict, times: int = 1) -> Confusion:
        """The numbers with ``times`` more answers."""
        name = "right" if right else "wrong"
        return self.model_copy(update={name: getattr(self, name).plus(verdict, times)})

    @property
    def total(self) -> int:
        """All answers."""
        return self.right.total + self.wrong.total

    @property
    def agreed(self) -> int:
        """Answers on which both say the same; an unreadable verdict says nothing."""
        return self.right.correct + self.wrong.rejected

    @property
    def accepted(self) -> int:
        """Answers that the grader finds CORRECT."""
        return self.right.correct + self.wrong.correct

    @property
    def unreadable(self) -> int:
        """Answers without a readable verdict."""
        return self.right.unreadable + self.wrong.unreadable


class RuleCounts(Record):
    """What a rule of strings accepts of the same pairs, for comparison."""

    scorer: str
    right: Count
    wrong: Count


class PairsRecord(Record):
    """Which judged pairs: the file's name, and the digest of what was judged."""

    name: str
    digest: str
    count: Count


class GraderRecord(Record):
    """See :class:`kft_tasks.grading.grader.GraderIdentity`."""

    model: ModelRecord
    prompt_version: str
    prompt_digest: str
    chat: bool = False


class Agreement(Record):
    """How a grader agrees with judged pairs, as it is kept.

    Attributes:
        verdicts: on the answers that were judged right, and wrong.
        rule: what the default rule accepts of the same answers.
    """

    format: Literal["kft-agreement/1"] = "kft-agreement/1"
    kft_version: str
    grader: GraderRecord
    pairs: PairsRecord
    verdicts: Confusion
    rule: RuleCounts


def grader_record(identity: GraderIdentity) -> GraderRecord:
    """The identity as it is written to files."""
    return GraderRecord.model_validate(dataclasses.asdict(identity))


def read_judged_pairs(path: Path) -> list[JudgedPair]:
    """Read judged pairs: JSON Lines with question, answers, given and right.

    Raises:
        DataError: a line is not a judged pair, or there is none.
    """
    remedy = "Give every line question, answers, given and right, as in results/scoring/pairs.jsonl."
    pairs = [
        parse_record(JudgedPair, row, f"{path}:{number}", remedy, "not a judged pair")
        for number, row in read_jsonl(path)
    ]
    if not pairs:
        raise DataError(f"{path}: holds no judged pairs. {remedy}")
    return pairs


def packaged_pairs() -> Path:
    """The judged pairs of kft's repository, if this is a working copy of it: they are not installed.

    Raises:
        UnavailableError: it is not.
    """
    path = Path(__file__).parents[2] / "results" / "scoring" / "pairs.jsonl"
    if not path.is_file():
        raise UnavailableError("The judged pairs are in kft's repository (results/scoring/pairs.jsonl), not here.")
    return path


def measure_agreement(
    grader: Grader,
    identity: GraderIdentity,
    pairs: Sequence[JudgedPair],
    name: str,
    progress: ProgressCallback = no_progress,
) -> Agreement:
    """Grade judged pairs, compare, and keep the result; it replaces an earlier one of the same grader.

    Args:
        name: of the pairs' file, for the record.

    Raises:
        UnavailableError: the model does not load or does not answer.
    """
    from kft_tasks.version import __version__

    def shown() -> Iterator[JudgedPair]:
        for done, pair in enumerate(pairs, start=1):
            yield pair
            progress(done, len(pairs), "judged pairs")

    grader.ask(make_pair(pair.question, pair.answers, pair.given) for pair in shown())
    rule = Protocol().scorer
    scorer = get_scorer(rule)
    verdicts = Confusion()
    accepted = {True: 0, False: 0}
    for pair in pairs:
        verdict = grader.grade(make_pair(pair.question, pair.answers, pair.given)).verdict
        verdicts = verdicts.plus(pair.right, verdict)
        accepted[pair.right] += scorer(pair.given, pair.answers, pair.question)
    digest = sha256_of_json([[pair.question, pair.answers, pair.given, pair.right] for pair in pairs])
    agreement = Agreement(
        kft_version=__version__,
        grader=grader_record(identity),
        pairs=PairsRecord(name=name, digest=digest, count=len(pairs)),
        verdicts=verdicts,
        rule=RuleCounts(scorer=rule, right=accepted[True], wrong=accepted[False]),
    )
    write_json(agreement_file(identity), agreement.model_dump(mode="json"))
    return agreement


def agreement_file(identity: GraderIdentity) -> Path:
    """Where the agreement of a grader is kept: beside its replies."""
    return identity.file(".agreement.json")


def known_agreement(identity: GraderIdentity) -> Agreement | None:
    """The agreement that was measured for this model and prompt; None if it never was.

    Raises:
        DataError: the file is broken.
    """
    path = agreement_file(identity)
    if not path.exists():
        return None
    return read_record(Agreement, path, _REMEDY, "broken agreement")
