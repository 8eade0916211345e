"""What a report prints when nothing happened, and when only some types did."""

from __future__ import annotations

import dataclasses
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kft_cli.report.measures.accuracy import measure_differences
from kft_cli.report.render import render_report
from kft_cli.report.report import build_report, summarize
from kft_cli.report.run_data import read_run
from kft_cli.stats.groups import Reading
from kft_cli.stats.intervals import is_clear
from report_helpers import NULL_TYPES, H, M, U, W, make_run, null_run

CLAIM = re.compile(r"\b(rose|fell|clear|gain)\b")
NO_CLAIM = re.compile(
    r"[Nn]ot clear|did not clearly change|clear for this reading|clear\?|category rose|it fell; out of|"
    r"calls a change clear if it is clear for|a gain of form cannot be told"
)
"""Denials and definitions, which stand in every report."""


def claims(text: str) -> list[str]:
    """Lines that claim a change."""
    return [line for line in text.splitlines() if CLAIM.search(NO_CLAIM.sub("", line))]


def with_p(value: Any) -> Iterator[dict[str, Any]]:
    """Every record with a corrected p."""
    if isinstance(value, dict):
        if value.get("holm_p") is not None:
            yield value
        for child in value.values():
            yield from with_p(child)
    elif isinstance(value, list):
        for child in value:
            yield from with_p(child)


@pytest.mark.parametrize("empty", [False, True])
def test_training_that_changes_nothing_is_said_to_have_changed_nothing(tmp_path: Path, empty: bool) -> None:
    report = build_report(null_run(tmp_path / "run", empty=empty))
    found = list(with_p(report))
    assert len(found) > 50
    assert not [row for row in found if is_clear(row["holm_p"], row["low"], row["high"])]
    text = render_report(report)
    assert text.split("**")[1] == "Test accuracy did not clearly change from the base model to stage2."
    assert claims(text.split("## Examples")[0]) == []
    assert claims(summarize(report, 120)) == []


def false_claims(folder: Path, seeds: range, flips: float) -> int:
    """Runs whose verdict claims a change, or whose table has a clear one, though a share of answers is drawn anew."""
    found = 0
    for seed in seeds:
        report = build_report(null_run(folder / f"{flips}-{seed}", seed, train=20, flips=flips))
        rows = [row["clustered"]["types like these"] for row in report["test"]["differences"]]
        clear = any(is_clear(row["holm_p"], row["low"], row["high"]) for row in rows)
        text = render_report(report)
        claimed = claims(text.split("## What was run")[0]) + claims(summarize(report, 120))
        assert clear or not claimed
        found += clear
    return found


def test_noise_in_the_answers_is_not_called_a_change(tmp_path: Path) -> None:
    assert sum(false_claims(tmp_path, range(3), flips) for flips in (0.1, 0.3)) <= 1  # more: 3 % at a level of 5 %


@pytest.mark.slow
def test_noise_is_called_a_change_in_at_most_5_of_100_runs(tmp_path: Path) -> None:
    """One run is read; in each repetition a fifth of its test answers is drawn anew at every point."""
    data = read_run(null_run(tmp_path / "run", train=20))
    found = 0
    for seed in range(100):
        rng = random.Random(seed)
        drawn = {
            point: {
                asking: [
                    dataclasses.replace(item, right=(rng.random() < 0.4,)) if rng.random() < 0.2 else item
                    for item in items
                ]
                for asking, items in ways.items()
            }
            for point, ways in data.answers.items()
        }
        rows = measure_differences(drawn, data.askings, data.pairs, [Reading.TYPES_LIKE_THESE])
        readings = [row["clustered"]["types like these"] for row in rows]
        found += any(is_clear(one["holm_p"], one["low"], one["high"]) for one in readings)
    assert found <= 5


def test_unchanged_answers_say_what_could_have_been_missed(tmp_path: Path) -> None:
    text = render_report(build_report(null_run(tmp_path / "run")))
    row = "| 4 | base → stage2 | 0 | 0 | types like these (21 types) | 0.0 (−13.3 to +13.3) | 1.000 | 1.000 | – |"
    assert row in text
    assert "No question changed: rule of three over 21 types" in text


def run_of_types(folder: Path, moved: dict[int, bool], first: bool) -> dict[str, Any]:
    """420 test questions in 21 types; the types in ``moved`` answer all alike after training, the others as before."""
    before = [number % 2 == 0 if number % 21 not in moved else not moved[number % 21] for number in range(420)]
    after = [moved.get(number % 21, right) for number, right in enumerate(before)]
    answers: Any = {point: {4: before, 0: before} for point in ("base", "stage1")}
    answers["stage2"] = {4: after, 0: after}
    detections = {point: [H, M, W, U] for point in answers}
    return build_report(make_run(folder, detections, answers, types=NULL_TYPES, first=[M] * 420 if first else None))


def test_a_change_of_a_few_types_is_not_clear_for_types_like_these(tmp_path: Path) -> None:
    moved = {number: number < 5 for number in range(7)}  # five types up, two down
    report = run_of_types(tmp_path / "run", moved, first=False)
    row = report["test"]["differences"][2]
    assert (row["before"], row["after"], row["gained"], row["lost"]) == ("base", "stage2", 100, 40)
    assert row["mcnemar_p"] < 0.001  # as if the questions were independent
    these, like_these = row["clustered"]["these types"], row["clustered"]["types like these"]
    assert (these["clusters"], like_these["clusters"]) == (420, 21)
    assert like_these["design_effect"] > 10
    assert like_these["p"] == pytest.approx(2 * (1 + 7 + 21) / 2**7)
    assert report["verdict"]["test"][0]["outcome"] == "no clear change"
    text = render_report(report)
    assert "for types like these: 95 % interval" in text
    assert re.search(r"not clear: a change of \d+\.\d points would have been seen 80 % of the time", text)


def test_a_change_of_most_types_is_clear_for_both_readings(tmp_path: Path) -> None:
    report = run_of_types(tmp_path / "run", dict.fromkeys(range(14), True), first=True)
    row = report["test"]["differences"][2]
    assert row["clustered"]["types like these"]["holm_p"] < 0.05
    assert report["verdict"]["test"][0]["outcome"] == "rose"
    text = render_report(report)
    assert "Test accuracy rose from the base model to stage2." in text
    assert "| clear |" in text
    assert "*p, Holm*: corrected for all rows of the same reading in this table." in text
