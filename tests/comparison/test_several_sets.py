"""Test questions asked under several exemplar sets, of known and unknown types, and with exemplars of another type."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from comparison_runs import report_of, run_with

from kft_cli.comparison.changes import INDEPENDENT
from kft_cli.comparison.compare import compare_runs
from kft_cli.comparison.render import render_comparison

DEMO = Path(__file__).resolve().parents[1] / "fixtures" / "version_0_1_0" / "demo-run" / "report.json"
TYPES = tuple(f"type{number}" for number in range(8))
ALL, HALF, NEVER = (True, True), (True, False), (False, False)


def changed_report(path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """A report changed in place."""
    file = path / "report.json"
    report = json.loads(file.read_text(encoding="utf-8"))
    change(report)
    file.write_text(json.dumps(report), encoding="utf-8")
    return path


def pair(comparison: dict[str, Any], shots: int = 4, *, other_type: bool = False) -> dict[str, Any]:
    return next(row for row in comparison["paired"] if (row["shots"], row["other_type"]) == (shots, other_type))


def test_a_question_counts_by_its_share_of_right_answers(tmp_path: Path) -> None:
    base = [HALF] * 10
    one = run_with(tmp_path / "one", [ALL] * 4 + [HALF] * 6, base=base)
    two = run_with(tmp_path / "two", [ALL] * 3 + [HALF] * 3 + [NEVER] * 4, base=base)
    row = pair(compare_runs([one, two]))
    assert (row["sets"], row["n"], row["gained"], row["lost"]) == (2, 10, 0, 5)
    assert row["difference"] == pytest.approx(-0.25)  # five questions lost half a point each
    found = row["clustered"]["these types"]
    assert (found["before"], found["after"]) == pytest.approx((0.7, 0.45))
    assert pair(compare_runs([one, two]), 0)["sets"] == 1
    assert "| one → two | 4 (2 sets) | 10 | 0 | 5 |" in render_comparison(compare_runs([one, two]))


def typed_runs(folder: Path) -> tuple[Path, Path]:
    """Eighty questions of eight types in turn; the second run loses one whole type."""
    lost = [number % 8 != 0 for number in range(80)]
    one = run_with(folder / "one", [True] * 80, types=TYPES)
    return one, run_with(folder / "two", lost, types=TYPES)


def test_a_change_of_one_type_is_clear_for_these_types_and_not_for_types_like_these(tmp_path: Path) -> None:
    comparison = compare_runs(list(typed_runs(tmp_path)))
    row = pair(comparison)
    these, like_these = row["clustered"]["these types"], row["clustered"]["types like these"]
    assert (these["clusters"], like_these["clusters"]) == (80, 8)
    assert these["holm_p"] < 0.05
    assert these["high"] < 0
    assert like_these["holm_p"] == 1.0  # one type that changed is one coin
    assert like_these["high"] > 0
    assert row["outcome"] == "not clear"
    text = render_comparison(comparison)
    assert "types like these (8 types)" in text
    assert "so few types changed that p could not go below 1" in text
    assert "Types like these*: would other types of questions show it too?" in text
    effect = 100 * like_these["detectable"]["effect"]
    assert f"not clear: {effect:.1f} points would have been seen" in text


def test_types_in_a_report_are_as_good_as_a_run_folder(tmp_path: Path) -> None:
    one, two = typed_runs(tmp_path)

    def add(report: dict[str, Any]) -> None:
        report["test"]["groups"] = {"types": [number % 8 for number in range(80)], "subjects": list(range(80))}

    reports = [changed_report(report_of(run), add) for run in (one, two)]
    assert compare_runs(reports)["paired"] == compare_runs([one, two])["paired"]


def without_types(report: dict[str, Any]) -> None:
    report["test"].pop("groups", None)


def test_types_that_one_run_knows_are_those_of_the_other_too(tmp_path: Path) -> None:
    one, two = typed_runs(tmp_path)
    known = compare_runs([one, two])["paired"]
    report = changed_report(report_of(one), without_types)
    assert compare_runs([report, two])["paired"] == known


def test_reports_that_know_no_types_are_tested_with_a_caveat(tmp_path: Path) -> None:
    reports = [changed_report(report_of(run), without_types) for run in typed_runs(tmp_path)]
    comparison = compare_runs(reports)
    row = pair(comparison)
    assert list(row["clustered"]) == [INDEPENDENT]
    assert row["clustered"][INDEPENDENT]["clusters"] == 80
    assert row["outcome"] == "clear"
    text = render_comparison(comparison)
    assert "| one → two | 4 | 80 | 0 | 10 | independent questions |" in text
    assert "none of these reports says of what type and subject a question is" in text
    assert "They are too optimistic where questions of one type rise and fall together." in text
    assert "Types like these*" not in text.partition("**Compared with the first run**")[2]


def test_the_published_report_of_the_first_version_compares(tmp_path: Path) -> None:
    report = json.loads(DEMO.read_text(encoding="utf-8"))
    if "protocols" in report["run"]["settings"]:
        pytest.skip("the published report is of a later version")
    report["run"]["name"] = "again"
    for row in report["test"]["accuracy"]:
        row["right"] = "0" * 20 + row["right"][20:]
    (tmp_path / "report.json").write_text(json.dumps(report), encoding="utf-8")
    comparison = compare_runs([DEMO, tmp_path])
    row = pair(comparison)
    assert (row["paired"], row["n"], row["gained"], list(row["clustered"])) == (True, 150, 0, [INDEPENDENT])
    assert row["lost"] > 0
    assert comparison["settings"] == []
    assert all(one["measured"] is None for one in comparison["runs"])
    assert "† The report takes questions as independent" in render_comparison(comparison)


def test_exemplars_of_another_type_are_a_way_of_asking_of_their_own(tmp_path: Path) -> None:
    evaluation = {"shots": [4, 0], "measurement": False, "other_type": True}

    def others(last: list[bool]) -> dict[str, list[bool]]:
        return {"base": [False] * 10, "stage1": last, "stage2": last}

    common: dict[str, Any] = {"types": ("capital", "river"), "evaluation": evaluation}
    one = run_with(tmp_path / "one", [True] * 10, others=others([True] * 10), **common)
    two = run_with(tmp_path / "two", [True] * 10, others=others([True] * 7 + [False] * 3), **common)
    without = run_with(tmp_path / "three", [True] * 10, types=("capital", "river"))
    comparison = compare_runs([one, two, without])
    to_two = [(row["shots"], row["other_type"], row["lost"]) for row in comparison["paired"] if row["to"] == "two"]
    assert to_two == [(4, False, 0), (0, False, 0), (4, True, 3)]
    row = next(row for row in comparison["paired"] if row["to"] == "three" and row["other_type"])
    assert row["reason"] == "not paired: three was not tested with exemplars of another type"
    text = render_comparison(comparison)
    assert "| one → two | 4 of another type | 10 | 0 | 3 |" in text


def test_runs_under_different_numbers_of_exemplar_sets_are_not_tested_with_exemplars(tmp_path: Path) -> None:
    one = run_with(tmp_path / "one", [True] * 10)
    two = run_with(tmp_path / "two", [True] * 10, protocols={"test": {"exemplar_sets": 1}})
    rows = compare_runs([one, two])["paired"]
    assert [row["paired"] for row in rows] == [False, True]
    assert rows[0]["reason"] == "not tested: exemplar_sets 1, the first run 4"
    assert compare_runs([one, two])["settings"] == [
        {"key": "protocols.test.exemplar_sets", "values": {"one": 4, "two": 1}}
    ]


def measured_change(before: float, after: float) -> dict[str, Any]:
    """A report's section on what changed, whose last span has these shares of all questions."""
    untested = {"reading": "types like these", "n": 12, "clusters": 3, "degrees_of_freedom": 2.0, "changed": 1}
    untested |= {"before": before, "after": after, "difference": after - before, "low": -0.01, "high": 0.05}
    untested |= {"standard_error": 0.02, "design_effect": 1.0, "reason": None}
    seen = {"effect": 0.06, "power": 0.8, "n": 12, "design_effect": 1.0, "reason": None}
    tested = {**untested, "p": 0.2, "smallest_p": 0.01, "holm_p": 0.4, "detectable": seen}
    these = {"reading": "these types"}
    known = {"before": 3, "after": 3}
    known |= {"clustered": {"types like these": untested, "these types": {**untested, **these}}}
    row = {"group": "all", "n": 12, "before": before, "after": after, "main": True, "highly_known": known}
    row |= {"clustered": {"types like these": tested, "these types": {**tested, **these}}}
    first = {"before": "base", "after": "stage1", "rows": [{**row, "before": 0.9}]}
    last = {"before": "base", "after": "stage2", "rows": [{**row, "group": "HighlyKnown", "n": 3}, row]}
    measured = {"seed": 1, "n": 12, "of": 12, "greedy_only": True, "exemplar_sets": 4, "tests": 2, "main_tests": 1}
    return {**measured, "changes": [first, last], "against_control": [], "untrained": None, "trained": []}


def test_the_measured_change_of_all_training_questions_stands_beside_the_movement(tmp_path: Path) -> None:
    one, two = (report_of(run_with(tmp_path / name, [True] * 10)) for name in ("one", "two"))
    changed_report(one, lambda report: report.update(measured=measured_change(0.4, 0.42)))
    changed_report(two, lambda report: report.update(measured=None))
    comparison = compare_runs([one, two])
    first, second = (run["measured"] for run in comparison["runs"])
    assert (first["n"], first["before"], first["after"], second) == (12, 0.4, 0.42, None)
    page = render_comparison(comparison).partition("## What moved")[2].partition("\n## ")[0]
    assert "| 12 | 40.0 % → 42.0 % | +2.0 (−1.0 to +5.0) |" in page
    assert "| – | – | – |" in page
    assert "on exemplars by which no question was chosen" in page
    assert "P_correct" not in render_comparison(compare_runs([two]))


def test_greedy_categories_have_no_weakly_known(tmp_path: Path) -> None:
    one = report_of(run_with(tmp_path / "one", [True] * 10))

    def greedy(report: dict[str, Any]) -> None:
        report["run"]["settings"]["evaluation"]["measurement"] = True
        report["run"]["settings"]["protocols"]["measurement"]["samples"] = 0

    text = render_comparison(compare_runs([changed_report(one, greedy)]))
    row = next(line for line in text.splitlines() if line.startswith("| one | base |"))
    assert row.split(" | ")[4] == "–"
    assert "the last column then holds the questions that were never right" in text
