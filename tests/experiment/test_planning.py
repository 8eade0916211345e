"""How many seeds the hypotheses of an experiment need, from a pilot with known effects."""

from __future__ import annotations

from statistics import fmean

import pytest

from experiment_runs import ArmEffect, World
from kft_cli.display.tables import terminal_text
from kft_cli.experiment.hypothesis import Hypothesis
from kft_cli.experiment.planning import SEEDS, PlannedSeeds, plan_seeds, power_section
from kft_cli.experiment.verdicts import difference_of
from kft_tasks.errors import DataError


def claim(**values: object) -> Hypothesis:
    given = {"name": "more", "sentence": "It does.", "measure": "test_accuracy", "shots": 4}
    return Hypothesis.model_validate({**given, "arm": "method", "against": "control", **values})


def plan(gain: float, seeds: int = 3, draw: int = 0, seeds_vary: float = 0.0) -> PlannedSeeds:
    arms = {"method": ArmEffect(gain=gain, seeds_vary=seeds_vary), "control": ArmEffect()}
    (planned,) = plan_seeds([claim()], World(arms, range(seeds), draw=draw).runs())
    return planned


def test_a_large_effect_needs_few_seeds_and_none_needs_more_than_there_are() -> None:
    large, small = plan(0.2), plan(0.0, seeds_vary=0.05)
    assert large.needed == 2
    assert large.power is not None
    assert min(large.power.values()) > 0.99
    assert small.power is not None
    assert small.power[3] < 0.3
    assert small.needed is None or small.needed > 10


def test_more_seeds_see_smaller_effects() -> None:
    planned = plan(0.05, seeds_vary=0.04)
    assert planned.detectable is not None
    found = [planned.detectable[count] for count in SEEDS]
    assert found == sorted(found, reverse=True)
    assert planned.discordance is not None
    assert 0 < planned.discordance < 1
    assert planned.design_effect is not None
    assert planned.deviation is not None
    assert 0.01 < planned.deviation < 0.1


def test_the_predicted_chance_is_about_how_often_it_is_seen() -> None:
    """A pilot of 4 seeds predicts for 6; its own effect is uncertain, so only the mean over pilots is compared."""
    predicted, seen = [], []
    for draw in range(30):
        arms = {"method": ArmEffect(gain=0.02, seeds_vary=0.02), "control": ArmEffect()}
        planned = plan(0.02, seeds=4, draw=1000 + draw, seeds_vary=0.02)
        assert planned.power is not None
        predicted.append(planned.power[6])
        change = difference_of(claim(), World(arms, range(6), draw=draw).runs()).deciding
        assert change is not None
        assert change.low is not None
        assert change.high is not None
        seen.append(not change.low <= 0 <= change.high)
    assert fmean(predicted) == pytest.approx(fmean(seen), abs=0.25)


def test_what_cannot_be_planned_says_why() -> None:
    alone = plan(0.1, seeds=1)
    assert alone.power is None
    assert "one seed" in alone.reason
    runs = World({"method": ArmEffect()}, range(3)).runs()
    (missing,) = plan_seeds([claim()], runs)
    assert missing.reason == "The two arms have no seed in common."
    text = terminal_text([power_section([alone, missing, plan(0.2)])], 200)
    assert "no seed in common" in text
    assert "20.0" in text or "100 %" in text
    with pytest.raises(DataError, match="no hypotheses"):
        plan_seeds([], runs)
