"""Reports and measurements of kft with one value changed: refused with one error, or rendered and compared."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kft_cli.comparison.compare import compare_runs
from kft_cli.comparison.render import render_comparison
from kft_cli.pages.results import render_measurement
from kft_cli.report.render import render_report
from kft_cli.report.report import build_report, read_report, summarize
from kft_tasks.errors import DataError
from mutating import Outcome, mutations, places, try_each
from report_helpers import H, M, U, W, make_run

ROOT = Path(__file__).parents[2]
OLDER = ROOT / "tests" / "fixtures" / "version_0_1_0" / "tiny-run" / "report" / "report.json"
POINTS = {"base": [4, 3, 2, 2, 0, 0, 0, 0], "stage1": [4, 4, 4, 2, 1, 0, 0, 0], "stage2": [4, 2, 4, 4, 2, 1, 0, 0]}
EVERYTHING = {**POINTS, "stage1-continued": [4, 4, 4, 3, 1, 0, 0, 0]}


def _newest(folder: Path) -> dict[str, Any]:
    """A report with every section: measured, with control, exemplar sets, another type and first categories."""
    detections = {"base": [H, H, M, M, W, W, U, U], "stage1": [H, H, H, M, M, W, U, U]}
    sets = [(True, False), (True, True), (False, False), (False, True)]
    answers = {point: {4: sets, 0: [True, point != "base", False, None]} for point in EVERYTHING}
    others = {point: [True, point != "base", False, None] for point in EVERYTHING}
    run = make_run(
        folder,
        detections,
        answers,
        measurements=EVERYTHING,
        others=others,
        types=("capital", "river"),
        first=[H, M, W, U],
    )
    return build_report(run)


def _use(path: Path, other: Path) -> None:
    report = read_report(path)
    assert render_report(report).startswith("# Report of run")
    assert summarize(report)
    assert render_comparison(compare_runs([path, other]))


def _try(values: Iterator[tuple[str, Any]], path: Path, use: Callable[[], object]) -> Outcome:
    def read(value: Any) -> None:
        path.write_text(json.dumps(value), encoding="utf-8")
        use()

    return try_each(values, read, str(path))


def _check(report: dict[str, Any], tmp_path: Path, every: int, start: int) -> None:
    (tmp_path / "other").mkdir()
    other, path = tmp_path / "other" / "report.json", tmp_path / "report.json"
    other.write_text(json.dumps(report), encoding="utf-8")
    outcome = _try(mutations(report, every, start), path, lambda: _use(path, other))
    assert not outcome.wrong, str(outcome)
    assert outcome.refused > 3 * len(outcome.read)
    assert not [name for name in outcome.read if "one key more" in name and "reasons" not in name]


@pytest.mark.parametrize("name", ["older", "newest"])
def test_a_mutated_report_is_refused_or_rendered_and_compared(name: str, tmp_path: Path) -> None:
    older = json.loads(OLDER.read_text(encoding="utf-8"))
    _check(older if name == "older" else _newest(tmp_path / "run"), tmp_path, every=301, start=3)


@pytest.mark.slow
@pytest.mark.skipif("KFT_ATTACK_REPORTS" not in os.environ, reason="ten minutes; set KFT_ATTACK_REPORTS=1")
@pytest.mark.parametrize("name", ["older", "newest"])
def test_more_mutated_reports(name: str, tmp_path: Path) -> None:
    older = json.loads(OLDER.read_text(encoding="utf-8"))
    _check(older if name == "older" else _newest(tmp_path / "run"), tmp_path, every=31, start=0)


def test_a_missing_key_is_refused_or_may_be_missing(tmp_path: Path) -> None:
    """Keys of the newest report, deleted one by one."""
    report = _newest(tmp_path / "run")
    (tmp_path / "other").mkdir()
    other, path = tmp_path / "other" / "report.json", tmp_path / "report.json"
    other.write_text(json.dumps(report), encoding="utf-8")
    outcome = _try(mutations(report, every=19, kind="deleted"), path, lambda: _use(path, other))
    assert not outcome.wrong, str(outcome)
    assert outcome.refused > 50


def test_reports_of_one_digest_and_another_number_of_questions_are_not_paired(tmp_path: Path) -> None:
    report = json.loads(OLDER.read_text(encoding="utf-8"))
    (tmp_path / "other").mkdir()
    other, path = tmp_path / "other" / "report.json", tmp_path / "report.json"
    other.write_text(json.dumps(report), encoding="utf-8")
    report["test"]["n"] -= 1
    for row in report["test"]["accuracy"]:
        row["n"], row["right"] = row["n"] - 1, row["right"][1:]
    path.write_text(json.dumps(report), encoding="utf-8")
    comparison = compare_runs([path, other])
    assert {row["reason"] for row in comparison["paired"]} == {"not paired: different test questions"}


@pytest.mark.parametrize("name", ["benchmark/benchmark", "benchmark-training/benchmark", "certainty/certainty"])
def test_a_mutated_measurement_of_kft_is_refused_or_shown(name: str, tmp_path: Path) -> None:
    tree = json.loads((ROOT / "results" / f"{name}.json").read_text(encoding="utf-8"))
    path = tmp_path / Path(f"{name}.json").name
    outcome = _try(mutations(tree, every=7 if "certainty" in name else 1), path, lambda: render_measurement(path))
    assert not outcome.wrong, str(outcome)
    assert outcome.refused > 5 * len(outcome.read)
    assert len(list(places(tree))) > 50


def test_the_error_of_a_report_names_file_key_and_remedy(tmp_path: Path) -> None:
    report = json.loads(OLDER.read_text(encoding="utf-8"))
    del report["test"]["accuracy"][0]["share"]
    path = tmp_path / "report.json"
    path.write_text(json.dumps(report), encoding="utf-8")
    with pytest.raises(DataError) as caught:
        read_report(path)
    assert str(caught.value) == (
        f"{path}: not a report that can be used (test.accuracy.0.share: Field required). "
        "Write it again with `kft report RUN`."
    )


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda report: report["run"]["points"].append("stage1"), "points: must be base and then every stage once"),
        (lambda report: report["run"]["points"].append("stage3"), "categories: a point is missing"),
        (lambda report: report["test"]["accuracy"].pop(), "a point is missing where shots is"),
        (lambda report: report["test"]["differences"].clear(), "no change from first to last point"),
        (lambda report: report["test"]["accuracy"].append(report["test"]["accuracy"][0]), "is twice"),
        (lambda report: report["verdict"]["test"].append({"shots": 9, "outcome": "rose"}), "shots that were not asked"),
        (lambda report: report["stages"][0].update(chosen_epoch=77), "there is no epoch 77"),
        (lambda report: report["test"]["accuracy"][0].update(right="0"), "right: must have one entry"),
        (lambda report: report["cost"]["total"].update(made=None), "total.made and total.saved: must be numbers"),
        (lambda report: report["stages"][0]["settings"].pop("learning_rate"), "settings.learning_rate: missing"),
        (lambda report: report["test"].update(n=99), "accuracy: not of n questions"),
    ],
)
def test_parts_of_a_report_that_do_not_belong_together_are_refused(
    change: Callable[[dict[str, Any]], object], problem: str, tmp_path: Path
) -> None:
    report = json.loads(OLDER.read_text(encoding="utf-8"))
    change(report)
    path = tmp_path / "report.json"
    path.write_text(json.dumps(report), encoding="utf-8")
    with pytest.raises(DataError, match=problem):
        read_report(path)
