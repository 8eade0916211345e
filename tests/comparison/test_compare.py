from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from comparison_runs import run_with

from kft_cli.comparison.compare import compare_runs
from kft_cli.comparison.render import render_comparison
from kft_cli.report.report import write_report
from kft_tasks.errors import DataError, UsageError
from report_helpers import small_run


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    first = run_with(tmp_path / "first", [True] * 10, seed=1)
    second = run_with(tmp_path / "second", [True] * 8 + [False] * 2, seed=2)
    one_stage = [{"name": "stage1", "learning_rate": 1e-3, "mixture": [{"name": "all"}]}]
    return [first, second, run_with(tmp_path / "third", [True, False] * 5, seed=1, stages=one_stage)]


def test_settings_that_differ_are_listed_and_no_others(runs: list[Path]) -> None:
    found = {row["key"]: list(row["values"].values()) for row in compare_runs(runs)["settings"]}
    assert found == {
        "seed": [1, 2, 1],
        "stages.0.mixture": [[{"name": "maybe_known", "now": ["MaybeKnown"]}]] * 2 + [[{"name": "all"}]],
        "stages.0.learning_rate": [2e-4, 2e-4, 1e-3],
        "number of stages": [2, 2, 1],
    }


def test_runs_are_compared_with_the_first_question_by_question(runs: list[Path]) -> None:
    rows = [row for row in compare_runs(runs)["paired"] if row["shots"] == 4]
    assert [(row["from"], row["to"], row["n"], row["gained"], row["lost"]) for row in rows] == [
        ("first", "second", 10, 0, 2),
        ("first", "third", 10, 0, 5),
    ]
    found = rows[1]["clustered"]["these types"]
    assert found["p"] == 0.0625  # five questions, all lost
    assert found["holm_p"] == 0.25  # four comparisons are shown
    assert found["low"] < found["difference"] == -0.5 < found["high"] < 0
    assert rows[1]["outcome"] == "not clear"
    assert rows[1]["clustered"]["types like these"]["holm_p"] is None  # there is one type only


def test_other_test_questions_are_not_paired(tmp_path: Path) -> None:
    first = run_with(tmp_path / "first", [True] * 10)
    second = run_with(tmp_path / "second", [True] * 8)
    comparison = compare_runs([first, second])
    assert [row["paired"] for row in comparison["paired"]] == [False, False]
    assert "not paired: different test questions" in render_comparison(comparison)


def test_runs_that_differ_in_seed_only_are_taken_together(runs: list[Path]) -> None:
    rows = compare_runs(runs)["seeds"]
    assert [(row["runs"], row["shots"]) for row in rows] == [(["first", "second"], 4), (["first", "second"], 0)]
    assert rows[0]["accuracy"]["mean"] == pytest.approx(0.9)
    assert rows[0]["change"]["mean"] == pytest.approx(0.4)
    assert rows[0]["change"]["deviation"] == pytest.approx(0.1414214)


def test_the_same_seed_twice_is_not_two_seeds(tmp_path: Path) -> None:
    first = run_with(tmp_path / "first", [True] * 10)
    assert compare_runs([first, run_with(tmp_path / "again", [True] * 10)])["seeds"] == []


@pytest.mark.usefixtures("no_figures")
def test_run_folders_reports_and_report_files_compare_alike(runs: list[Path], tmp_path: Path) -> None:
    for run in runs:
        write_report(run)
    published = tmp_path / "published"
    shutil.copytree(runs[1] / "report", published)
    mixed = compare_runs([runs[0], published, runs[2] / "report" / "report.json"])
    assert mixed == compare_runs(runs)
    assert json.loads(json.dumps(mixed)) == mixed


def test_paper_stands_beside_the_runs(runs: list[Path]) -> None:
    comparison = compare_runs([*runs, Path("paper")])
    assert [run["name"] for run in comparison["paper"]["runs"]] == ["paper, run A", "paper, run B", "paper, run C"]
    text = render_comparison(comparison)
    assert "169,164" in text
    assert "The model, the questions and the protocol are different ones." in text
    assert compare_runs(runs)["paper"] is None


def test_rendering_for_the_terminal_has_the_same_numbers(runs: list[Path]) -> None:
    comparison = compare_runs([*runs, Path("paper")])
    text = render_comparison(comparison, terminal=True)
    assert "**" not in text
    assert "+50.0" in text
    assert "+50.0" in render_comparison(comparison)


def test_runs_of_one_name_are_told_apart_by_path(tmp_path: Path) -> None:
    one, two = run_with(tmp_path / "a", [True] * 10, name="same"), run_with(tmp_path / "b", [True] * 10, name="same")
    assert [run["name"] for run in compare_runs([one, two])["runs"]] == [str(one), str(two)]
    with pytest.raises(UsageError, match="twice"):
        compare_runs([one, one])


def test_nothing_to_compare_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Name at least one run"):
        compare_runs([Path("paper")])
    with pytest.raises(DataError, match="not a run folder"):
        compare_runs([tmp_path])
    (tmp_path / "report.json").write_text("{}", encoding="utf-8")
    with pytest.raises(DataError, match="kft-report"):
        compare_runs([tmp_path])


def test_one_run_can_be_shown_with_the_paper(tmp_path: Path) -> None:
    text = render_comparison(compare_runs([small_run(tmp_path / "run"), Path("paper")]))
    assert "There is only one run." in text
    assert "Compared with the first run" not in text
