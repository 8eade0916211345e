"""Which settings differ, where a run does not say all of them."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from comparison_runs import run_with

from kft_cli.comparison.settings import differing, flat_settings
from kft_cli.report.report import build_report


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return build_report(run_with(tmp_path_factory.mktemp("one") / "run", [True] * 10))


def differences(*reports: dict[str, Any]) -> dict[str, list[Any]]:
    names = [str(number) for number in range(len(reports))]
    return {row["key"]: list(row["values"].items()) for row in differing(names, flat_settings(reports))}


def with_setting(report: dict[str, Any], *path: Any, value: Any) -> dict[str, Any]:
    report = copy.deepcopy(report)
    inner = report["run"]["settings"]
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    return report


def test_a_protocol_of_one_purpose_is_held_against_what_the_other_run_did_there(report: dict[str, Any]) -> None:
    other = with_setting(report, "protocols", "validation", value={"max_tokens": 8})
    assert differences(report, other) == {"protocols.validation.max_tokens": [("0", 16), ("1", 8)]}
    same = with_setting(report, "protocols", "validation", value={"max_tokens": 16})
    assert differences(report, same) == {}


def test_a_setting_that_only_one_run_says_is_listed(report: dict[str, Any]) -> None:
    other = with_setting(report, "stages", 0, "keep_if_worse", value=False)
    assert differences(report, other) == {"stages.0.keep_if_worse": [("1", False)]}


def test_settings_of_a_stage_that_a_run_does_not_have_are_not_listed(report: dict[str, Any]) -> None:
    other = with_setting(report, "stages", value=report["run"]["settings"]["stages"][:1])
    other["stages"] = other["stages"][:1]
    assert differences(report, other) == {"number of stages": [("0", 2), ("1", 1)]}


def test_settings_of_the_first_version_are_made_complete(report: dict[str, Any]) -> None:
    old = copy.deepcopy(report)
    settings = old["run"]["settings"]
    del settings["protocols"]
    settings["evaluation"] = {"shots": [4, 0], "retest": True, "first_categories": True}
    assert differences(report, old) == {
        "protocols.measurement.seed": [("0", 10_003), ("1", 3)],
        "protocols.measurement.samples": [("0", 0), ("1", 8)],
        "protocols.test.seed": [("0", 10_003), ("1", 3)],
        "protocols.test.exemplar_sets": [("0", 4), ("1", 1)],
    }
