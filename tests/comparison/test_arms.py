"""Groups of runs that differ only in their seed: their change by both readings, and one group against another."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from comparison_runs import run_with

from kft_cli.comparison.loading import LoadedRun
from kft_cli.comparison.render import render_comparison
from kft_cli.comparison.render_accuracy import seed_blocks
from kft_cli.comparison.seeds import measure_arms, measure_seeds
from kft_cli.comparison.settings import flat_settings
from kft_cli.display.tables import Section, markdown_document
from kft_cli.report.report import build_report
from kft_cli.stats.groups import QuestionGroups, Reading
from kft_cli.stats.seeds import seeds_change
from kft_tasks.evaluation.evaluate import Asking

FOUR = Asking(4)
GROUPS = QuestionGroups([f"type {number % 8}" for number in range(80)], [str(number) for number in range(80)])
N = len(GROUPS)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return build_report(run_with(tmp_path_factory.mktemp("one") / "run", [True] * 10))


def loaded(
    report: dict[str, Any],
    name: str,
    seed: int,
    last: Sequence[float],
    *,
    base: Sequence[float] = (0.0,) * N,
    groups: QuestionGroups | None = GROUPS,
    max_tokens: int = 16,
    **settings: Any,
) -> LoadedRun:
    """A run in memory; its test draws exemplars by its seed, as runs do where only ``seed`` is set."""
    report = copy.deepcopy(report)
    report["run"]["settings"] |= {"seed": seed, **settings}
    report["run"]["settings"]["protocols"]["test"] |= {"seed": 10_000 + seed, "max_tokens": max_tokens}
    values = {("base", FOUR): base, (report["run"]["points"][-1], FOUR): last}
    return LoadedRun(name, report, report["test"], values, {FOUR: 2}, groups, "exact_match", None)


def share_right(count: int) -> list[float]:
    return [1.0] * count + [0.0] * (N - count)


def arms_of(runs: Sequence[LoadedRun]) -> list[dict[str, Any]]:
    return measure_arms(runs, flat_settings([run.report for run in runs]))


def seeds_of(runs: Sequence[LoadedRun]) -> list[dict[str, Any]]:
    return measure_seeds(runs, flat_settings([run.report for run in runs]))


def rendered(seeds: list[dict[str, Any]], arms: list[dict[str, Any]]) -> str:
    return markdown_document("page", [Section("Several seeds", tuple(seed_blocks({"seeds": seeds, "arms": arms})))])


def test_seeds_have_the_interval_over_seeds_and_clusters_by_both_readings(report: dict[str, Any]) -> None:
    rng = np.random.default_rng(1)
    before = [rng.integers(0, 3, N) / 2 for _ in range(3)]
    after = [rng.integers(0, 3, N) / 2 for _ in range(3)]
    runs = [loaded(report, f"seed{i}", i, list(after[i]), base=list(before[i])) for i in range(3)]
    [row] = seeds_of(runs)
    assert row["runs"] == ["seed0", "seed1", "seed2"]
    assert row["accuracy"]["mean"] == pytest.approx(np.mean(after))
    assert row["change"]["deviation"] == pytest.approx(np.std(np.mean(np.array(after) - before, axis=1), ddof=1))
    for reading in Reading:
        expected = seeds_change(np.array(after) - before, GROUPS, reading)
        found = row["clustered"][reading.value]
        assert (found["low"], found["high"]) == pytest.approx((expected.low, expected.high))
        assert found["clusters"] == (8 if reading is Reading.TYPES_LIKE_THESE else 80)
    assert row["reach"].startswith("Three seeds cannot reach p < .05")
    assert (row["p"], row["outcome"]) == (None, "not tested")


def test_six_seeds_that_agree_are_clear_and_two_rows_are_corrected(report: dict[str, Any]) -> None:
    rises = [40 + 2 * seed for seed in range(6)]
    strong = [loaded(report, f"seed{seed}", seed, share_right(count)) for seed, count in enumerate(rises)]
    [row] = seeds_of(strong)
    assert (row["p"], row["holm_p"], row["outcome"]) == (0.03125, 0.03125, "clear")
    both = seeds_of([*strong, *(loaded(report, f"b{i}", i, share_right(c), adapter={}) for i, c in enumerate(rises))])
    assert [(row["holm_p"], row["outcome"]) for row in both] == [(0.0625, "not clear")] * 2


def test_types_that_move_as_one_widen_the_interval_over_seeds(report: dict[str, Any]) -> None:
    last = [1.0 if number % 8 == 0 else 0.0 for number in range(N)]
    [row] = seeds_of([loaded(report, f"seed{seed}", seed, last) for seed in (1, 2)])
    these, like_these = (row["clustered"][name] for name in ("these types", "types like these"))
    assert these["low"] > 0 > like_these["low"]
    page = rendered([row], [])
    assert "not tested: too few seeds for p, though the interval does not contain 0" in page
    effect = 100 * like_these["detectable"]["effect"]
    assert f"not tested: too few seeds for p; {effect:.1f} points would have been seen" in page


def test_seeds_of_unknown_types_are_taken_as_independent_with_a_caveat(report: dict[str, Any]) -> None:
    rows = seeds_of([loaded(report, f"seed{seed}", seed, share_right(40), groups=None) for seed in (1, 2)])
    assert list(rows[0]["clustered"]) == ["independent questions"]
    assert "none of these reports says of what type" in rendered(rows, [])


def test_arms_are_paired_by_seed_and_question(report: dict[str, Any]) -> None:
    first = [loaded(report, f"a{seed}", seed, share_right(20)) for seed in (1, 2, 3)]
    second = [
        loaded(report, f"b{seed}", seed, share_right(count), adapter={"r": 8})
        for seed, count in ((3, 28), (1, 24), (9, 80))  # in another order, and one seed that has no partner
    ]
    [row] = arms_of([*first, *second])
    assert (row["paired"], row["from"], row["to"]) == (True, ["a1", "a2", "a3"], ["b3", "b1", "b9"])
    assert (row["seeds"], row["left_out"]) == ([1, 3], ["a2", "b9"])
    assert row["clustered"]["these types"]["per_seed"] == pytest.approx([4 / 80, 8 / 80])
    assert row["change"]["mean"] == pytest.approx(6 / 80)
    page = rendered([], [row])
    assert "| a1, a2, a3 → b3, b1, b9 | 4 (2 sets) | 2 | +7.5 ± 3.5 |" in page
    assert "Left out, because the other group has no run of the same seed: a2, b9." in page


def test_six_pairs_of_seeds_can_be_clear(report: dict[str, Any]) -> None:
    first = [loaded(report, f"a{seed}", seed, share_right(10)) for seed in range(6)]
    second = [loaded(report, f"b{seed}", seed, share_right(50 + seed), adapter={"r": 8}) for seed in range(6)]
    [row] = arms_of([*first, *second])
    assert (row["p"], row["outcome"]) == (0.03125, "clear")
    assert "Six seeds can reach p = 2/64 = .0312" in row["reach"]


def test_arms_of_other_seeds_are_not_paired_and_the_row_says_why(report: dict[str, Any]) -> None:
    runs = [loaded(report, f"a{seed}", seed, share_right(20)) for seed in (1, 2)]
    runs += [loaded(report, f"b{seed}", seed, share_right(20), adapter={"r": 8}) for seed in (3, 4)]
    [row] = arms_of(runs)
    assert row["reason"] == (
        "not paired: seeds 1, 2 and 3, 4 have no seed in common, and runs of different seeds were asked with different "
        "exemplars; make runs of the same seeds"
    )
    assert row["reason"] in rendered([], [row])
    one_common = [*runs[:2], *(loaded(report, f"b{seed}", seed, share_right(20), adapter={"r": 8}) for seed in (2, 3))]
    assert "have only one seed in common" in arms_of(one_common)[0]["reason"]


def test_arms_that_were_asked_in_another_way_are_not_tested(report: dict[str, Any]) -> None:
    runs = [loaded(report, f"a{seed}", seed, share_right(20)) for seed in (1, 2)]
    runs += [loaded(report, f"b{seed}", seed, share_right(20), max_tokens=8) for seed in (1, 2)]
    assert [row["reason"] for row in arms_of(runs)] == ["not tested: max_tokens 8, the first run 16"]


def test_one_group_of_seeds_or_single_runs_are_no_arms(report: dict[str, Any]) -> None:
    runs = [loaded(report, f"a{seed}", seed, share_right(20)) for seed in (1, 2)]
    assert arms_of(runs) == []
    assert arms_of([*runs, loaded(report, "b", 1, share_right(20), adapter={"r": 8})]) == []


def test_run_folders_of_two_arms_are_compared_from_end_to_end(tmp_path: Path) -> None:
    from kft_cli.comparison.compare import compare_runs

    runs = [
        run_with(tmp_path / f"{arm}{seed}", right, seed=seed, protocol={"seed": seed}, adapter={"r": r})
        for arm, r, right in (("a", 16, [True] * 10), ("b", 8, [True] * 8 + [False] * 2))
        for seed in (1, 2)
    ]
    comparison = compare_runs(runs)
    assert [row["runs"] for row in comparison["seeds"] if row["shots"] == 4] == [["a1", "a2"], ["b1", "b2"]]
    row = next(row for row in comparison["arms"] if row["shots"] == 4)
    assert (row["seeds"], row["change"]["mean"]) == ([1, 2], pytest.approx(-0.2))
    assert "**One group of seeds against another**" in render_comparison(comparison)
