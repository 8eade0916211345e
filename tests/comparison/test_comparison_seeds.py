"""Runs that differ only in their seed, and what so few seeds can show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from comparison_runs import run_with, worded_run

from kft_cli.comparison.compare import compare_runs, refusal
from kft_cli.comparison.render import render_comparison


def seeded_runs(folder: Path, count: int, **changes: Any) -> list[Path]:
    """Runs of the seeds 1 to ``count``, with test prompts of their own, that rise by 50 points or a little less."""
    return [
        run_with(folder / f"seed{seed}", [True] * (10 - seed % 2) + [False] * (seed % 2), seed=seed, **changes)
        for seed in range(1, count + 1)
    ]


def test_five_seeds_have_no_p_and_the_reason(tmp_path: Path) -> None:
    comparison = compare_runs(seeded_runs(tmp_path, 5))
    assert [(row["p"], row["holm_p"], row["smallest_p"]) for row in comparison["seeds"]] == [(None, None, 0.0625)] * 2
    page = render_comparison(comparison).partition("## Several seeds")[2].partition("\n## ")[0]
    assert (
        "Five seeds cannot reach p < .05 in a two-sided sign-flip test, whose smallest p is 2/32 = .0625; six can."
        in page
    )
    assert "Where p is out of reach, none is shown." in page
    assert "Holm's correction" not in page
    rows = [line for line in page.splitlines() if line.startswith("| seed1")]
    assert len(rows) == 4
    assert all(line.split(" | ")[-2] == "–" for line in rows)
    assert [row["outcome"] for row in comparison["seeds"]] == ["not tested", "not tested"]


def test_six_seeds_have_a_p_that_can_be(tmp_path: Path) -> None:
    comparison = compare_runs(seeded_runs(tmp_path, 6))
    four, zero = comparison["seeds"]
    assert four["p"] == 0.03125
    assert four["holm_p"] == 0.0625  # two tests are in the table
    assert zero["p"] == 1.0
    page = render_comparison(comparison).partition("## Several seeds")[2].partition("\n## ")[0]
    assert "Six seeds can reach p = 2/64 = .0312 in a two-sided sign-flip test" in page
    assert "Holm's correction covers the 2 tests of this table and no others." in page


def test_seeds_with_prompts_of_their_own_are_taken_together_though_pairs_are_not_tested(tmp_path: Path) -> None:
    evaluation = {"shots": [4], "retest": False, "first_categories": False}
    one, two = (
        run_with(tmp_path / f"seed{seed}", [True] * 10, seed=seed, protocol={"seed": seed}, evaluation=evaluation)
        for seed in (1, 2)
    )
    comparison = compare_runs([one, two])
    assert [row["paired"] for row in comparison["paired"]] == [False]
    assert [row["runs"] for row in comparison["seeds"]] == [["seed1", "seed2"]]
    assert refusal(comparison) is None


def test_another_pool_of_exemplars_is_more_than_another_seed(tmp_path: Path) -> None:
    one, two = seeded_runs(tmp_path, 2)
    for path in two.glob("*/categories.jsonl"):
        path.write_text(path.read_text(encoding="utf-8").replace("ee" * 32, "ff" * 32), encoding="utf-8")
    assert compare_runs([one, two])["seeds"] == []


def test_seeds_are_scored_by_the_rule_of_the_comparison(tmp_path: Path) -> None:
    runs = [worded_run(tmp_path / f"seed{seed}", "exact_match", seed=seed) for seed in (1, 2)]
    own, other = compare_runs(runs)["seeds"][0], compare_runs(runs, "answer_contained")["seeds"][0]
    assert (own["scorer"], own["accuracy"]["mean"]) == ("exact_match", 0.0)
    assert (other["scorer"], other["accuracy"]["mean"]) == ("answer_contained", 1.0)


def test_seeds_that_all_give_the_same_have_no_interval_of_width_zero(tmp_path: Path) -> None:
    runs = [run_with(tmp_path / f"seed{seed}", [True] * 10, seed=seed) for seed in (1, 2)]
    row = compare_runs(runs)["seeds"][0]["clustered"]["these types"]
    assert row["low"] < row["difference"] == 0.5 < row["high"]
