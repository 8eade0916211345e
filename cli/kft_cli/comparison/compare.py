"""Several runs side by side, and the paper's counts beside them: what is compared, as JSON values."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kft_cli.comparison.comparability import (
    EXEMPLARS,
    Differences,
    accuracy_differences,
    category_differences,
    listed,
)
from kft_cli.comparison.loading import LoadedRun, load_runs
from kft_cli.comparison.seeds import measure_seeds
from kft_cli.report.paper import load_paper, paper_runs
from kft_cli.report.run_layout import BASE
from kft_cli.stats.intervals import holm, paired_difference
from kft_tasks.errors import UsageError

FORMAT = "kft-comparison/1"
PAPER = "paper"


def compare_runs(runs: Sequence[Path], scorer: str | None = None) -> dict[str, Any]:
    """Compare run folders, report folders or ``report.json`` files; ``paper`` stands for the paper's counts.

    Test answers of all runs are scored by one rule where the answers are stored. A pair of runs is tested only where
    nothing forbids it, see :mod:`kft_cli.comparison.comparability`; elsewhere its row has ``"paired": false`` and says
    why in ``"reason"``.

    Args:
        scorer: rule for a right answer to the test questions; that of the first run where it is not given.

    Returns:
        JSON values, see :mod:`kft_cli.comparison.render`.

    Raises:
        UsageError: there is nothing to compare, a run is named twice, or there is no such scorer.
        DataError: a path is none of these, or a run is not finished.
    """
    paths = [path for path in runs if str(path) != PAPER or path.exists()]
    with_paper = len(paths) < len(runs)
    if not paths:
        raise UsageError("There is nothing to compare `paper` with. Name at least one run.")
    loaded = load_runs(paths, scorer)
    names = [run.name for run in loaded]
    settings = [_flat(run.report["run"]["settings"]) | _identity(run.report) for run in loaded]
    return {
        "format": FORMAT,
        "scorer": scorer or loaded[0].scorer,
        "runs": [_entry(loaded[0], run) for run in loaded],
        "settings": _differing(names, settings),
        "test": _test_rows(loaded),
        "paired": _paired(loaded, scorer),
        "seeds": measure_seeds(loaded, settings),
        "paper": {"citation": load_paper()["citation"], "runs": paper_runs()} if with_paper else None,
    }


def refusal(comparison: Mapping[str, Any]) -> str | None:
    """The error of a comparison of which nothing is possible; None if some of it is, or one run is merely shown."""
    if all(row["scorer"] != comparison["scorer"] for row in comparison["test"]):
        own = " and ".join(sorted({row["scorer"] for row in comparison["test"]}))
        return (
            f"No run can be scored by {comparison['scorer']}: reports hold no answers, only how {own} scored them. "
            "Give the run folder, or leave out --scorer."
        )
    pairs = comparison["paired"]
    if not pairs or comparison["seeds"] or any(row["paired"] for row in pairs):
        return None
    reasons = {row["to"]: row["reason"] for row in reversed(pairs)}  # one per run; the table has them all
    listing = ". ".join(f"{name} is {reasons[name]}" for name in dict.fromkeys(row["to"] for row in pairs))
    return (
        f"No run can be tested against the first one, {pairs[0]['from']}. {listing}. "
        "Compare runs of the same test questions, asked and scored in the same way."
    )


def _entry(first: LoadedRun, run: LoadedRun) -> dict[str, Any]:
    report = run.report
    transition = report["transitions"][-1]
    forbidding = category_differences(first.report, report).forbidding
    return {
        "name": run.name,
        "points": report["run"]["points"],
        "questions": report["run"]["questions"],
        "categories": report["categories"],
        "categories_comparable": {"comparable": not forbidding, "reason": listed(forbidding) or None},
        "movement": transition["movement"],
        "control": report["control"]["movement"] if report["control"] else None,
        "cost": report["cost"]["total"],
        "hardware": report["repeat"]["hardware"],
        "comparable": {**report["comparable"], "name": run.name},
    }


def _identity(report: Mapping[str, Any]) -> dict[str, Any]:
    """What a run was made on besides its recipe."""
    digests = report["repeat"]["digests"]
    return {
        "number of stages": len(report["stages"]),
        "weights of the base model": digests["model weights"],
        "precision of the base model": report["run"]["dtype"],
        "training questions": digests["training questions"],
        "test questions": digests["test questions"],
        EXEMPLARS: digests["exemplars"],
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


def _test_rows(runs: Sequence[LoadedRun]) -> list[dict[str, Any]]:
    """Accuracy at base and at the last point of each run, and the change, by number of shots."""
    rows = []
    for run in runs:
        found = {
            (row["point"], row["shots"]): {key: row[key] for key in ("count", "n", "share", "low", "high")}
            for row in run.test["accuracy"]
        }
        changes = {(row["shots"], row["before"], row["after"]): row for row in run.test["differences"]}
        for shots in run.test["shots"]:
            row = {"run": run.name, "shots": shots, "scorer": run.scorer, "own_scorer": run.own_scorer}
            row |= {"base": found[BASE, shots], "last": found[run.last, shots], "point": run.last}
            rows.append({**row, "change": changes[shots, BASE, run.last]})
    return rows


def _paired(runs: Sequence[LoadedRun], asked: str | None) -> list[dict[str, Any]]:
    """Every run against the first, at their last points, where nothing forbids it."""
    first, *others = runs
    rows = [
        _pair(first, other, shots, asked)
        for other in others
        for shots in dict.fromkeys((*first.test["shots"], *other.test["shots"]))
    ]
    tested = [row for row in rows if row["paired"]]
    for row, p in zip(tested, holm([row["mcnemar_p"] for row in tested]), strict=True):
        row["holm_p"] = p
    return rows


def _pair(first: LoadedRun, other: LoadedRun, shots: int, asked: str | None) -> dict[str, Any]:
    found = accuracy_differences(first.report, other.report, shots=shots, scorers=(first.scorer, other.scorer))
    reason = _no_pair(first, other, shots) or _no_test(first, other, found, asked)
    row = {"from": first.name, "to": other.name, "shots": shots, "paired": reason is None}
    if reason is not None:
        return {**row, "reason": reason}
    named = [one.to_json() for one in found.named]
    values = paired_difference(first.right(shots), other.right(shots)).to_json()
    return {**row, "scorer": first.scorer, "differs": named, **values}


def _no_pair(first: LoadedRun, other: LoadedRun, shots: int) -> str | None:
    """Why there are no two answers to the same question."""
    if first.test["digest"] != other.test["digest"]:
        return "not paired: different test questions"
    missing = [run.name for run in (first, other) if shots not in run.test["shots"]]
    return f"not paired: {missing[0]} was not tested with so many exemplars" if missing else None


def _no_test(first: LoadedRun, other: LoadedRun, found: Differences, asked: str | None) -> str | None:
    """Why a paired test would be meaningless."""
    asking = listed([one for one in found.forbidding if one.key != "scorer"])
    reasons = [reason for reason in (_other_scorer(first, other, asked), asking) if reason]
    return f"not tested: {'; '.join(reasons)}" if reasons else None


def _other_scorer(first: LoadedRun, other: LoadedRun, asked: str | None) -> str | None:
    """Why the answers of the two are not scored by the one rule, and what to do; None where they are."""
    rule = asked or first.scorer
    stuck = [run for run in (first, other) if run.scorer != rule]
    if not stuck:
        return None
    if asked is not None:
        names = " and ".join(f"{run.name} is scored by {run.scorer}" for run in stuck)
        return f"{names}, not by {rule}; give the run folder"
    remedy = f"give the run folder, or --scorer {other.scorer}" if first.folder else "give the run folder"
    return f"scored by {other.scorer}, the first run by {first.scorer}; {remedy}"
