"""Every run against the first one, question by question, where nothing forbids it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kft_cli.comparison.changes import correct_readings, measure_change, outcome
from kft_cli.comparison.comparability import Differences, accuracy_differences, listed
from kft_cli.comparison.loading import LoadedRun, shared_groups
from kft_cli.stats.groups import QuestionGroups
from kft_tasks.evaluation.evaluate import Asking


def measure_paired(runs: Sequence[LoadedRun], asked: str | None) -> list[dict[str, Any]]:
    """Every run against the first, at their last points; Holm's correction covers these rows, each reading apart.

    Args:
        asked: the rule for a right answer that all runs should be scored by, if the user named one.
    """
    first, *others = runs
    groups = shared_groups(same_questions(first, runs))
    rows = [
        _pair(first, other, asking, asked, groups)
        for other in others
        for asking in dict.fromkeys((*first.askings, *other.askings))
    ]
    tested = [row for row in rows if row["paired"]]
    correct_readings(tested)
    for row in tested:
        row["outcome"] = outcome(row["clustered"])
    return rows


def same_questions(first: LoadedRun, runs: Sequence[LoadedRun]) -> list[LoadedRun]:
    """The runs that were asked the same test questions as the first."""
    return [run for run in runs if _questions(run) == _questions(first)]


def _questions(run: LoadedRun) -> tuple[str, int]:
    """What tells test questions apart: their digest, and their number, should a report be damaged."""
    return str(run.test["digest"]), int(run.test["n"])


def no_test(first: LoadedRun, other: LoadedRun, asking: Asking, asked: str | None = None) -> str | None:
    """Why the answers of two runs are not tested against each other; None where they can be."""
    reason = _no_pair(first, other, asking)
    return reason or _meaningless(first, other, _differences(first, other, asking), asked)


def _pair(
    first: LoadedRun, other: LoadedRun, asking: Asking, asked: str | None, groups: QuestionGroups | None
) -> dict[str, Any]:
    reason = no_test(first, other, asking, asked)
    row = {"from": first.name, "to": other.name, "shots": asking.shots, "other_type": asking.other_type}
    if reason is not None:
        return {**row, "paired": False, "reason": reason}
    named = [one.to_json() for one in _differences(first, other, asking).named]
    change = measure_change(first.right(asking), other.right(asking), groups)
    row |= {"paired": True, "sets": first.sets[asking], "scorer": first.scorer}
    return {**row, "differs": named, **change}


def _differences(first: LoadedRun, other: LoadedRun, asking: Asking) -> Differences:
    return accuracy_differences(first.report, other.report, asking=asking, scorers=(first.scorer, other.scorer))


def _no_pair(first: LoadedRun, other: LoadedRun, asking: Asking) -> str | None:
    """Why there are no two answers to the same question."""
    if _questions(first) != _questions(other):
        return "not paired: different test questions"
    missing = [run.name for run in (first, other) if asking not in run.askings]
    how = "with exemplars of another type" if asking.other_type else "with so many exemplars"
    return f"not paired: {missing[0]} was not tested {how}" if missing else None


def _meaningless(first: LoadedRun, other: LoadedRun, found: Differences, asked: str | None) -> str | None:
    """Why a paired test would say nothing about the models."""
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
