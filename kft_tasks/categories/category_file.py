"""Category files (``*.categories.jsonl``): written by detection, read by training, checked whenever they are read."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kft_tasks.categories.category import KnowledgeCategory, Tally, decide
from kft_tasks.errors import DataError, UsageError, shortened
from kft_tasks.files import atomic_write, json_line, read_jsonl
from kft_tasks.protocol.identity import ModelIdentity, QuestionsIdentity
from kft_tasks.protocol.protocol import RecordedProtocol, recorded_protocol
from kft_tasks.questions import Question, parse_question
from kft_tasks.row_checks import check_keys, check_type
from kft_tasks.scoring.explanation import Explanation
from kft_tasks.scoring.scorers import is_graded

if TYPE_CHECKING:
    from kft_tasks.categories.header_record import GradedByRecord

FORMAT = "kft-categories/1"

_TEXTS = ("id", "type", "split", "subject", "question", "category")
_KEYS = frozenset((*_TEXTS, "answers", "greedy", "sampled", "greedy_answers", "sampled_answers"))
_WHY_KEYS = frozenset(("verdict", "rule", "words"))


@dataclass(frozen=True)
class Rescored:
    """How a category file was made from another one, without the model (see :mod:`kft_tasks.categories.rescore`).

    Attributes:
        source: SHA-256 of the file that the answers come from.
        scorer: rule for "right" in the source; the protocol names the one used here.
        corrections: digest of the questions with corrected answers, or None.
        corrected: number of questions whose accepted answers changed.
        undecided: number of questions of the source that were left out because its answers no longer decide them.
    """

    source: str
    scorer: str
    corrections: str | None = None
    corrected: int = 0
    undecided: int = 0


@dataclass(frozen=True)
class GradedBy:
    """The model whose verdicts on stored answers made the categories (see :mod:`kft_tasks.grading`).

    Attributes:
        prompt_version, prompt_digest: of the grader's prompt.
        chat: whether the prompt went through the model's chat template.
        judged: number of judged answers that the grader was measured on.
        agreed: number of these on which it agreed.
        unreadable: number of stored answers left out because its reply was no verdict.
    """

    model: ModelIdentity
    prompt_version: str
    prompt_digest: str
    chat: bool
    judged: int
    agreed: int
    unreadable: int


@dataclass(frozen=True)
class Imported:
    """The log of lm-eval that a category file was made from (see :mod:`kft_tasks.lm_eval_logs`).

    Attributes:
        tasks: names of the lm-eval tasks.
        lm_eval: version of lm-eval; None if it was not recorded.
        logs: SHA-256 of the logs, in the order in which they were read.
        results: SHA-256 of the results files beside them.
        greedy, sampled: generation settings of greedy and of sampled requests as they were logged; None without such.
        filter: filter of the task whose answers are here; None: as the model gave them.
        samples_as_prompts: there are no greedy answers, and each sampled answer counts as that of a prompt of its own.
        left_out: number of questions that some of the logs do not hold, or with too few answers.
    """

    tasks: tuple[str, ...]
    lm_eval: str | None
    logs: tuple[str, ...]
    results: tuple[str, ...]
    greedy: Mapping[str, Any] | None
    sampled: Mapping[str, Any] | None
    filter: str | None
    samples_as_prompts: bool
    left_out: int


@dataclass(frozen=True)
class Header:
    """First line of a category file.

    Attributes:
        protocol: fields are None only if the file is imported.
        rescored: None if the model itself gave the answers for it.
        graded: None if a rule found them right or wrong.
        imported: None if kft asked the model.
    """

    kft_version: str
    model: ModelIdentity
    protocol: RecordedProtocol
    questions: QuestionsIdentity
    exhaustive: bool
    counts: Mapping[str, int]
    rescored: Rescored | None = None
    graded: GradedBy | None = None
    imported: Imported | None = None

    def to_json(self) -> dict[str, Any]:
        """The header line."""
        return {
            "format": FORMAT,
            "kft_version": self.kft_version,
            "model": dataclasses.asdict(self.model),
            "protocol": self.protocol.stored(),
            "protocol_digest": self.protocol.digest(),
            "questions": dataclasses.asdict(self.questions),
            "exhaustive": self.exhaustive,
            "counts": {category.value: self.counts.get(category.value, 0) for category in KnowledgeCategory},
            **({"rescored": dataclasses.asdict(self.rescored)} if self.rescored else {}),
            **({"graded": dataclasses.asdict(self.graded)} if self.graded else {}),
            **({"imported": dataclasses.asdict(self.imported)} if self.imported else {}),
        }


@dataclass(frozen=True)
class CategorizedQuestion:
    """A question with its category and the answers that decided it.

    Attributes:
        greedy_answers: one per exemplar set; None where lazy detection did not need it.
        sampled_answers: a tuple of samples per exemplar set; None where lazy detection needed none.
        why: of each different answer, why it was found right or wrong; None where nobody asked for that.
    """

    question: Question
    category: KnowledgeCategory
    greedy: Tally
    sampled: Tally
    greedy_answers: tuple[str | None, ...]
    sampled_answers: tuple[tuple[str, ...] | None, ...]
    why: Mapping[str, Explanation] | None = None

    def different_answers(self) -> list[str]:
        """Each different answer once, in the order in which they were given."""
        greedy = [text for text in self.greedy_answers if text is not None]
        return list(dict.fromkeys([*greedy, *(text for given in self.sampled_answers for text in given or ())]))

    def to_json(self) -> dict[str, Any]:
        """A question line."""
        question = self.question.to_json()
        return {
            **{key: question[key] for key in ("id", "type", "split", "subject", "question", "answers")},
            "category": self.category.value,
            "greedy": dataclasses.asdict(self.greedy),
            "sampled": dataclasses.asdict(self.sampled),
            "greedy_answers": list(self.greedy_answers),
            "sampled_answers": [None if given is None else list(given) for given in self.sampled_answers],
            **({} if self.why is None else {"why": {text: why.to_json() for text, why in self.why.items()}}),
        }


@dataclass(frozen=True)
class SetAnswers:
    """The answers to one question under one exemplar set, and their scores; None stands for "not asked".

    Attributes:
        greedy: the greedy answer.
        right: whether it is right.
        samples: the sampled answers.
        hits: number of right samples.
    """

    greedy: str | None
    right: bool | None
    samples: tuple[str, ...] | None
    hits: int | None


def categorize(
    question: Question, protocol: RecordedProtocol, sets: Sequence[SetAnswers]
) -> CategorizedQuestion | None:
    """Build the record from scored answers, or None while the category is undecided.

    Args:
        sets: one entry per exemplar set.
    """
    greedy = Tally(sum(one.right is True for one in sets), sum(one.right is not None for one in sets))
    sampled = Tally(sum(one.hits or 0 for one in sets), sum(len(one.samples or ()) for one in sets))
    category = decide(greedy, sampled, greedy_total=protocol.exemplar_sets, sampled_total=protocol.sampled_total)
    if category is None:
        return None
    given = tuple(one.greedy for one in sets), tuple(one.samples for one in sets)
    return CategorizedQuestion(question, category, greedy, sampled, *given)


def write_category_file(path: Path, header: Header, items: Iterable[CategorizedQuestion]) -> None:
    """Write header and question lines; the file appears whole or not at all.

    Raises:
        DataError: the items do not add up to the header's counts.
    """
    counts: Counter[str] = Counter()
    with atomic_write(path) as stream:
        stream.write(json_line(header.to_json()))
        for item in items:
            counts[item.category.value] += 1
            stream.write(json_line(item.to_json()))
        _check_counts(path, header, counts)


class CategoryFile:
    """A category file: the header is read and checked at once, the questions are streamed.

    Raises:
        DataError: the file is missing, of another kind, broken or truncated, or has a duplicate; the message names
            file and line.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        number, row = next(read_jsonl(self.path), (0, {}))
        if row.get("format") != FORMAT:
            raise DataError(
                f"{self.path}:{max(number, 1)}: not a category file of format {FORMAT}. Make one with `kft detect`."
            )
        self.header = _header(row, f"{self.path}:1")

    def __iter__(self) -> Iterator[CategorizedQuestion]:
        counts: Counter[str] = Counter()
        seen: set[str] = set()
        for number, row in read_jsonl(self.path):
            if number == 1:
                continue
            item = self._parse(row, f"{self.path}:{number}")
            if item.question.id in seen:
                raise DataError(f"{self.path}:{number}: question {item.question.id!r} is duplicated. Detect again.")
            seen.add(item.question.id)
            counts[item.category.value] += 1
            yield item
        _check_counts(self.path, self.header, counts)

    def _parse(self, row: Mapping[str, Any], where: str) -> CategorizedQuestion:
        question = parse_question(row, where)
        try:
            check_keys(row, _KEYS, frozenset(("why",)))
            check_type(row, str, *_TEXTS)
            check_type(row, list, "answers", "greedy_answers", "sampled_answers")
            item = CategorizedQuestion(
                question=question,
                category=KnowledgeCategory(row["category"]),
                greedy=Tally(**row["greedy"]),
                sampled=Tally(**row["sampled"]),
                greedy_answers=tuple(row["greedy_answers"]),
                sampled_answers=tuple(None if given is None else tuple(given) for given in row["sampled_answers"]),
                why=_parse_why(row["why"]) if "why" in row else None,
            )
            protocol = self.header.protocol
            _check_answers(item, row, protocol)
            decided = decide(
                item.greedy, item.sampled, greedy_total=protocol.exemplar_sets, sampled_total=protocol.sampled_total
            )
        except (KeyError, TypeError, ValueError, UsageError) as error:
            raise DataError(f"{where}: broken question line ({shortened(str(error))}). Detect again.") from error
        if decided is not item.category:
            raise DataError(
                f"{where}: the category is {item.category}, but the counts make it {decided}. Detect again."
            )
        return item


def _header(row: Mapping[str, Any], where: str) -> Header:
    """The header of a decoded line.

    Raises:
        DataError: it is broken, or the protocol is not the one that its digest was made of.
    """
    from kft_tasks.categories.header_record import HeaderRecord  # pydantic, which `kft --help` does without
    from kft_tasks.records import parse_record

    remedy = "Detect again, or use the kft that wrote it."
    record = parse_record(HeaderRecord, row, where, remedy, "broken header")
    try:
        protocol = recorded_protocol(record.protocol)
    except UsageError as error:
        raise DataError(f"{where}: broken header ({shortened(str(error))}). {remedy}") from error
    if sum(record.counts.values()) != record.questions.count:
        raise DataError(f"{where}: broken header (the counts do not add up). {remedy}")
    if protocol.digest() != record.protocol_digest:
        raise DataError(f"{where}: the protocol was edited after detection. Detect again.")
    if is_graded(protocol.scorer) is not (record.graded is not None):
        raise DataError(
            f"{where}: broken header (a scorer named graded:MODEL and the key graded belong together). {remedy}"
        )
    if protocol.unrecorded() and record.imported is None:
        raise DataError(f"{where}: broken header ({protocol.unrecorded()[0]}: missing). {remedy}")
    return Header(
        kft_version=record.kft_version,
        model=ModelIdentity(**record.model.model_dump()),
        protocol=protocol,
        questions=QuestionsIdentity(**record.questions.model_dump()),
        exhaustive=record.exhaustive,
        counts={category.value: count for category, count in record.counts.items()},
        rescored=Rescored(**record.rescored.model_dump()) if record.rescored else None,
        graded=_graded_by(record.graded) if record.graded else None,
        imported=Imported(**record.imported.model_dump()) if record.imported else None,
    )


def _graded_by(record: GradedByRecord) -> GradedBy:
    values = record.model_dump()
    return GradedBy(**{**values, "model": ModelIdentity(**values["model"])})


def _check_answers(item: CategorizedQuestion, row: Mapping[str, Any], protocol: RecordedProtocol) -> None:
    """Check that the answers match the counts: training and reports read both."""
    counts = [item.greedy.right, item.greedy.asked, item.sampled.right, item.sampled.asked]
    if len(row["greedy"]) != 2 or len(row["sampled"]) != 2 or not all(type(count) is int for count in counts):
        raise TypeError("a count that is not a number")
    drawn = [given for given in row["sampled_answers"] if given is not None]
    if not all(isinstance(given, list) for given in drawn):
        raise TypeError("answers that are not a list")
    greedy = [given for given in item.greedy_answers if given is not None]
    if not all(isinstance(text, str) for text in [*greedy, *(text for given in drawn for text in given)]):
        raise TypeError("an answer that is not text")
    if item.why is not None:
        _check_why(item, item.why)
    sets = {len(item.greedy_answers), len(item.sampled_answers)}
    asked = (len(greedy), sum(map(len, drawn)))
    if sets != {protocol.exemplar_sets} or asked != (item.greedy.asked, item.sampled.asked):
        raise ValueError("the number of answers does not match the counts")


def _parse_why(values: Any) -> dict[str, Explanation]:
    if type(values) is not dict or not all(type(value) is dict for value in values.values()):
        raise TypeError("why: must be an object for each answer")
    for value in values.values():
        check_keys(value, _WHY_KEYS)
        check_type(value, bool, "verdict")
        check_type(value, str, "rule", "words")
    return {text: Explanation(**value) for text, value in values.items()}


def _check_why(item: CategorizedQuestion, why: Mapping[str, Explanation]) -> None:
    """Check that the reasons are those of the answers, and their verdicts the ones that were counted."""
    if sorted(why) != sorted(item.different_answers()):
        raise ValueError("why: not of the answers given")
    greedy = sum(why[text].verdict for text in item.greedy_answers if text is not None)
    sampled = sum(why[text].verdict for given in item.sampled_answers for text in given or ())
    if (greedy, sampled) != (item.greedy.right, item.sampled.right):
        raise ValueError("why: the verdicts do not match the counts")


def _check_counts(path: Path, header: Header, counts: Mapping[str, int]) -> None:
    for category in KnowledgeCategory:
        expected, found = header.counts.get(category.value, 0), counts.get(category.value, 0)
        if expected != found:
            raise DataError(
                f"{path}: truncated or edited: the header counts {expected} {category} questions, the file has "
                f"{found}. Detect again."
            )
