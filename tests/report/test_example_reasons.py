"""Beside the examples of a report: why the scorer finds the most frequent answer right or wrong."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from kft_cli.report.record import check_report
from kft_cli.report.render import render_report
from kft_cli.report.report import build_report
from kft_tasks.scoring.explanation import explain
from report_helpers import make_recipe, small_run

SCORER = make_recipe().protocol_object().scorer


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return build_report(small_run(tmp_path_factory.mktemp("run") / "small"))


def sides(report: dict[str, Any]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Every example with its question at one point."""
    examples = report["examples"]
    return [
        (example, example[side])
        for kind in ("upgraded", "forgotten")
        for example in examples[kind]["shown"]
        for side in ("before", "after")
    ]


def test_the_reason_is_the_scorers_own_for_the_answer_given_most_often(report: dict[str, Any]) -> None:
    scorer = SCORER
    found = sides(report)
    assert len(found) > 4
    for example, side in found:
        why = side["why"]
        assert why["answer"] == side["given"][0]["answer"]
        expected = explain(scorer, why["answer"], example["answers"], example["question"])
        assert (why["right"], why["rule"], why["words"]) == (expected.verdict, expected.rule, expected.words)


def test_the_report_shows_it(report: dict[str, Any]) -> None:
    text = render_report(report)
    assert "| question | given most often | at | is | because | words |" in text
    _, side = sides(report)[0]
    assert side["why"]["rule"].replace("'", "") in text.replace("'", "").replace("&#39;", "")


def test_reports_without_reasons_still_read_and_show_no_empty_table(report: dict[str, Any]) -> None:
    older = copy.deepcopy(report)
    for _, side in sides(older):
        del side["why"]
    check_report(older, Path("report.json"))
    text = render_report(older)
    assert "given most often" not in text
    assert "| question | accepted |" in text
