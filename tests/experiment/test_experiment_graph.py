"""Which steps runs share: keys follow from all that a step's result depends on, and from nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from experiment_helpers import TWO, keys_of, prepared
from kft_cli.experiment.graph import Graph, RunNode, StepNode, read_graph
from kill_runs import make_project


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    make_project(folder)
    return folder


def test_arms_share_what_is_the_same_and_seeds_do_not(project: Path, tmp_path: Path) -> None:
    keys = keys_of(prepared(project, tmp_path / "e", seeds=[1, 2]))
    shared = {name for arm, seed, name in keys if arm == "stage1" and seed == 1}
    assert shared == {
        "detect-base",
        "measure-base",
        "test-categories",
        "evaluate-base",
        "stage1",
        "measure-stage1",
        "evaluate-stage1",
    }
    assert all(keys["stage1", 1, name] == keys["method", 1, name] for name in shared)
    one, two = ({key for (_, seed, _), key in keys.items() if seed == number} for number in (1, 2))
    assert len(one) == len(two) == 11
    assert not one & two


POINTS = {f"{kind}-stage{number}" for kind in ("measure", "evaluate") for number in (1, 2)}

CHANGES: dict[str, tuple[Any, set[str]]] = {
    "stages.1.learning_rate": (0.5, {"stage2", "measure-stage2", "evaluate-stage2"}),
    "stages.0.max_steps": (1, {"stage1", "stage2", "detect-stage1", *POINTS}),
    "evaluation.shots": ([2], {f"evaluate-{point}" for point in ("base", "stage1", "stage2")}),
    "questions.limit.measurement": (5, {f"measure-{point}" for point in ("base", "stage1", "stage2")}),
    "description": ("other words", set()),
}


@pytest.mark.parametrize("key", CHANGES)
def test_a_change_reaches_the_steps_that_depend_on_it(project: Path, tmp_path: Path, key: str) -> None:
    value, changed = CHANGES[key]
    arms = {"method": TWO["method"], "other": {"stages": ["stage1", "stage2"], "set": {key: value}}}
    keys = keys_of(prepared(project, tmp_path / "e", arms=arms))
    names = {name for _, _, name in keys}
    assert {name for name in names if keys["method", 1, name] != keys["other", 1, name]} == changed


def test_other_questions_or_another_model_are_other_steps(project: Path, tmp_path: Path) -> None:
    before = keys_of(prepared(project, tmp_path / "one"))
    file = project / "questions.jsonl"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace('"train-0"', '"train-zero"'), encoding="utf-8")
    try:
        after = keys_of(prepared(project, tmp_path / "two"))
    finally:
        file.write_text(text, encoding="utf-8")
    assert before["method", 1, "detect-base"] != after["method", 1, "detect-base"]
    assert before["method", 1, "stage1"] != after["method", 1, "stage1"]
    assert before["method", 1, "evaluate-base"] == after["method", 1, "evaluate-base"]
    other = keys_of(prepared(project, tmp_path / "three", set={"model.dtype": "bfloat16"}))
    assert not set(before.values()) & set(other.values())


def test_keys_do_not_depend_on_the_folder_or_the_order_of_arms(project: Path, tmp_path: Path) -> None:
    one = keys_of(prepared(project, tmp_path / "one"))
    other = keys_of(prepared(project, tmp_path / "two", arms=dict(reversed(TWO.items()))))
    assert one == other


def test_the_graph_is_read_as_it_was_written(project: Path, tmp_path: Path) -> None:
    experiment = prepared(project, tmp_path / "e")
    assert read_graph(experiment.layout.graph) == experiment.graph


def node(kind: str, point: str, needs: list[str], runs: list[int], turn: int = 0) -> StepNode:
    return StepNode.model_validate({"kind": kind, "point": point, "needs": needs, "runs": runs, "turn": turn})


GRAPH = Graph(
    runs=[RunNode(arm=arm, seed=seed, steps={}, trains=True) for seed in (1, 2) for arm in ("a", "b")],
    steps={
        "detect1": node("detect", "base", [], [0, 1]),
        "measure1": node("measure", "base", [], [0, 1]),
        "train1": node("train", "stage1", ["detect1"], [0]),
        "test1": node("evaluate", "stage1", ["train1"], [0]),
        "detect2": node("detect", "base", [], [2, 3], 1),
    },
)


def test_what_is_ready_and_what_a_failure_blocks() -> None:
    assert GRAPH.ready((), ()) == ["detect1", "measure1", "detect2"]
    assert GRAPH.ready({"detect1"}, {"measure1"}) == ["train1", "detect2"]
    assert GRAPH.blocked({"detect1"}) == {"detect1", "train1", "test1"}
    assert GRAPH.blocked(()) == set()


def test_seed_by_seed_then_the_longest_path_then_what_is_loaded() -> None:
    assert sorted(GRAPH.steps, key=GRAPH.priority)[0] == "detect1"
    assert sorted(GRAPH.steps, key=GRAPH.priority)[-1] == "detect2"
    late = sorted(["measure1", "test1"], key=lambda key: GRAPH.priority(key, run=0, point="stage1"))
    assert late == ["test1", "measure1"]
