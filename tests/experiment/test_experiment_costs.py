"""What an experiment is expected to take, from finished steps or from the table that comes with kft."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from experiment_helpers import prepared
from kft_cli.experiment.costs import estimate, experiment_cost, shipped_rates, works_of
from kft_cli.experiment.engine import Prepared
from kft_cli.pipeline.run_folder import StepCost
from kill_runs import make_project

SPEED = Path(__file__).parents[2] / "results" / "speed" / "steps.json"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    make_project(folder)
    return folder


def do_step(one: Prepared, key: str, seconds: float, tokens: float) -> None:
    name = one.graph.steps[key].step.name
    with one.store.take(key) as home:
        assert home is not None
        home.step(name, {}, lambda folder: StepCost(seconds, 2 * seconds, {"prefilled": tokens}))


def test_the_shipped_table_is_that_of_the_published_speed() -> None:
    """The recipe of that folder: 300 training, 240 test and 60 validation questions, 4 exemplar sets, 8 samples."""
    steps = {step["step"]: step for step in json.loads(SPEED.read_text(encoding="utf-8"))["after"]["steps"]}
    units = {"detect-base": 300 * 36, "test-categories": 240 * 36, "detect-stage1": 300 * 36}
    greedy, test = (
        dict.fromkeys([f"{kind}-{point}" for point in ("base", "stage1", "stage2")], 1200)
        for kind in ("measure", "evaluate")
    )
    rates = shipped_rates().rates
    for kind, of_kind in (("sampled", units), ("greedy", greedy), ("test", test)):
        seconds = sum(steps[name]["seconds"] for name in of_kind) / sum(of_kind.values())
        tokens = sum(sum(steps[name]["tokens"].values()) for name in of_kind) / sum(of_kind.values())
        assert rates[kind].seconds == pytest.approx(seconds, rel=0.01)  # type: ignore[index]
        assert rates[kind].tokens == pytest.approx(tokens, rel=0.01)  # type: ignore[index]
    assert set(rates) == {"sampled", "greedy", "test", "training", "elsewhere"}


def test_finished_steps_say_what_others_of_their_kind_take(project: Path, tmp_path: Path) -> None:
    one = prepared(project, tmp_path / "e", arms={"method": {"stages": ["stage1", "stage2"]}})
    works = works_of(one.graph, one.pipelines)
    keys = one.graph.runs[0].steps
    assert works[keys["measure-base"]].units == 12 * 2
    assert works[keys["detect-base"]].units == 12 * 2 * (1 + 2)
    before = estimate(one.store, works)
    assert before.measured == frozenset()
    assert before.cost(keys["measure-base"]).seconds == pytest.approx(24 * shipped_rates().rates["greedy"].seconds)
    do_step(one, keys["measure-base"], seconds=6.0, tokens=480)
    after = estimate(one.store, works)
    assert after.measured == {"greedy"}
    assert after.cost(keys["measure-stage1"]).seconds == pytest.approx(6.0)
    assert after.cost(keys["measure-stage1"]).tokens == pytest.approx(480)
    assert after.cost(keys["measure-base"]).cpu_seconds == 12.0
    assert after.cost(keys["evaluate-base"]) == before.cost(keys["evaluate-base"])


def test_sharing_is_what_separate_runs_would_have_done_again(project: Path, tmp_path: Path) -> None:
    one = prepared(project, tmp_path / "e", arms={"no-training": None, "stage1": None, "other": {"stages": []}})
    keys = one.graph.runs[1].steps
    do_step(one, keys["measure-base"], seconds=10.0, tokens=100)
    do_step(one, keys["measure-stage1"], seconds=5.0, tokens=50)
    cost = experiment_cost(one.store)
    assert (cost.total.steps, cost.total.seconds, cost.total.tokens) == (2, 15.0, 150)
    assert (cost.separate.steps, cost.separate.seconds) == (4, 35.0)
    assert cost.saved == pytest.approx(1 - 15 / 35)
    assert cost.kinds["measure"].seconds == 15.0
