"""The section on forgetting elsewhere of a run with known losses: numbers, and damaged reports."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from kft_cli.report.render import render_report
from kft_cli.report.report import build_report, read_report
from kft_tasks.evaluation.further_tasks import FurtherTasks, MetricRecord, TaskRecord, write_further_tasks
from kft_tasks.evaluation.text_loss import PassageLoss, TextLoss, write_text_loss
from mutating import mutations, try_each
from report_helpers import H, M, U, W, make_recipe, make_run

POINTS = ("base", "stage1", "stage2")


def make_elsewhere(folder: Path, nats: dict[str, list[float]], right: dict[str, list[float]]) -> Path:
    """A run with held-out text of two long and two short passages, and a task of four documents."""
    evaluation = {"shots": [4], "measurement": False, "other_type": False, "text": True, "also": ["quiz"]}
    recipe = make_recipe(evaluation=evaluation, questions={"set": "worldfacts", "held_out_types": ["river"]})
    answers = {point: {4: [True, point != "base"] * 4} for point in POINTS}
    run = make_run(
        folder, {point: [H, M, M, W, U, U] for point in POINTS}, answers, recipe=recipe, types=("capital", "river")
    )
    for point in POINTS:
        passages = [
            PassageLoss(id=f"p{n}", type=("speech", "novel")[n % 2], tokens=(100, 300)[n // 2], nats=value)
            for n, value in enumerate(nats[point])
        ]
        text = TextLoss(format="kft-text-loss/1", digest="ab", passages=passages)
        place = run / f"elsewhere-{point}"
        place.mkdir()
        write_text_loss(place / "text_loss.json", text)
        values = right[point]
        metric = MetricRecord(
            metric="acc", filter="none", value=sum(values) / 4, stderr=0.2, higher_is_better=True, values=values
        )
        task = TaskRecord(task="quiz", version="1", shots=0, n=4, metrics=[metric])
        found = FurtherTasks(format="kft-further-tasks/1", lm_eval="0.4.13", tasks=[task])
        write_further_tasks(place / "further_tasks.json", found)
        step = json.loads((run / f"evaluate-{point}" / "step.json").read_text(encoding="utf-8"))
        (place / "step.json").write_text(json.dumps({**step, "step": place.name}), encoding="utf-8")
    return run


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    nats = {"base": [300.0, 310, 900, 960], "stage1": [310.0, 320, 930, 990], "stage2": [320.0, 325, 930, 1020]}
    right = {"base": [1.0, 0, 1, 0], "stage1": [1.0, 0, 0, 0], "stage2": [1.0, 1, 1, 0]}
    return build_report(make_elsewhere(tmp_path_factory.mktemp("run") / "run", nats, right))


def test_losses_are_weighted_by_tokens(report: dict[str, Any]) -> None:
    text = report["elsewhere"]["text"]
    assert (text["passages"], text["tokens"]) == (4, 800)
    assert [row["mean"] for row in text["points"]] == pytest.approx([2470 / 800, 2550 / 800, 2595 / 800], rel=1e-5)
    changes = {(row["before"], row["after"]): row for row in text["changes"]}
    assert changes["base", "stage1"]["mean"] == pytest.approx(0.1)
    assert changes["base", "stage1"]["standard_error"] is None  # every token lost as much
    last = changes["base", "stage2"]
    assert last["low"] < 125 / 800 < last["high"]


def test_tasks_and_held_out_types_are_compared_with_the_base_model(report: dict[str, Any]) -> None:
    (task,) = report["elsewhere"]["tasks"]
    assert [row["difference"] for row in task["changes"]] == [-0.25, 0.25]
    held_out = report["elsewhere"]["held_out_types"]
    assert {(row["before"], row["after"]): row["difference"] for row in held_out["changes"]} == {
        ("base", "stage1"): 1,
        ("base", "stage2"): 1,
    }
    page = render_report(report)
    assert "| base → stage1 | 3.087 (21.9) | 3.188 (24.2) | +0.100 |" in page
    assert "| quiz | acc | 4 | base → stage2 | 0.500 ± 0.200 | 0.750 ± 0.200 | +0.250" in page


def test_a_mutated_section_is_refused_or_rendered(report: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "report.json"

    def read(value: Any) -> None:
        path.write_text(json.dumps({**report, "elsewhere": value}), encoding="utf-8")
        assert render_report(read_report(path))

    outcome = try_each(mutations(copy.deepcopy(report["elsewhere"]), every=29, start=4), read, str(path))
    assert not outcome.wrong, str(outcome)
    assert outcome.refused > 2 * len(outcome.read)
