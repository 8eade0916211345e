"""What an experiment says where nothing happened, where something did, and where it cannot tell."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from experiment_runs import ArmEffect, Shape, World
from kft_cli.experiment.hypothesis import Hypothesis
from kft_cli.experiment.verdicts import Answer, answer_all, reach_sentence

SEEDS = tuple(range(8))


def hypothesis(name: str = "more", **values: Any) -> Hypothesis:
    given = {"measure": "test_accuracy", "shots": 4, "arm": "method", "against": "control", "smallest": 1.0}
    return Hypothesis.model_validate({"name": name, "sentence": "It does.", **given, **values})


def without(values: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key not in keys}


FOUR = [
    hypothesis("test"),
    hypothesis("train", measure="train_accuracy", shots=None),
    hypothesis("untrained", measure="highly_known", shots=None, questions="untrained"),
    hypothesis("kept", measure="kept", shots=None),
]


def answers(
    gain: float, *hypotheses: Hypothesis, seeds: tuple[int, ...] = SEEDS, draw: int = 0, **more: Any
) -> list[Answer]:
    arms = {"method": ArmEffect(gain=gain, **more), "control": ArmEffect()}
    return answer_all(hypotheses, World(arms, seeds, draw=draw).runs())


def test_a_true_effect_is_supported_and_its_opposite_contradicted() -> None:
    found = answers(0.15, *FOUR[:2], hypothesis("less", direction="lower"))
    assert [one.verdict for one in found] == ["supported", "supported", "contradicted"]
    assert [one.why for one in found][2] == "a clear difference in the other direction"
    first = found[0].difference
    assert first.means is not None
    assert first.deciding is not None
    assert first.means[0] - first.means[1] == pytest.approx(first.deciding.mean)
    assert found[0].p == pytest.approx(2 / 2**8)
    assert found[0].holm_p == pytest.approx(3 * 2 / 2**8)
    assert found[0].large_enough


def test_a_clear_effect_that_may_be_smaller_than_claimed_is_supported_in_its_direction_only() -> None:
    (found,) = answers(0.15, hypothesis(smallest=15.0))
    assert (found.verdict, found.large_enough) == ("supported", False)
    assert found.why == "a clear difference in this direction; it may be smaller than the one of interest"
    (found,) = answers(0.15, hypothesis(smallest=1.0))
    assert (found.large_enough, found.why) == (True, "a clear difference in this direction")


def test_an_effect_too_small_to_matter_is_contradicted_by_the_smallest_size_of_interest() -> None:
    (found,) = answers(0.0, hypothesis(smallest=15.0))
    assert (found.verdict, found.why) == ("contradicted", "clearly smaller than the smallest difference of interest")
    (found,) = answers(0.0, hypothesis(smallest=0.0))
    assert found.verdict == "not settled"
    assert found.p_small is None


def test_what_is_not_settled_says_what_would_have_been_seen() -> None:
    (found,) = answers(0.0, hypothesis(smallest=0.0))
    assert (found.verdict, found.why) == ("not settled", "the interval contains 0")
    assert found.detectable is not None
    assert 0.001 < found.detectable < 0.1


def test_few_seeds_and_many_hypotheses_can_show_nothing_by_sign_flips_and_say_so() -> None:
    six = answers(0.15, *FOUR, seeds=SEEDS[:6])
    assert [one.verdict for one in six] == ["not settled"] * 4
    assert six[0].why == "all seeds agree, and so few of them cannot show more after the correction"
    assert reach_sentence(six) == (
        "With so few seeds the sign-flip test cannot support any of 4 hypotheses: its smallest p, corrected for all of "
        "them, is 0.125. 8 seeds can."
    )
    assert reach_sentence(answers(0.15, *FOUR)) is None
    by_t = [one.model_copy(update={"test": "crossed_t"}) for one in FOUR]
    assert [one.verdict for one in answers(0.15, *by_t, seeds=SEEDS[:6])][:2] == ["supported"] * 2


def test_one_seed_settles_nothing() -> None:
    (found,) = answers(0.3, hypothesis(test="crossed_t"), seeds=(1,))
    assert (found.verdict, found.why) == ("not settled", "There is one seed only, which cannot show how seeds differ.")
    assert found.p is None


def test_the_24_percent_are_a_ratio_of_gains() -> None:
    growth = Hypothesis.model_validate(
        {"name": "g", "sentence": "s", "measure": "growth_of_gain", "arm": "method", "smallest": 24.0}
    )
    more = {"stages": ("stage1", "stage2"), "first": 0.5}
    (found,) = answers(0.3, growth, **more)
    assert found.verdict == "supported"
    change = found.difference.deciding
    assert change is not None
    assert change.mean == pytest.approx(1.0, abs=0.35)
    means = found.difference.means
    assert means is not None
    assert means[0] / means[1] - 1 == pytest.approx(change.mean)
    (found,) = answers(0.0, growth, **more)
    assert (found.verdict, found.why) == ("not settled", "The gain of the first stage is not clearly above 0 itself.")
    (found,) = answers(0.3, growth)
    assert found.why == "The arm has fewer than two stages."


def test_losses_points_and_held_out_types_are_compared() -> None:
    chosen = [
        Hypothesis.model_validate(
            {"name": "t", "sentence": "s", "measure": "text_loss", "arm": "method", "against": {"point": "base"}}
            | {"smallest": 0.05}
        ),
        hypothesis("held", measure="held_out_types", against={"arm": "method", "point": "base"}),
        hypothesis("up", measure="upgraded", shots=None),
    ]
    found = answers(0.15, *chosen, nats=0.2)
    assert [one.verdict for one in found][::2] == ["supported", "supported"]
    change = found[0].difference.deciding
    assert change is not None
    assert change.mean == pytest.approx(0.2, abs=0.02)
    assert change.clusters == 10
    assert found[1].difference.deciding is not None
    assert found[1].difference.deciding.n == 20  # of one type: subjects are its clusters


def test_what_cannot_be_compared_says_why() -> None:
    runs = World({"method": ArmEffect(), "control": ArmEffect()}, (1, 2)).runs()
    odd = {key: run for key, run in runs.items() if key != ("control", 2)}
    (found,) = answer_all([hypothesis(shots=2)], runs)
    assert found.why == "The test was not asked with 2 exemplars."
    (found,) = answer_all([hypothesis(point="stage9")], runs)
    assert found.why == "Arm method has no point stage9."
    (found,) = answer_all([hypothesis()], odd)
    assert found.difference.seeds == (1,)
    (found,) = answer_all([hypothesis()], {key: run for key, run in runs.items() if key[0] == "method"})
    assert found.why == "The two arms have no seed in common."


def simulated(test: str, gain: float, count: int, smallest: float) -> Counter[str]:
    """How often each verdict is given at least once in an experiment of four hypotheses with the same true effect."""
    chosen = [one.model_copy(update={"test": test, "smallest": smallest}) for one in FOUR]
    seen: Counter[str] = Counter()
    for draw in range(count):
        arms = {"method": ArmEffect(gain=gain, seeds_vary=0.02), "control": ArmEffect(seeds_vary=0.02)}
        runs = World(arms, SEEDS, Shape(train=96, test=96), draw=draw, noise=0.3).runs()
        seen.update({one.verdict for one in answer_all(chosen, runs)})
    return seen


@pytest.mark.slow
@pytest.mark.parametrize("test", ["sign_flips", "crossed_t"])
def test_where_nothing_happened_hardly_anything_is_claimed(test: str) -> None:
    """Errors of any of four hypotheses in at most 5 of 100 experiments, with room for the luck of 30 draws."""
    seen = simulated(test, 0.0, 30, 0.0)
    assert seen["supported"] + seen["contradicted"] <= 30 * 0.05 + 3
    assert seen["not settled"] == 30


@pytest.mark.slow
def test_a_large_effect_is_mostly_found() -> None:
    assert simulated("crossed_t", 0.12, 10, 1.0)["supported"] >= 9
