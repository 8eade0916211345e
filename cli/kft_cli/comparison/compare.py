"""Several runs side by side, and the paper's counts beside them: what is compared, as JSON values."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kft_cli.report.paper import load_paper, paper_runs
from kft_cli.report.report import build_report, read_report
from kft_cli.report.run_data import is_run
from kft_cli.report.run_layout import BASE, RunLayout
from kft_cli.stats.intervals import holm, paired_difference
from kft_cli.stats.spread import spread
from kft_tasks.errors import DataError, UsageError

FORMAT = "kft-comparison/1"
PAPER = "paper"
_SEEDS = ("seed", "protocol.seed")


def compare_runs(runs: Sequence[Path]) -> dict[str, Any]:
    """Compare run folders, report folders or ``report.json`` files; ``paper`` stands for the paper's counts.

    Returns:
        JSON values, see :mod:`kft_cli.comparison.render`.

    Raises:
        UsageError: there is nothing to compare, or a run is named twice.
        DataError: a path is none of these, or a run is not finished.
    """
    paths = [path for path in runs if str(path) != PAPER or path.exists()]
    with_paper = len(paths) < len(runs)
    if not paths:
        raise UsageError("There is nothing to compare `paper` with. Name at least one run.")
    reports = [_load(path) for path in paths]
    names = _names(paths, reports)
    settings = [_flat(report["run"]["settings"]) | _identity(report) for report in reports]
    return {
        "format": FORMAT,
        "runs": [_entry(name, report) for name, report in zip(names, reports, strict=True)],
        "settings": _differing(names, settings),
        "test": _test_rows(names, reports),
        "paired": _paired(names, reports),
        "seeds": _seeds(names, reports, settings),
        "paper": {"citation": load_paper()["citation"], "runs": paper_runs()} if with_paper else None,
    }


def _load(path: Path) -> dict[str, Any]:
    """The report of a path. A run folder is measured again, since a report in it may be out of date."""
    if path.is_file():
        return read_report(path)
    if is_run(path):
        return build_report(path)
    for file in (path / "report.json", RunLayout(path).report / "report.json"):
        if file.is_file():
            return read_report(file)
    raise DataError(
        f"{path}: not a run folder, and there is no report.json in it. Make a run with `kft run RECIPE -o {path}`."
    )


def _names(paths: Sequence[Path], reports: Sequence[Mapping[str, Any]]) -> list[str]:
    """Recipe names if they are distinct, else paths."""
    names = [str(report["run"]["name"]) for report in reports]
    if len(set(names)) < len(names):
        names = [str(path) for path in paths]
    if len(set(names)) < len(names):
        raise UsageError(f"{_duplicate(names)}: named twice. Name each run once.")
    return names


def _duplicate(names: Sequence[str]) -> str:
    return next(name for index, name in enumerate(names) if name in names[:index])


def _entry(name: str, report: Mapping[str, Any]) -> dict[str, Any]:
    last = report["transitions"][-1]
    return {
        "name": name,
        "points": report["run"]["points"],
        "questions": report["run"]["questions"],
        "categories": report["categories"],
        "movement": last["movement"],
        "against_control": last["against_control"],
        "control": report["control"]["movement"] if report["control"] else None,
        "cost": report["cost"]["total"],
        "hardware": report["repeat"]["hardware"],
        "comparable": {**report["comparable"], "name": name},
    }


def _identity(report: Mapping[str, Any]) -> dict[str, Any]:
    """What a run was made on besides its recipe."""
    digests = report["repeat"]["digests"]
    return {
        "number of stages": len(report["stages"]),
        "weights of the base model": digests["model weights"],
        "training questions": digests["training questions"],
        "test questions": digests["test questions"],
        "kft version": report["repeat"]["kft_version"],
    }


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    """Nested settings as ``{"stages.0.learning_rate": 0.0003}``; a mixture stays one value, a list of its parts."""
    if isinstance(value, Mapping) and value:
        items = ((f"{path}.{key}" if path else str(key), item) for key, item in value.items())
        return dict(itertools.chain.from_iterable(_flat(item, key).items() for key, item in items))
    if isinstance(value, list) and path == "stages":
        return dict(itertools.chain.from_iterable(_flat(item, f"{path}.{i}").items() for i, item in enumerate(value)))
    if isinstance(value, list) and path.endswith(".mixture"):
        return {path: [{key: item for key, item in part.items() if item is not None} for part in value]}
    return {path: value}


def _differing(names: Sequence[str], settings: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Settings that differ, with their values by run. A run that lacks a stage has no values for it."""
    keys = dict.fromkeys(itertools.chain.from_iterable(settings))
    rows = []
    for key in keys:
        values = {name: one[key] for name, one in zip(names, settings, strict=True) if key in one}
        first = next(iter(values.values()))
        if any(value != first for value in values.values()):
            rows.append({"key": key, "values": values})
    return rows


def _test_rows(names: Sequence[str], reports: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Accuracy at base and at the last point of each run, and the change, by number of shots."""
    rows = []
    for name, report in zip(names, reports, strict=True):
        last, found = report["run"]["points"][-1], {}
        for row in report["test"]["accuracy"]:
            found[row["point"], row["shots"]] = {key: row[key] for key in ("count", "n", "share", "low", "high")}
        changes = {(row["shots"], row["before"], row["after"]): row for row in report["test"]["differences"]}
        for shots in report["test"]["shots"]:
            row = {"run": name, "shots": shots, "base": found[BASE, shots], "last": found[last, shots]}
            rows.append({**row, "point": last, "change": changes[shots, BASE, last]})
    return rows


def _paired(names: Sequence[str], reports: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Every run against the first, at their last points, where the test questions are the same."""
    rows: list[dict[str, Any]] = []
    first = reports[0]
    for name, report in zip(names[1:], reports[1:], strict=True):
        same = first["test"]["digest"] == report["test"]["digest"]
        for shots in first["test"]["shots"]:
            if shots in report["test"]["shots"]:
                row = {"from": names[0], "to": name, "shots": shots, "paired": same}
                rows.append({**row, **(_difference(first, report, shots) if same else {})})
    compared = [row for row in rows if row["paired"]]
    for row, p in zip(compared, holm([row["mcnemar_p"] for row in compared]), strict=True):
        row["holm_p"] = p
    return rows


def _difference(first: Mapping[str, Any], second: Mapping[str, Any], shots: int) -> dict[str, Any]:
    return paired_difference(_right(first, shots), _right(second, shots)).to_json()


def _right(report: Mapping[str, Any], shots: int) -> list[bool]:
    last = report["run"]["points"][-1]
    row = next(row for row in report["test"]["accuracy"] if (row["point"], row["shots"]) == (last, shots))
    return [digit == "1" for digit in row["right"]]


def _seeds(
    names: Sequence[str], reports: Sequence[Mapping[str, Any]], settings: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Groups of runs that differ only in their seed: mean and spread of test accuracy and of its change."""
    rows = []
    for members in _same_but_seed(settings):
        chosen = [reports[index] for index in members]
        for shots in chosen[0]["test"]["shots"]:
            last = [sum(right) / len(right) for right in (_right(report, shots) for report in chosen)]
            changes = [_change(report, shots) for report in chosen]
            row = {"runs": [names[index] for index in members], "shots": shots}
            rows.append({**row, "accuracy": spread(last).to_json(), "change": spread(changes).to_json()})
    return rows


def _same_but_seed(settings: Sequence[Mapping[str, Any]]) -> list[list[int]]:
    groups: list[list[int]] = []
    rest = [{key: value for key, value in one.items() if key not in _SEEDS} for one in settings]
    for index, one in enumerate(rest):
        group = next((group for group in groups if rest[group[0]] == one), None)
        if group is None:
            groups.append([index])
        elif all(settings[index]["seed"] != settings[other]["seed"] for other in group):
            group.append(index)  # the same seed again is the same run again
    return [group for group in groups if len(group) > 1]


def _change(report: Mapping[str, Any], shots: int) -> float:
    last = report["run"]["points"][-1]
    rows = report["test"]["differences"]
    row = next(row for row in rows if (row["shots"], row["before"], row["after"]) == (shots, BASE, last))
    return float(row["difference"])
