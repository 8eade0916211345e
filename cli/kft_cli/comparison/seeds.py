"""Runs that differ only in their seed: how they changed, and how one group of seeds differs from another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from kft_cli.comparison.changes import measure_seeds_change, outcome
from kft_cli.comparison.loading import LoadedRun, shared_groups
from kft_cli.comparison.paired import no_test, same_questions
from kft_cli.comparison.settings import SEEDS
from kft_cli.report.measures.readings import correct
from kft_cli.stats.seeds import reach_of_seeds
from kft_cli.stats.spread import spread
from kft_tasks.evaluation.evaluate import Asking

Arm = Mapping[int, LoadedRun]
"""Runs that differ only in their seed, by seed."""


def measure_seeds(runs: Sequence[LoadedRun], settings: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Groups of runs that differ only in their seed: test accuracy after the last stage, and the change to it.

    ``clustered`` has the interval over seeds and clusters by reading. ``p`` and ``holm_p`` are of the sign-flip test
    over seeds, and None where that many seeds cannot come out below 0.05; ``reach`` says so.
    """
    rows: list[dict[str, Any]] = []
    for arm in _several(same_but_seed(runs, settings)):
        members = list(arm.values())
        for asking in members[0].askings:
            changes = [_changes(run.before(asking), run.right(asking)) for run in members]
            row = {"runs": [run.name for run in members], "shots": asking.shots, "other_type": asking.other_type}
            accuracy = spread([fmean(run.right(asking)) for run in members]).to_json()
            row |= {"sets": members[0].sets[asking], "scorer": members[0].scorer, "accuracy": accuracy}
            rows.append({**row, **_measured(changes, runs, members[0])})
    return _tested(rows)


def measure_arms(runs: Sequence[LoadedRun], settings: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The first group of seeds against every other one, after the last stage, paired by seed and question.

    Two runs of the same seed were asked with the same exemplars. Runs of different seeds were not, so their difference
    would mix the two recipes with two draws: what has no partner is left out, and a row says why nothing can be paired.
    """
    arms = _several(same_but_seed(runs, settings))
    if len(arms) < 2:
        return []
    rows = []
    first, *others = arms
    for other in others:
        askings = dict.fromkeys(asking for arm in (first, other) for asking in next(iter(arm.values())).askings)
        rows += [_arm_row(first, other, asking, runs) for asking in askings]
    return [*_tested([row for row in rows if row["paired"]]), *(row for row in rows if not row["paired"])]


def same_but_seed(runs: Sequence[LoadedRun], settings: Sequence[Mapping[str, Any]]) -> list[Arm]:
    """The runs in groups that differ only in their seed. The same seed again is the same run again, and left out."""
    arms: list[tuple[Any, dict[int, LoadedRun]]] = []
    for run, one in zip(runs, settings, strict=True):
        key = (run.scorer, run.askings, {name: value for name, value in one.items() if name not in SEEDS})
        arm = next((arm for known, arm in arms if known == key), None)
        if arm is None:
            arms.append((key, arm := {}))
        arm.setdefault(int(one["seed"]), run)
    return [arm for _, arm in arms]


def _several(arms: Sequence[Arm]) -> list[Arm]:
    return [arm for arm in arms if len(arm) > 1]


def _arm_row(first: Arm, other: Arm, asking: Asking, runs: Sequence[LoadedRun]) -> dict[str, Any]:
    seeds = [seed for seed in first if seed in other]
    row: dict[str, Any] = {
        "from": [run.name for run in first.values()],
        "to": [run.name for run in other.values()],
        "shots": asking.shots,
        "other_type": asking.other_type,
        "seeds": seeds,
        "left_out": [run.name for arm in (first, other) for seed, run in arm.items() if seed not in seeds],
    }
    reason = _no_arms(first, other, seeds, asking)
    if reason is not None:
        return {**row, "paired": False, "reason": reason}
    differences = [_changes(first[seed].right(asking), other[seed].right(asking)) for seed in seeds]
    member = first[seeds[0]]
    row |= {"paired": True, "sets": member.sets[asking], "scorer": member.scorer}
    return {**row, **_measured(differences, runs, member)}


def _no_arms(first: Arm, other: Arm, seeds: Sequence[int], asking: Asking) -> str | None:
    """Why two groups of seeds are not compared; None where they can be."""
    if len(seeds) < 2:
        one, two = (", ".join(str(seed) for seed in sorted(arm)) for arm in (first, other))
        have = "have no seed in common" if not seeds else "have only one seed in common"
        return (
            f"not paired: seeds {one} and {two} {have}, and runs of different seeds were asked with different "
            "exemplars; make runs of the same seeds"
        )
    reasons = (no_test(first[seed], other[seed], asking) for seed in seeds)
    return next((reason for reason in reasons if reason), None)


def _changes(before: Sequence[float], after: Sequence[float]) -> list[float]:
    return [two - one for one, two in zip(before, after, strict=True)]


def _measured(changes: Sequence[Sequence[float]], runs: Sequence[LoadedRun], member: LoadedRun) -> dict[str, Any]:
    groups = shared_groups(same_questions(member, runs))
    return {**measure_seeds_change(changes, groups), "reach": reach_of_seeds(len(changes))}


def _tested(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of one table, corrected, with what they come to."""
    correct([(row, False) for row in rows])
    return [{**row, "outcome": outcome(row["clustered"], row["holm_p"])} for row in rows]
