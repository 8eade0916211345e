"""A report as records: one for the base model and one after each stage, with categories and test accuracy."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from kft_cli.eval_records.record import Evaluation, Named, aggregate, named, share_result, source_data
from kft_cli.report.report import read_report
from kft_cli.report.run_layout import BASE
from kft_tasks.files import sha256_of_file

_NAMES = {
    "HighlyKnown": "highly_known",
    "MaybeKnown": "maybe_known",
    "WeaklyKnown": "weakly_known",
    "Unknown": "unknown",
}


def report_records(path: Path, organization: str) -> Iterator[tuple[Path, Iterator[str]]]:
    """The files of the records, as relative paths and their text.

    Args:
        path: a ``report.json``.

    Raises:
        DataError: it is none, or broken.
    """
    report = read_report(path)
    run, made = report["run"], int(time.time())
    base = named(run["model"], organization)
    for point in run["points"]:
        model = base if point == BASE else Named(organization, f"{base.model}-{run['name']}-{point}")
        evaluation = Evaluation(run["question_set"], model, made, sha256_of_file(path))
        record = aggregate(
            evaluation,
            organization,
            library=("kft", report["repeat"]["kft_version"]),
            details=_details(report, point),
            deployment="self_deployed",
            results=[*_categories(report, point), *_accuracies(report, point)],
            when=int(datetime.fromisoformat(report["repeat"]["created"]).timestamp()),
        )
        yield Path(evaluation.path()), iter([json.dumps(record, ensure_ascii=False, indent=2) + "\n"])


def _details(report: Mapping[str, Any], point: str) -> dict[str, str]:
    run, digests = report["run"], report["repeat"]["digests"]
    details = {"base_model": run["model"], "base_weights_sha256": run["weights"], "dtype": run["dtype"], "point": point}
    adapter = digests.get(f"adapter after {point}")
    return details if adapter is None else {**details, "adapter_sha256": adapter}


def _categories(report: Mapping[str, Any], point: str) -> Iterator[dict[str, Any]]:
    run = report["run"]
    data = source_data(run["question_set"], {"version": run["question_set_version"], "split": "train"})
    for category, share in report["categories"].get(point, {}).items():
        if share["share"] is not None:
            yield share_result(
                _NAMES[category],
                f"share of training questions that are {category} (SliCK)",
                share["share"],
                evaluation=f"{run['question_set']}: {_NAMES[category]}",
                data=data,
                count=share["n"],
                lower_is_better=category == "Unknown",
                interval=_interval(share),
            )


def _accuracies(report: Mapping[str, Any], point: str) -> Iterator[dict[str, Any]]:
    run = report["run"]
    data = source_data(run["question_set"], {"version": run["question_set_version"], "split": "test"})
    for row in report["test"]["accuracy"]:
        if row["point"] == point and row["share"] is not None:
            other = bool(row.get("other_type"))
            name = f"test_accuracy_{row['shots']}_shot" + ("_other_type" if other else "")
            yield share_result(
                name,
                "share of right greedy answers to test questions" + (", exemplars of another type" if other else ""),
                row["share"],
                evaluation=f"{run['question_set']}: test accuracy",
                data=data,
                count=row["n"],
                interval=_interval(row),
                parameters={"shots": row["shots"], "other_type": other},
            )


def _interval(share: Mapping[str, Any]) -> tuple[float, float, str] | None:
    low, high = share["low"], share["high"]
    return None if low is None or high is None else (low, high, share.get("reading") or "Wilson")
