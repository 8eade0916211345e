"""Several runs side by side, and the paper's counts beside them: what is compared, as JSON values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kft_cli.comparison.changes import INDEPENDENT, deciding
from kft_cli.comparison.comparability import category_differences, listed
from kft_cli.comparison.loading import LoadedRun, asking_of, load_runs
from kft_cli.comparison.paired import measure_paired
from kft_cli.comparison.seeds import measure_arms, measure_seeds
from kft_cli.comparison.settings import differing, flat_settings, protocol_of_categories
from kft_cli.report.paper import load_paper, paper_runs
from kft_cli.report.run_layout import BASE
from kft_tasks.errors import UsageError

FORMAT = "kft-comparison/1"
PAPER = "paper"
ALL_QUESTIONS = "all"
"""The group of all training questions among the measured changes of a report."""
_SHOWN = ("n", "share", "low", "high")


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
    return compare_loaded(load_named(runs, scorer), scorer, with_paper=names_paper(runs))


def names_paper(runs: Sequence[Path]) -> bool:
    """Whether the paper's counts are wanted beside the runs."""
    return any(str(path) == PAPER and not path.exists() for path in runs)


def load_named(runs: Sequence[Path], scorer: str | None = None) -> list[LoadedRun]:
    """The runs among the paths of :func:`compare_runs`, loaded.

    Raises:
        UsageError: there is none, a run is named twice, or there is no such scorer.
        DataError: a path is no run, or a run is not finished.
    """
    paths = [path for path in runs if str(path) != PAPER or path.exists()]
    if not paths:
        raise UsageError("There is nothing to compare `paper` with. Name at least one run.")
    return load_runs(paths, scorer)


def compare_loaded(loaded: Sequence[LoadedRun], scorer: str | None, *, with_paper: bool) -> dict[str, Any]:
    """As :func:`compare_runs`, of runs that are loaded."""
    names = [run.name for run in loaded]
    settings = flat_settings([run.report for run in loaded])
    return {
        "format": FORMAT,
        "scorer": scorer or loaded[0].scorer,
        "runs": [_entry(loaded[0], run) for run in loaded],
        "settings": differing(names, settings),
        "test": _test_rows(loaded),
        "paired": measure_paired(loaded, scorer),
        "seeds": measure_seeds(loaded, settings),
        "arms": measure_arms(loaded, settings),
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
        "greedy_only": any(protocol_of_categories(report)[key] == 0 for key in ("samples", "later samples")),
        "movement": transition["movement"],
        "control": report["control"]["movement"] if report["control"] else None,
        "measured": _measured(report),
        "cost": report["cost"]["total"],
        "hardware": report["repeat"]["hardware"],
        "comparable": {**report["comparable"], "name": run.name},
    }


def _measured(report: Mapping[str, Any]) -> dict[str, Any] | None:
    """The change of P_correct of all training questions from base to last point; None where it was not measured."""
    ends = report["run"]["points"][0], report["run"]["points"][-1]
    rows = [
        row
        for span in (report.get("measured") or {}).get("changes", [])
        if (span["before"], span["after"]) == ends
        for row in span["rows"]
        if row["group"] == ALL_QUESTIONS
    ]
    return {key: rows[0][key] for key in ("n", "before", "after", "clustered")} if rows else None


def _test_rows(runs: Sequence[LoadedRun]) -> list[dict[str, Any]]:
    """Accuracy at base and at the last point of each run, and the change, by way of asking."""
    rows = []
    for run in runs:
        found = {(row["point"], asking_of(row)): row for row in run.test["accuracy"]}
        changes = {(asking_of(row), row["before"], row["after"]): row for row in run.test["differences"]}
        for asking in (asking for asking in run.askings if (BASE, asking) in found):
            base, last = ({key: found[point, asking][key] for key in _SHOWN} for point in (BASE, run.last))
            change = changes.get((asking, BASE, run.last))
            row = {"run": run.name, "shots": asking.shots, "other_type": asking.other_type}
            row |= {"sets": run.sets[asking], "scorer": run.scorer, "own_scorer": run.own_scorer}
            rows.append({**row, "base": base, "last": last, "point": run.last, "change": change and _change(change)})
    return rows


def _change(row: Mapping[str, Any]) -> dict[str, Any]:
    """The change of a report, by the reading that decides; reports without readings took questions as independent."""
    found = deciding(row.get("clustered") or {}) or {**row, "reading": INDEPENDENT}
    return {key: found[key] for key in ("difference", "low", "high", "reading")}
