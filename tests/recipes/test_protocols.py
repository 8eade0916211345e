"""One protocol per purpose: which values may differ, where their defaults come from, and how older recipes read."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from kft_train.errors import RecipeError
from kft_train.recipes.recipe import (
    MEASUREMENT_SEED,
    PURPOSES,
    ProtocolsConfig,
    Purpose,
    load_recipe,
    load_recorded_recipe,
    parse_recipe,
)

TREE: dict[str, Any] = {
    "name": "mine",
    "model": {"id": "somewhere"},
    "protocol": {"samples": 3, "scorer": "exact_match"},
    "stages": [{"name": "one", "mixture": [{"name": "all"}]}, {"name": "two", "mixture": [{"name": "all"}]}],
}
OLD_RUN = Path(__file__).parents[1] / "fixtures" / "version_0_1_0" / "tiny-run"


def recipe(**changes: Any) -> Any:
    return parse_recipe({**TREE, **changes}, "mine.yaml")


def test_without_differences_all_purposes_share_the_protocol_but_measurement_and_test_draw_anew() -> None:
    mine = recipe(seed=5)
    first = mine.protocol_object()
    assert first.seed == 5
    for purpose in ("detection", "redetection", "training", "validation"):
        assert mine.protocol_for(purpose) == first
    measured, tested = mine.protocol_for("measurement"), mine.protocol_for("test")
    assert (measured.seed, measured.samples) == (5 + MEASUREMENT_SEED, 0)
    assert (tested.seed, tested.samples) == (5 + MEASUREMENT_SEED, 3)
    assert tested.exemplar_sets == measured.exemplar_sets == first.exemplar_sets


def test_test_follows_the_seed_of_the_measurement_unless_it_has_its_own() -> None:
    mine = recipe(protocols={"measurement": {"seed": 8}})
    assert mine.protocol_for("test").seed == 8
    assert recipe(protocols={"measurement": {"seed": 8}, "test": {"seed": 9}}).protocol_for("test").seed == 9


def test_each_purpose_gets_its_own_values_and_no_other() -> None:
    mine = recipe(
        protocols={
            "redetection": {"samples": 0},
            "training": {"chat": True, "system": "Be brief."},
            "validation": {"scorer": "answer_contained", "max_tokens": 4},
            "test": {"exemplar_sets": 1, "template": "slick"},
        }
    )
    detection, redetection, training, validation, test = (
        mine.protocol_for(purpose) for purpose in ("detection", "redetection", "training", "validation", "test")
    )
    assert [p.samples for p in (detection, redetection)] == [3, 0]
    assert [p.chat for p in (detection, training, validation, test)] == [False, True, False, False]
    assert [p.scorer for p in (detection, training, validation, test)] == [
        "exact_match",
        "exact_match",
        "answer_contained",
        "exact_match",
    ]
    assert (validation.max_tokens, test.exemplar_sets, test.template, training.system) == (4, 1, "slick", "Be brief.")


def test_differences_are_resolved_and_recorded(tmp_path: Path) -> None:
    mine = recipe(seed=2, protocols={"training": {"chat": True}})
    path = tmp_path / "recipe.yaml"
    path.write_text(mine.to_yaml(), encoding="utf-8")
    recorded = yaml.safe_load(path.read_text(encoding="utf-8"))["protocols"]
    assert recorded["training"] == {"chat": True}
    assert recorded["measurement"] == {"seed": 2 + MEASUREMENT_SEED, "samples": 0}
    assert recorded["test"] == {"seed": 2 + MEASUREMENT_SEED}
    assert load_recipe(str(path)) == load_recorded_recipe(path) == mine


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"protocols": {"training": {"scorer": "f1"}}}, "protocols: training.scorer: cannot differ from"),
        ({"protocols": {"redetection": {"seed": 1}}}, "redetection may differ in samples"),
        ({"protocols": {"validation": {"seed": 1}}}, "validation may differ in template, chat, system"),
        ({"protocols": {"retest": {}}}, "protocols.retest: unknown key"),
        ({"protocols": {"test": {"scorer": "exact"}}}, "Did you mean 'exact_match'"),
        ({"protocols": {"redetection": {"samples": 2}}}, "protocols.redetection.samples is 2"),
        ({"protocols": {"measurement": {"seed": 0}}}, "protocols.measurement.seed is that of the detection"),
        ({"evaluation": {"mesurement": True}}, "Did you mean 'measurement'"),
    ],
)
def test_a_value_that_a_purpose_cannot_have_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        recipe(**changes)
    assert message in str(caught.value)
    assert "mine.yaml" in str(caught.value)


def test_a_measurement_may_repeat_the_draw_where_nothing_is_measured() -> None:
    mine = recipe(protocols={"measurement": {"seed": 0}}, evaluation={"measurement": False})
    assert mine.protocol_for("measurement").seed == 0


def test_retest_is_the_old_name_of_measurement() -> None:
    assert not recipe(evaluation={"retest": False}).evaluation.measurement
    assert recipe(evaluation={"retest": True}).evaluation.measurement


def test_every_purpose_but_the_first_has_a_place_in_a_recipe() -> None:
    assert get_args(Purpose) == PURPOSES
    assert set(PURPOSES) == {"detection", *ProtocolsConfig.model_fields}


def test_the_recipe_of_an_older_run_reads_as_it_was_run() -> None:
    old = load_recorded_recipe(OLD_RUN / "recipe.yaml")
    assert not old.evaluation.measurement
    assert not old.evaluation.other_type
    assert not old.evaluation.control
    tested = old.protocol_for("test")
    assert (tested.seed, tested.exemplar_sets) == (old.protocol_object().seed, 1)
    assert old.protocol_for("redetection") == old.protocol_object()


def test_a_damaged_recipe_of_an_older_run_is_refused(tmp_path: Path) -> None:
    tree = yaml.safe_load((OLD_RUN / "recipe.yaml").read_text(encoding="utf-8"))
    for value in (3, None, "x", [1]):
        (tmp_path / "recipe.yaml").write_text(yaml.safe_dump({**tree, "evaluation": value}), encoding="utf-8")
        with pytest.raises(RecipeError, match="evaluation"):
            load_recorded_recipe(tmp_path / "recipe.yaml")
