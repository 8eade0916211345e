"""Runs that were asked or scored in different ways: one rule for all, or no test and the reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from comparison_runs import detected_with, report_of, run_with, worded_run

from kft_cli.comparison.compare import compare_runs, refusal
from kft_cli.comparison.render import render_comparison
from kft_cli.main import main
from kft_tasks.errors import UsageError

RIGHT = [True] * 10
ZERO_SHOT = {"shots": [0], "retest": False, "first_categories": False}


@pytest.fixture
def exact(tmp_path: Path) -> Path:
    return worded_run(tmp_path / "exact", "exact_match")


@pytest.fixture
def contained(tmp_path: Path) -> Path:
    return worded_run(tmp_path / "contained", "answer_contained")


def four_shot(comparison: dict[str, Any]) -> dict[str, Any]:
    return next(row for row in comparison["paired"] if row["shots"] == 4)


def kft(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    assert isinstance(stopped.value.code, int)
    return stopped.value.code, captured.out, captured.err


def test_the_same_answers_are_no_different_under_the_first_runs_rule(exact: Path, contained: Path) -> None:
    for first, other, scorer, right in (
        (exact, contained, "exact_match", 0.0),
        (contained, exact, "answer_contained", 1.0),
    ):
        comparison = compare_runs([first, other])
        row = four_shot(comparison)
        assert (row["paired"], row["scorer"], row["gained"], row["lost"]) == (True, scorer, 0, 0)
        assert (row["outcome"], row["clustered"]["these types"]["p"]) == ("not clear", 1.0)
        assert [row["last"]["share"] for row in comparison["test"] if row["shots"] == 4] == [right, right]
        assert {row["scorer"] for row in comparison["test"]} == {scorer}


def test_scorer_option_scores_all_runs(exact: Path, contained: Path) -> None:
    comparison = compare_runs([exact, contained], "answer_contained")
    assert [row["last"]["share"] for row in comparison["test"] if row["shots"] == 4] == [1.0, 1.0]
    assert four_shot(comparison)["scorer"] == comparison["scorer"] == "answer_contained"
    assert four_shot(comparison)["difference"] == 0.0
    text = render_comparison(comparison)
    assert "*Scored again* by answer_contained, in brackets the run's own rule: exact (exact_match)." in text
    assert "still decided the categories" in text


def test_an_unknown_scorer_is_refused(exact: Path) -> None:
    with pytest.raises(UsageError, match="Did you mean 'exact_match'"):
        compare_runs([exact], "exact_mach")


def test_a_report_of_another_scorer_is_not_tested(exact: Path, contained: Path) -> None:
    report = report_of(contained)
    comparison = compare_runs([exact, report])
    row = four_shot(comparison)
    assert row["paired"] is False
    assert row["reason"] == (
        "not tested: scored by answer_contained, the first run by exact_match; "
        "give the run folder, or --scorer answer_contained"
    )
    assert not {"clustered", "outcome", "difference"} & set(row)
    text = render_comparison(comparison)
    assert row["reason"] in text
    assert "0.00" not in text.partition("Compared with the first run")[2]
    assert "< 0.001" not in text
    assert "*Not scored* by exact_match, because a report holds no answers to score again" in text


def test_a_report_is_compared_under_its_own_rule_where_the_first_run_has_its_answers(
    exact: Path, contained: Path
) -> None:
    row = four_shot(compare_runs([exact, report_of(contained)], "answer_contained"))
    assert (row["paired"], row["difference"]) == (True, 0.0)


def test_a_folder_is_scored_by_the_rule_of_a_report_named_first(exact: Path, contained: Path) -> None:
    row = four_shot(compare_runs([report_of(exact), contained]))
    assert (row["paired"], row["scorer"], row["difference"]) == (True, "exact_match", 0.0)


def test_two_reports_of_different_scorers_need_their_folders(exact: Path, contained: Path) -> None:
    row = four_shot(compare_runs([report_of(exact), report_of(contained)]))
    assert row["reason"] == (
        "not tested: scored by answer_contained, the first run by exact_match; give the run folder"
    )
    row = four_shot(compare_runs([report_of(exact), contained], "answer_contained"))
    assert row["reason"] == "not tested: exact is scored by exact_match, not by answer_contained; give the run folder"


@pytest.mark.parametrize(
    ("key", "first", "other", "shown"),
    [
        ("max_tokens", 16, 8, "max_tokens 8, the first run 16"),
        ("template", "qa", "slick", "template slick, the first run qa"),
        ("chat", False, True, "chat True, the first run False"),
        ("system", "", "Be brief.", "system Be brief., the first run none"),
    ],
)
def test_runs_asked_in_another_way_are_not_tested(
    tmp_path: Path, key: str, first: object, other: object, shown: str
) -> None:
    one = run_with(tmp_path / "one", RIGHT, protocol={key: first})
    two = run_with(tmp_path / "two", [False] * 10, protocol={key: other})
    comparison = compare_runs([one, two])
    assert [(row["shots"], row["paired"], row["reason"]) for row in comparison["paired"]] == [
        (4, False, f"not tested: {shown}"),
        (0, False, f"not tested: {shown}"),
    ]


def test_another_draw_of_exemplars_forbids_only_tests_with_exemplars(tmp_path: Path) -> None:
    one = run_with(tmp_path / "one", RIGHT, protocol={"seed": 1})
    two = run_with(tmp_path / "two", [False] * 10, protocol={"seed": 2}, adapter={"r": 8})
    rows = compare_runs([one, two])["paired"]
    assert rows[0] == {
        "from": "one",
        "to": "two",
        "shots": 4,
        "other_type": False,
        "paired": False,
        "reason": "not tested: seed 10002, the first run 10001",
    }
    assert rows[1]["paired"]
    assert rows[1]["differs"] == [{"key": "seed", "first": 10_001, "other": 10_002}]


def test_model_and_question_set_are_named_beside_the_test(tmp_path: Path) -> None:
    one = run_with(tmp_path / "one", RIGHT)
    two = run_with(tmp_path / "two", RIGHT, model={"id": "other-model"})
    comparison = compare_runs([one, two])
    assert four_shot(comparison)["differs"] == [{"key": "model", "first": "tiny-model", "other": "other-model"}]
    text = render_comparison(comparison)
    assert "Tested although these differ too." in text
    assert "- two: model other-model, the first run tiny-model" in text


def test_numbers_of_exemplars_that_one_run_lacks_are_not_left_out_in_silence(tmp_path: Path) -> None:
    one = run_with(tmp_path / "one", RIGHT)
    two = run_with(tmp_path / "two", RIGHT, evaluation=ZERO_SHOT)
    comparison = compare_runs([one, two])
    assert [(row["shots"], row["paired"]) for row in comparison["paired"]] == [(4, False), (0, True)]
    assert four_shot(comparison)["reason"] == "not paired: two was not tested with so many exemplars"


def test_categories_under_another_protocol_are_flagged_with_the_values(tmp_path: Path) -> None:
    one = run_with(tmp_path / "one", RIGHT)
    two = detected_with(run_with(tmp_path / "two", RIGHT), temperature=0.7, scorer="exact_match")
    comparison = compare_runs([one, two])
    flags = [run["categories_comparable"] for run in comparison["runs"]]
    reason = "temperature 0.7, the first run 0.5; scorer exact_match, the first run answer_stated"
    assert flags == [{"comparable": True, "reason": None}, {"comparable": False, "reason": reason}]
    assert all(row["paired"] for row in comparison["paired"])  # the test itself was the same
    text = render_comparison(comparison)
    for section in ("## Categories of the training questions", "## What moved from the base model"):
        page = text.partition(section)[2].partition("\n## ")[0]
        assert "| two (not comparable) |" in page
        assert "| one |" in page
        assert f"- two: {reason}" in page
    assert "not comparable" not in render_comparison(compare_runs([one])).lower()


def test_the_caption_says_which_tests_holm_covers(exact: Path, contained: Path, tmp_path: Path) -> None:
    other = run_with(tmp_path / "other", RIGHT, protocol={"scorer": "exact_match", "max_tokens": 8})
    text = render_comparison(compare_runs([exact, contained, other]))
    assert "Holm's correction covers the 2 tests of this table and no others, for each reading apart." in text
    assert "Such rows have no p and are not in the family." in text


def test_impossible_comparisons_are_one_error_and_exit_code_1(
    exact: Path, contained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reports = report_of(exact), report_of(contained)
    code, out, err = kft(capsys, "compare", *reports)
    assert code == 1
    assert err.count("Error:") == 1
    assert "No run can be tested against the first one, exact." in err
    assert "contained is not tested: scored by answer_contained, the first run by exact_match" in err
    assert err.count("contained is ") == 1  # once per run, not per number of exemplars
    assert "not tested" in out  # the tables say it too
    assert "< 0.001" not in out
    code, out, err = kft(capsys, "compare", *reports, "--json")
    assert code == 1
    data = json.loads(out)
    assert data["error"] in err
    assert [row["paired"] for row in data["paired"]] == [False, False]
    assert all("reason" in row for row in data["paired"])


def test_some_possible_comparisons_are_exit_code_0(
    exact: Path, contained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    third = worded_run(tmp_path / "third", "exact_match", seed=5)
    code, out, err = kft(capsys, "compare", exact, report_of(contained), third, "--json")
    assert (code, err) == (0, "")
    assert [row["paired"] for row in json.loads(out)["paired"]] == [False, False, True, True]


def test_the_command_scores_by_the_rule_that_it_is_given(
    exact: Path, contained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = kft(capsys, "compare", exact, contained, "--scorer", "answer_contained", "--json")
    assert code == 0
    assert json.loads(out)["scorer"] == "answer_contained"
    code, out, err = kft(capsys, "compare", exact, "--scorer", "nothing", "--json")
    assert code == 2
    assert "Unknown scorer 'nothing'" in err


def test_a_report_alone_cannot_be_scored_by_another_rule(exact: Path) -> None:
    comparison = compare_runs([report_of(exact)], "answer_contained")
    error = refusal(comparison)
    assert error is not None
    assert error.startswith("No run can be scored by answer_contained")
    assert refusal(compare_runs([report_of(exact)])) is None


def test_runs_of_different_test_questions_are_an_error_too(tmp_path: Path) -> None:
    one, two = run_with(tmp_path / "one", RIGHT), run_with(tmp_path / "two", [True] * 8)
    assert "two is not paired: different test questions" in str(refusal(compare_runs([one, two])))
