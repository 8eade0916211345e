"""The record of an experiment: the paper's tables by content, over seeds."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from experiment_runs import ArmEffect, World
from kft_cli.experiment.beside import compare_experiments
from kft_cli.experiment.entity_graph import measure_graph
from kft_cli.experiment.hypothesis import Hypothesis
from kft_cli.experiment.record import ExperimentRecord, read_experiment
from kft_cli.experiment.render import render_experiment, summarize_experiment
from kft_cli.experiment.results import Plan, experiment_record
from kft_tasks.errors import DataError
from kft_tasks.files import write_json
from mutating import mutations, try_each

ARMS = {
    "none": ArmEffect(stages=()),
    "control": ArmEffect(gain=0.1, steps=60),
    "method": ArmEffect(stages=("stage1", "stage2"), gain=0.2, nats=0.05),
}
HYPOTHESIS = Hypothesis.model_validate(
    {"name": "more", "sentence": "Two stages beat one.", "measure": "test_accuracy", "shots": 4, "arm": "method"}
    | {"against": "control", "smallest": 1.0, "test": "crossed_t"}
)
PLAN = Plan("e", "An experiment.", {name: f"{name}!" for name in ARMS}, (0, 1, 2), (HYPOTHESIS,))


@pytest.fixture(scope="module")
def record() -> ExperimentRecord:
    return experiment_record(PLAN, World(ARMS, PLAN.seeds).runs())


def test_every_arm_says_its_seeds_steps_and_cost(record: ExperimentRecord) -> None:
    assert [(arm.name, arm.steps.mean, len(arm.seeds)) for arm in record.arms] == [
        ("none", 0, 3), ("control", 60, 3), ("method", 60, 3),
    ]  # fmt: skip
    assert record.arms[2].points == ["base", "stage1", "stage2"]
    assert record.missing == []


def test_levels_and_their_changes_belong_together(record: ExperimentRecord) -> None:
    rows = {(row.arm, row.point): row for row in record.accuracy if not row.held_out_types}
    assert set(rows) == {("none", "base"), ("control", "stage1"), ("method", "stage1"), ("method", "stage2")}
    base, best = rows["none", "base"].level, rows["method", "stage2"]
    assert best.from_base is not None
    assert best.from_base.difference == pytest.approx(best.level.mean - base.mean, abs=1e-5)
    assert (best.from_base.low or 0) > 0
    assert rows["none", "base"].from_base is None
    answer = record.hypotheses[0]
    assert answer.arm_mean == pytest.approx(best.level.mean, abs=1e-5)
    assert answer.verdict == "supported"


def test_counts_of_the_papers_tables_add_up(record: ExperimentRecord) -> None:
    for matrix in record.transitions:
        assert sum(sum(line.values()) for line in matrix.counts.values()) == pytest.approx(240, abs=0.01)
    matrix = next(one for one in record.transitions if (one.arm, one.point) == ("method", "stage2"))
    kept = next(one for one in record.kept if (one.arm, one.point) == ("method", "stage2"))
    assert matrix.counts["HighlyKnown"]["HighlyKnown"] == pytest.approx(kept.kept, abs=1e-3)
    assert kept.kept + kept.maybe + kept.never == pytest.approx(kept.n, abs=1e-3)
    known = {row.questions: row for row in record.highly_known if (row.arm, row.point) == ("method", "stage2")}
    assert known["all"].count == pytest.approx(known["trained"].count + known["untrained"].count, abs=1e-3)
    (growth,) = record.growth
    assert growth.counts[2] == pytest.approx(known["all"].count, abs=1e-3)
    assert growth.of_count == pytest.approx(growth.counts[2] / growth.counts[1] - 1, abs=1e-4)
    gain = (growth.counts[2] - growth.counts[0]) / (growth.counts[1] - growth.counts[0]) - 1
    assert growth.of_gain.difference == pytest.approx(gain, abs=1e-4)


def test_all_other_comparisons_are_exploratory(record: ExperimentRecord) -> None:
    pairs = [(row.measure, row.arm, row.against) for row in record.exploratory]
    assert ("test_accuracy", "method", "control") not in pairs  # a hypothesis asked it
    assert ("test_accuracy", "method", "none") in pairs
    assert ("kept", "method", "control") in pairs
    assert len(set(pairs)) == len(pairs)


def test_record_is_read_back_and_a_wrong_one_is_refused(record: ExperimentRecord, tmp_path: Path) -> None:
    path = tmp_path / "experiment.json"
    write_json(path, record.model_dump(mode="json"))
    assert read_experiment(path) == record
    value = json.loads(path.read_text(encoding="utf-8"))
    value["hypotheses"][0]["verdict"] = "proven"
    write_json(path, value)
    with pytest.raises(DataError, match=r"not the record of an experiment \(hypotheses\.0\.verdict"):
        read_experiment(path)


def test_missing_runs_are_named_and_arms_without_runs_left_out() -> None:
    runs = {key: run for key, run in World(ARMS, PLAN.seeds).runs().items() if key[0] == "control" and key[1] < 2}
    found = experiment_record(PLAN, runs)
    assert [arm.name for arm in found.arms] == ["control"]
    assert len(found.missing) == 7
    assert found.hypotheses[0].verdict == "not settled"
    with pytest.raises(DataError, match="no run is finished"):
        experiment_record(PLAN, {})


@pytest.mark.parametrize("linked", [False, True])
def test_graph_of_entities_tells_a_link_from_chance(linked: bool) -> None:
    """Upgraded questions share their answer with a trained one, or any question does with the same chance."""
    runs = [run for (arm, _), run in sorted(World(ARMS, PLAN.seeds).runs().items()) if arm == "method"]
    rng = np.random.default_rng(1)
    entities = {}
    for index, id_ in enumerate(runs[0].train.ids if runs[0].train else ()):
        train = runs[0].train
        assert train is not None
        rose = train.level["stage1"][index] > train.level["base"][index] or train.trained["stage1"][index]
        shared = (rose and rng.random() < 0.7) if linked else rng.random() < 0.3
        entities[id_] = (f"subject {index}", f"shared {index % 20}" if shared else f"own {index}")
    found = measure_graph("method", runs, entities)
    assert found is not None
    assert found.p is not None
    assert found.touching is not None
    assert found.expected is not None
    assert found.seeds == 3
    assert found.edges == 240
    assert (found.p < 0.05) == linked
    assert (found.touching > found.expected + 0.1) == linked


def test_a_mutated_record_is_refused_or_rendered(record: ExperimentRecord, tmp_path: Path) -> None:
    path = tmp_path / "experiment.json"

    def read(value: object) -> None:
        path.write_text(json.dumps(value), encoding="utf-8")
        found = read_experiment(path)
        assert render_experiment(found).startswith("# Experiment")
        assert summarize_experiment(found)
        compare_experiments([path], published=False)

    outcome = try_each(mutations(record.model_dump(mode="json"), every=61, start=5), read, str(path))
    assert not outcome.wrong, str(outcome)
    assert outcome.refused > 2 * len(outcome.read)


def test_an_experiment_in_which_nothing_happened_claims_nothing() -> None:
    arms = {"control": ArmEffect(), "method": ArmEffect(stages=("stage1", "stage2"))}
    hypothesis = HYPOTHESIS.model_copy(update={"smallest": 0.0})
    plan = Plan("e", "", dict.fromkeys(arms, ""), (0, 1, 2), (hypothesis,))
    page = render_experiment(experiment_record(plan, World(arms, plan.seeds, noise=0.3).runs()))
    assert page.split("**")[1] == "The data do not settle “Two stages beat one”."
    assert "**Not settled**: the interval contains 0." in page
    assert "| supported |" not in page
    two = replace(plan, hypotheses=(hypothesis, hypothesis.model_copy(update={"name": "once-more"})))
    page = render_experiment(experiment_record(two, World(arms, plan.seeds, noise=0.3).runs()))
    assert page.split("**")[1] == "The data settle none of the 2 hypotheses that were written before the run."
    assert "The gain of the first stage is not clearly above 0 itself." in page
