"""A category file from lm-eval's sample logs of any task that generates answers to questions.

Each different prompt of a question becomes an exemplar set, with its greedy answer and its samples. What the logs do
not say stays unknown: fields of the protocol are None, and texts are ``NOT_RECORDED``. Memory holds all answers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from kft_tasks.categories.answer_scorer import AnswerScorer
from kft_tasks.categories.category import KnowledgeCategory
from kft_tasks.categories.category_file import CategorizedQuestion, Header, Imported, write_category_file
from kft_tasks.errors import DataError, UsageError
from kft_tasks.files import sha256_of_file
from kft_tasks.lm_eval_logs.results_file import LogFacts, log_facts
from kft_tasks.lm_eval_logs.sample_log import LENGTHS, Sample, is_sampled, read_samples
from kft_tasks.outputs import check_output
from kft_tasks.protocol.identity import NOT_RECORDED, ModelIdentity, QuestionsIdentity
from kft_tasks.protocol.protocol import Protocol, RecordedProtocol
from kft_tasks.question_sets.info import check_options
from kft_tasks.question_sets.loaders.own_files import INFO, RowParser
from kft_tasks.questions import Question, digest_questions

Value = TypeVar("Value")
Settings = Mapping[str, Any]

_DEEPEST = 4  # levels of a document whose fields have names such as answer.aliases


@dataclass
class _Prompt:
    """The answers under one prompt of a question."""

    greedy: list[str] = field(default_factory=list)
    samples: list[str] = field(default_factory=list)


@dataclass
class _Answered:
    """A question with its answers by prompt, in the order of the logs."""

    question: Question
    prompts: dict[str, _Prompt] = field(default_factory=dict)

    def shape(self) -> tuple[int, int] | None:
        """Number of prompts, and of samples under each; None if they differ or a greedy answer is missing."""
        counts = {len(prompt.samples) for prompt in self.prompts.values()}
        if len(counts) != 1 or not all(prompt.greedy for prompt in self.prompts.values()):
            return None
        return len(self.prompts), counts.pop()


@dataclass
class _Logs:
    """All logs, joined by question."""

    answered: dict[str, _Answered] = field(default_factory=dict)
    settings: dict[bool, Settings] = field(default_factory=dict)
    unsteady: int = 0

    def add(self, sample: Sample, question: Question) -> None:
        """Add what one log says about one question."""
        own = self.answered.setdefault(question.id, _Answered(question))
        if own.question != question:
            raise DataError(
                f"{sample.where}: question {question.id!r} has another text or other answers than before. Import logs "
                "of the same questions, or name the column of their ids with the option id."
            )
        for request in sample.requests:
            sampled = is_sampled(request.settings, sample.where)
            if self.settings.setdefault(sampled, request.settings) != request.settings:
                raise DataError(
                    f"{sample.where}: {'sampled' if sampled else 'greedy'} answers were asked for with other "
                    "generation settings than before. Import logs with the same settings."
                )
            prompt = own.prompts.setdefault(request.prompt, _Prompt())
            if sampled:
                prompt.samples.extend(request.answers)
            else:
                prompt.greedy.extend(request.answers)
                self.unsteady += len(set(prompt.greedy)) > 1


@dataclass(frozen=True)
class ImportResult:
    """What became of the logs.

    Attributes:
        unsteady: number of greedy answers that were not the same each time they were asked for; the first one counts.
    """

    output: Path
    header: Header
    unsteady: int

    def to_json(self) -> dict[str, Any]:
        """The header of the new file, and what it does not record."""
        return {
            "file": str(self.output),
            **{key: value for key, value in self.header.to_json().items() if key != "format"},
            "not_recorded": self.header.protocol.unrecorded(),
            "unsteady": self.unsteady,
        }


def import_logs(
    logs: Sequence[Path],
    output: Path,
    *,
    columns: Mapping[str, str] | None = None,
    scorer: str = Protocol.scorer,
    split: str | None = None,
    filter_name: str | None = None,
    samples_as_prompts: bool = False,
    overwrite: bool = False,
) -> ImportResult:
    """Make a category file from logs of one model and the same questions, under one or more prompts.

    Args:
        logs: files named as lm-eval names them, ``samples_TASK_TIME.jsonl``; the results file of the same time beside
            each of them is read too.
        output: the category file.
        columns: the document's field for each field of a question, such as ``{"answers": "answer.aliases"}``.
        scorer: rule for "right"; lm-eval's own metrics score one answer only and are not used.
        split: of the questions; by default, as the documents or the results file say.
        filter_name: filter of the task whose answers are taken; by default, as the model gave them.
        samples_as_prompts: without greedy answers, count each sampled one as that of a prompt of its own.
        overwrite: replace an existing ``output``.

    Raises:
        DataError: a broken log, logs that do not belong together, or answers that decide no category.
        StateError: the output exists.
        UsageError: an unknown column or scorer, or no greedy answers.
    """
    check_output(output, logs, overwrite=overwrite)
    facts = [log_facts(log) for log in logs]
    _check_model(logs, facts)
    joined = _join(logs, facts, _QuestionParser(dict(columns or {}), split), filter_name)
    if not any(prompt.greedy for own in joined.answered.values() for prompt in own.prompts.values()):
        if not samples_as_prompts:
            raise UsageError(
                f"{logs[0]}: holds sampled answers only, which cannot tell HighlyKnown, MaybeKnown and WeaklyKnown "
                "apart. Run lm_eval once more with --gen_kwargs do_sample=False,temperature=0 and import both logs, or "
                "count each sample as the answer to a prompt of its own."
            )
        _take_samples_as_prompts(joined.answered.values())
    elif samples_as_prompts:
        raise UsageError("The logs hold greedy answers, so samples need not stand for them. Leave that option out.")
    protocol, complete = _protocol(logs, facts, joined, scorer)
    rule = AnswerScorer(scorer)
    items = [_categorize(own, protocol, rule) for own in complete]
    how = {"filter": filter_name, "samples_as_prompts": samples_as_prompts}
    header = _header(logs, facts, joined, protocol, items, how)
    write_category_file(output, header, items)
    return ImportResult(output, header, joined.unsteady)


def _check_model(logs: Sequence[Path], facts: Sequence[LogFacts]) -> None:
    known = {(one.model.id, one.model.dtype): log for log, one in zip(logs, facts, strict=True) if one.digest}
    if len(known) > 1:
        (first, _), (second, other) = list(known.items())[:2]
        raise DataError(
            f"{other}: is of the model {' in '.join(second)}, but the first log of {' in '.join(first)}. Import the "
            "logs of one model at a time."
        )


def _join(logs: Sequence[Path], facts: Sequence[LogFacts], parser: _QuestionParser, filter_name: str | None) -> _Logs:
    joined = _Logs()
    for log, known in zip(logs, facts, strict=True):
        seen: dict[str, int] = {}
        for sample in read_samples(log, filter_name):
            question = parser.question(sample, known.split)
            if seen.setdefault(question.id, sample.doc_id) != sample.doc_id:
                raise DataError(
                    f"{sample.where}: question {question.id!r} is duplicated. Name the column of its ids with the "
                    "option id, or import a log without duplicates."
                )
            joined.add(sample, question)
    return joined


class _QuestionParser:
    """Turns a logged document into a question."""

    def __init__(self, columns: dict[str, str], split: str | None) -> None:
        self._split = split
        checked = check_options(INFO, columns)
        self._columns = {name: str(value) for name, value in checked.items()}
        self._parse = RowParser(self._columns)
        self._parse_target = RowParser({**self._columns, "answers": "target"})

    def question(self, sample: Sample, usual_split: str) -> Question:
        """The question; its accepted answers are lm-eval's target where the document has no field for them."""
        row = {"target": sample.target, **_flat(sample.doc)}
        column = self._columns["split"] or "split"
        row[column] = self._split or row.get(column) or usual_split or None
        if self._columns["answers"] or "answers" in row or "answer" in row:
            return self._parse(sample.where, row)
        if sample.target.startswith("["):  # several answers, of which lm-eval logs Python's notation
            raise DataError(
                f"{sample.where}: several answers are accepted, and the log has no field answers. Name their field "
                f"with the option answers=FIELD; the fields are {', '.join(row)}."
            )
        return self._parse_target(sample.where, row)


def _flat(document: Mapping[str, Any], prefix: str = "", depth: int = 1) -> dict[str, Any]:
    """The fields of a document; those of an inner object have names such as ``answer.aliases``."""
    found: dict[str, Any] = {}
    for name, value in document.items():
        if isinstance(value, Mapping) and depth < _DEEPEST:
            found |= _flat(value, f"{prefix}{name}.", depth + 1)
        else:
            found[prefix + name] = value
    return found


def _take_samples_as_prompts(answered: Iterable[_Answered]) -> None:
    for own in answered:
        texts = [text for prompt in own.prompts.values() for text in prompt.samples]
        own.prompts = {str(number): _Prompt(greedy=[text]) for number, text in enumerate(texts)}


def _protocol(
    logs: Sequence[Path], facts: Sequence[LogFacts], joined: _Logs, scorer: str
) -> tuple[RecordedProtocol, list[_Answered]]:
    """The protocol, and the questions that have all answers which it names."""
    shapes = Counter(own.shape() for own in joined.answered.values())
    usual = max((shape for shape in shapes if shape), key=lambda shape: (shapes[shape], shape), default=None)
    if usual is None:
        raise DataError(
            f"{logs[0]}: no question has a greedy answer and equally many samples under each of its prompts. Import "
            "logs that belong together: every prompt greedily, and sampled either everywhere or nowhere."
        )
    greedy, sampled = joined.settings.get(False), joined.settings.get(True)
    protocol = RecordedProtocol(
        exemplar_sets=usual[0],
        shots=_common(one.shots for one in facts),
        samples=usual[1],
        temperature=_number((sampled or {}).get("temperature")),
        top_k=_whole((sampled or {}).get("top_k")),
        max_tokens=_common(_longest(settings) for settings in (greedy, sampled) if settings is not None),
        scorer=scorer,
        seed=None,
        template=None,
        chat=_common(one.chat for one in facts),
        system=_common(one.system for one in facts),
        exemplars=None,
        skip_blank_lines=False,  # lm-eval cuts at the first stop string
    )
    return protocol, [own for own in joined.answered.values() if own.shape() == usual]


def _categorize(own: _Answered, protocol: RecordedProtocol, scorer: AnswerScorer) -> CategorizedQuestion:
    prompts = own.prompts.values()
    greedy = [prompt.greedy[0] for prompt in prompts]
    item = scorer.categorize(
        own.question, protocol, greedy, [tuple(prompt.samples) if protocol.samples else None for prompt in prompts]
    )
    if item is None:
        raise DataError(f"Question {own.question.id!r}: its answers decide no category. Import complete logs.")
    return item


def _header(
    logs: Sequence[Path],
    facts: Sequence[LogFacts],
    joined: _Logs,
    protocol: RecordedProtocol,
    items: Sequence[CategorizedQuestion],
    how: Mapping[str, Any],
) -> Header:
    from kft_tasks.version import __version__

    tasks = tuple(dict.fromkeys(one.task for one in facts))
    models = [one.model for one in facts if one.digest]
    unknown = ModelIdentity(NOT_RECORDED, NOT_RECORDED, None, NOT_RECORDED)
    counts = Counter(item.category.value for item in items)
    return Header(
        kft_version=__version__,
        model=models[0] if len(models) == len(facts) else unknown,
        protocol=protocol,
        questions=QuestionsIdentity(
            set=", ".join(tasks),
            version=_common(one.version for one in facts) or NOT_RECORDED,
            split=_common(item.question.split for item in items) or NOT_RECORDED,
            count=len(items),
            digest=digest_questions(item.question for item in items),
            exemplars=NOT_RECORDED,
        ),
        exhaustive=True,
        counts={category.value: counts[category.value] for category in KnowledgeCategory},
        imported=Imported(
            tasks=tasks,
            lm_eval=_common(one.lm_eval for one in facts),
            logs=tuple(sha256_of_file(log) for log in logs),
            results=tuple(one.digest for one in facts if one.digest),
            greedy=joined.settings.get(False),
            sampled=joined.settings.get(True),
            **how,
            left_out=len(joined.answered) - len(items),
        ),
    )


def _common(values: Iterable[Value]) -> Value | None:
    """The value that all of them have; None if they differ."""
    found = set(values)
    return found.pop() if len(found) == 1 else None


def _longest(settings: Settings) -> int | None:
    return next((_whole(settings[name]) for name in LENGTHS if settings.get(name) is not None), None)


def _number(value: object) -> float | None:
    return float(value) if type(value) in (int, float) and value > 0 else None  # type: ignore[operator,arg-type]


def _whole(value: object) -> int | None:
    return value if type(value) is int and value > 0 else None
