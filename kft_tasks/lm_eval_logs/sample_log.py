"""Reading lm-eval's sample logs: which answers a model gave to a document, under which prompts and settings."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from kft_tasks.errors import DataError, suggest
from kft_tasks.files import read_jsonl
from kft_tasks.records import OpenRecord, parse_record

REMEDY = "Name the samples_*.jsonl files that `lm_eval --log_samples` wrote."
LENGTHS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
"""lm-eval's names for the largest number of tokens, in its order of precedence."""


class _SampleRecord(OpenRecord):
    """A line of a log, as lm-eval 0.4 and 0.5 write it."""

    doc_id: int
    doc: dict[str, Any]
    target: Any
    arguments: dict[str, dict[str, Any]] | list[list[Any]]
    resps: list[Any]
    filtered_resps: list[Any] = Field(default_factory=list)
    filter: str = ""


@dataclass(frozen=True)
class Request:
    """One request for a document and what the model answered.

    Attributes:
        prompt: text of the prompt, or the JSON of what was sent in its place.
        settings: generation settings as they were logged.
        answers: one per repeat, as the model gave them or as a filter of the task left them.
    """

    prompt: str
    settings: Mapping[str, Any]
    answers: tuple[str, ...]


@dataclass(frozen=True)
class Sample:
    """A document with all its requests.

    Attributes:
        where: "file:line", for messages.
        target: what lm-eval's task takes for right, as text.
    """

    where: str
    doc_id: int
    doc: Mapping[str, Any]
    target: str
    requests: tuple[Request, ...]


def read_samples(path: Path, filter_name: str | None = None) -> Iterator[Sample]:
    """Stream a log. A task with several filters logs every document once for each.

    Args:
        path: the log.
        filter_name: filter of the task whose answers are taken; None takes them as the model gave them.

    Raises:
        DataError: the file is no log of generated answers, is broken, or knows no such filter; the message names file
            and line.
    """
    names: list[str] = []
    for number, row in read_jsonl(path):
        where = f"{path}:{number}"
        record = parse_record(_SampleRecord, row, where, REMEDY, "not a line of a sample log")
        if record.filter not in names:
            names.append(record.filter)
        if record.filter == (names[0] if filter_name is None else filter_name):
            requests = _requests(record, where, filtered=filter_name is not None)
            yield Sample(where, record.doc_id, record.doc, _as_text(record.target), requests)
    if not names:
        raise DataError(f"{path}: is empty. {REMEDY}")
    if filter_name not in (None, *names):
        raise DataError(f"{path}: holds no answers of a filter {filter_name!r}. {suggest(str(filter_name), names)}")


def is_sampled(settings: Mapping[str, Any], where: str) -> bool:
    """Whether a request with these settings samples, by lm-eval's own rule (``normalize_gen_kwargs``).

    Raises:
        DataError: the settings contradict each other, so that it depends on the model's class.
    """
    sample, temperature = settings.get("do_sample"), settings.get("temperature")
    if sample is None:
        return bool(temperature)
    if bool(sample) is not bool(temperature) and temperature is not None:
        raise DataError(
            f"{where}: do_sample is {json.dumps(sample)} and temperature {json.dumps(temperature)}, so it depends on "
            "the model's class whether the answer was sampled. Ask again with one of them changed."
        )
    return bool(sample)


def _requests(record: _SampleRecord, where: str, *, filtered: bool) -> tuple[Request, ...]:
    arguments = record.arguments
    if isinstance(arguments, dict):
        asked = [(one.get("arg_0"), one.get("arg_1")) for one in arguments.values()]
    else:  # before 0.4.4
        asked = [(one[0], one[1]) for one in arguments if len(one) == 2]
    if len(asked) != len(record.resps) or not asked:
        raise DataError(f"{where}: {len(asked)} requests and {len(record.resps)} lists of answers do not fit. {REMEDY}")
    given = record.resps
    if filtered:
        given = [[one] if isinstance(one, str) else one for one in record.filtered_resps]
        if [_size(one) for one in given] != [_size(one) for one in record.resps]:
            raise DataError(
                f"{where}: the filter {record.filter!r} keeps only some of the answers. Import them as the model gave "
                "them, or evaluate again with a filter that keeps all."
            )
    return tuple(
        _request(prompt, settings, texts, where) for (prompt, settings), texts in zip(asked, given, strict=True)
    )


def _request(prompt: Any, settings: Any, given: Any, where: str) -> Request:
    texts = isinstance(given, list) and bool(given) and all(isinstance(text, str) for text in given)
    if not isinstance(settings, dict) or not texts:
        raise DataError(
            f"{where}: holds no generated answers. Name the log of a task whose output_type is generate_until."
        )
    return Request(_as_text(prompt), settings, tuple(given))


def _size(given: Any) -> int:
    return len(given) if isinstance(given, list) else -1


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
