"""Reading lm-eval's sample logs: which answers a model gave to a document, under which prompts and settings."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kft_tasks.errors import DataError
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
    arguments: dict[str, dict[str, Any]]
    resps: list[Any]
    filter: str = ""


@dataclass(frozen=True)
class Request:
    """One request for a document and what the model answered.

    Attributes:
        prompt: text of the prompt, or the JSON of what was sent in its place.
        settings: generation settings as they were logged.
        answers: one per repeat, as the model gave them: before lm-eval's filters.
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


def read_samples(path: Path) -> Iterator[Sample]:
    """Stream a log. A task with several filters logs every document once for each; the first one is taken.

    Raises:
        DataError: the file is no log of generated answers, or is broken; the message names file and line.
    """
    first: str | None = None
    for number, row in read_jsonl(path):
        where = f"{path}:{number}"
        record = parse_record(_SampleRecord, row, where, REMEDY, "not a line of a sample log")
        first = record.filter if first is None else first
        if record.filter == first:
            yield Sample(where, record.doc_id, record.doc, _as_text(record.target), _requests(record, where))
    if first is None:
        raise DataError(f"{path}: is empty. {REMEDY}")


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


def _requests(record: _SampleRecord, where: str) -> tuple[Request, ...]:
    if len(record.arguments) != len(record.resps) or not record.resps:
        raise DataError(
            f"{where}: {len(record.arguments)} requests and {len(record.resps)} lists of answers do not fit. {REMEDY}"
        )
    return tuple(
        _request(arguments, given, where)
        for arguments, given in zip(record.arguments.values(), record.resps, strict=True)
    )


def _request(arguments: Mapping[str, Any], given: Any, where: str) -> Request:
    settings = arguments.get("arg_1")
    texts = isinstance(given, list) and bool(given) and all(isinstance(text, str) for text in given)
    if not isinstance(settings, dict) or not texts:
        raise DataError(
            f"{where}: holds no generated answers. Name the log of a task whose output_type is generate_until."
        )
    return Request(_as_text(arguments.get("arg_0")), settings, tuple(given))


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
