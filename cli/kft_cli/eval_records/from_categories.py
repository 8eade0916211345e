"""A category file as a record: the shares of the categories, P_correct, and a line per question."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kft_cli.eval_records.record import (
    SCHEMA,
    UNKNOWN,
    Evaluation,
    aggregate,
    named,
    share_result,
    source_data,
)
from kft_cli.stats.intervals import wilson_share
from kft_tasks.categories.category import KnowledgeCategory
from kft_tasks.categories.category_file import CategorizedQuestion, CategoryFile, Header
from kft_tasks.files import json_line, sha256_of_file
from kft_tasks.protocol.identity import NOT_RECORDED, SERVED
from kft_tasks.protocol.protocol import RecordedProtocol

_KNOWN = "highly_known"  # the result that the lines refer to: every file can say of every question whether it is
_NAMES = {
    KnowledgeCategory.HIGHLY_KNOWN: _KNOWN,
    KnowledgeCategory.MAYBE_KNOWN: "maybe_known",
    KnowledgeCategory.WEAKLY_KNOWN: "weakly_known",
    KnowledgeCategory.UNKNOWN: "unknown",
}
_MEANINGS = {
    KnowledgeCategory.HIGHLY_KNOWN: "all greedy answers are right",
    KnowledgeCategory.MAYBE_KNOWN: "some greedy answers are right",
    KnowledgeCategory.WEAKLY_KNOWN: "no greedy answer is right, a sampled one is",
    KnowledgeCategory.UNKNOWN: "no answer is right",
}


def category_records(path: Path, organization: str) -> Iterator[tuple[Path, Iterator[str]]]:
    """The record's files, as relative paths and their text in pieces: the questions first, then the record.

    Raises:
        DataError: a broken file.
    """
    file = CategoryFile(path)
    header = file.header
    evaluation = Evaluation(
        header.questions.set, named(header.model.id, organization), int(time.time()), sha256_of_file(path)
    )
    lines = _Lines(evaluation, file)
    yield Path(evaluation.path("_samples.jsonl")), iter(lines)
    record = aggregate(
        evaluation,
        organization,
        library=_library(header),
        details=_model_details(header),
        deployment=_deployment(header),
        results=[*_category_results(header), *lines.mean_results()],
    )
    record["detailed_evaluation_results"] = {
        "format": "jsonl",
        "file_path": str(evaluation.path("_samples.jsonl")),
        "hash_algorithm": "sha256",
        "checksum": lines.digest.hexdigest(),
        "total_rows": header.questions.count,
    }
    yield Path(evaluation.path()), iter([json.dumps(record, ensure_ascii=False, indent=2) + "\n"])


class _Lines:
    """A line per question; while they are read, what the means and the checksum need is summed."""

    def __init__(self, evaluation: Evaluation, file: CategoryFile) -> None:
        self._evaluation = evaluation
        self._file = file
        self._shares: dict[str, list[float]] = {"p_correct_greedy": [], "p_correct_sampled": []}
        self.digest = hashlib.sha256()

    def __iter__(self) -> Iterator[str]:
        for item in self._file:
            text = json_line(_line(item, self._evaluation, self._file.header.protocol))
            self.digest.update(text.encode())
            for name, share in _shares(item, self._file.header.protocol).items():
                self._shares[name].append(share)
            yield text

    def mean_results(self) -> Iterator[dict[str, Any]]:
        """P_correct over all questions, where every question has it."""
        header = self._file.header
        for name, shares in self._shares.items():
            if shares and len(shares) == header.questions.count:
                kind = name.removeprefix("p_correct_")
                yield share_result(
                    name,
                    f"mean share of right {kind} answers per question",
                    sum(shares) / len(shares),
                    evaluation=f"{header.questions.set}: P_correct of {kind} answers",
                    data=_data(header),
                    count=len(shares),
                    generation=_generation(header, sampled=kind == "sampled"),
                )


def _line(item: CategorizedQuestion, evaluation: Evaluation, protocol: RecordedProtocol) -> dict[str, Any]:
    question = item.question
    greedy = [text for text in item.greedy_answers if text is not None]
    known = item.category is KnowledgeCategory.HIGHLY_KNOWN
    hashed = hashlib.sha256((question.question + "".join(question.answers)).encode()).hexdigest()
    return {
        "schema_version": SCHEMA,
        "evaluation_id": evaluation.id,
        "model_id": evaluation.model.id,
        "evaluation_name": f"{evaluation.set}: {_KNOWN}",
        "evaluation_result_id": _KNOWN,
        "sample_id": question.id,
        "sample_hash": hashed,
        "interaction_type": "single_turn",
        "input": {"raw": question.question, "reference": list(question.answers)},
        "output": {"raw": greedy},
        "answer_attribution": [
            {
                "turn_idx": 0,
                "source": "output.raw",
                "extracted_value": text,
                "extraction_method": protocol.scorer,
                "is_terminal": True,
            }
            for text in greedy[:1]
        ],
        "evaluation": {"score": float(known), "is_correct": known},
        "metadata": {
            "category": item.category.value,
            "type": question.type,
            "split": question.split,
            "greedy_right": f"{item.greedy.right} of {item.greedy.asked}",
            "sampled_right": f"{item.sampled.right} of {item.sampled.asked}",
        },
    }


def _shares(item: CategorizedQuestion, protocol: RecordedProtocol) -> dict[str, float]:
    tallies = {
        "p_correct_greedy": (item.greedy, protocol.exemplar_sets),
        "p_correct_sampled": (item.sampled, protocol.sampled_total),
    }
    return {
        name: tally.share
        for name, (tally, total) in tallies.items()
        if tally.asked == total and tally.share is not None
    }


def _category_results(header: Header) -> Iterator[dict[str, Any]]:
    total = header.questions.count
    for category, name in _NAMES.items():
        share = wilson_share(header.counts.get(category.value, 0), total)
        if share.share is not None and share.low is not None and share.high is not None:
            yield share_result(
                name,
                f"share of questions that are {category}: {_MEANINGS[category]} (SliCK)",
                share.share,
                evaluation=f"{header.questions.set}: {name}",
                data=_data(header),
                count=total,
                lower_is_better=category is KnowledgeCategory.UNKNOWN,
                interval=(share.low, share.high, "Wilson"),
                generation=_generation(header, sampled=False),
            )


def _generation(header: Header, *, sampled: bool) -> dict[str, Any]:
    protocol = header.protocol
    arguments = {
        "temperature": protocol.temperature if sampled else 0.0,
        "top_k": protocol.top_k if sampled else None,
        "max_tokens": protocol.max_tokens,
    }
    details = {name: NOT_RECORDED if value is None else str(value) for name, value in protocol.to_json().items()}
    return {
        "generation_args": {name: value for name, value in arguments.items() if value is not None},
        "additional_details": {**details, "protocol_sha256": protocol.digest()},
    }


def _data(header: Header) -> dict[str, Any]:
    questions = header.questions
    details = {"version": questions.version, "split": questions.split, "questions_sha256": questions.digest}
    return source_data(questions.set, details)


def _library(header: Header) -> tuple[str, str]:
    if header.imported is not None:
        return "lm_eval", header.imported.lm_eval or UNKNOWN
    return "kft", header.kft_version


def _model_details(header: Header) -> dict[str, str]:
    model = header.model
    details = {"weights_sha256": model.weights, "dtype": model.dtype, "name_in_source": model.id}
    return details if model.adapter is None else {**details, "adapter_sha256": model.adapter}


def _deployment(header: Header) -> str:
    weights = header.model.weights
    return UNKNOWN if weights == NOT_RECORDED or weights.startswith(SERVED) else "self_deployed"
