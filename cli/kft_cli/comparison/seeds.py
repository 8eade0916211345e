"""Runs that differ only in their seed: mean, spread, and what so few seeds can show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kft_cli.comparison.loading import LoadedRun
from kft_cli.stats.clusters import sign_flip_test, smallest_p
from kft_cli.stats.intervals import ALPHA, holm
from kft_cli.stats.spread import spread

_SEEDS = ("seed", "protocol.seed")


def measure_seeds(runs: Sequence[LoadedRun], settings: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Groups of runs that differ only in their seed: mean and spread of test accuracy and of its change.

    ``p`` and ``holm_p`` are None where that many seeds cannot come out below 0.05.
    """
    rows: list[dict[str, Any]] = []
    for members in _same_but_seed(runs, settings):
        for shots in members[0].test["shots"]:
            last = [sum(right) / len(right) for right in (run.right(shots) for run in members)]
            changes = [run.change(shots) for run in members]
            row = {"runs": [run.name for run in members], "shots": shots, "scorer": members[0].scorer}
            row |= {"accuracy": spread(last).to_json(), "change": spread(changes).to_json()}
            floor = smallest_p(len(members))
            row |= {"smallest_p": floor, "p": sign_flip_test(changes).p if floor < ALPHA else None, "holm_p": None}
            rows.append(row)
    tested = [row for row in rows if row["p"] is not None]
    for row, p in zip(tested, holm([row["p"] for row in tested]), strict=True):
        row["holm_p"] = p
    return rows


def _same_but_seed(runs: Sequence[LoadedRun], settings: Sequence[Mapping[str, Any]]) -> list[list[LoadedRun]]:
    groups: list[list[int]] = []
    keys = [
        (run.scorer, {key: value for key, value in one.items() if key not in _SEEDS})
        for run, one in zip(runs, settings, strict=True)
    ]
    for index, key in enumerate(keys):
        group = next((group for group in groups if keys[group[0]] == key), None)
        if group is None:
            groups.append([index])
        elif all(settings[index]["seed"] != settings[other]["seed"] for other in group):
            group.append(index)  # the same seed again is the same run again
    return [[runs[index] for index in group] for group in groups if len(group) > 1]
