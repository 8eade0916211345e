"""The file of an experiment: what it resolves to, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from experiment_helpers import write_experiment
from kft_cli.experiment.file import list_experiments, load_experiment, packaged_arms
from kft_train.errors import RecipeError

STEPS = {"stages.0.max_steps": 6, "stages.1.max_steps": 4}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    stage = {"num_train_epochs": 2, "learning_rate": 0.01}
    recipe = {
        "name": "base",
        "model": {"id": "smollm2-135m"},
        "stages": [
            {"name": "stage1", "mixture": [{"name": "maybe_known", "now": ["MaybeKnown"]}], **stage},
            {"name": "stage2", "mixture": [{"name": "all"}], **stage, "learning_rate": 0.001},
        ],
    }
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("name", list(list_experiments()))
def test_packaged_experiments_resolve_and_describe_themselves(name: str) -> None:
    experiment = load_experiment(name)
    recipes = experiment.recipes()
    assert experiment.file.name == name
    assert experiment.file.description
    assert len(recipes) == len(experiment.arms) * len(experiment.file.seeds)
    for (arm, seed), recipe in recipes.items():
        assert (recipe.name, recipe.seed) == (arm, seed)
        assert recipe.protocol["seed"] == seed
        assert recipe.description


def test_core_arms_train_for_the_same_number_of_steps() -> None:
    recipes = load_experiment("worldfacts-core").recipes()
    steps = {arm: [stage.max_steps for stage in recipe.stages] for (arm, seed), recipe in recipes.items() if seed == 1}
    assert steps.pop("no-training") == []
    assert steps.pop("stage1") == [30]
    assert set(map(tuple, steps.values())) == {(30, 30)}
    assert len({tuple(recipe.stages[0].mixture) for recipe in recipes.values() if recipe.stages}) == 3


def test_packaged_arms_fit_a_recipe_with_two_stages(project: Path) -> None:
    arms: dict[str, Any] = dict.fromkeys(packaged_arms())
    experiment = load_experiment(str(write_experiment(project, arms=arms, set=STEPS)))
    for (arm, _), recipe in experiment.recipes().items():
        taken = [stage.max_steps for stage in recipe.stages]
        assert taken in ([], [6], [6, 4], [6, 4, 4], [10]), arm
        assert (sum(map(int, taken)) == 10) == (arm not in ("no-training", "stage1", "third-stage")), arm  # type: ignore[arg-type]


def test_seeds_come_one_after_another(project: Path) -> None:
    file = write_experiment(project, seeds=[3, 1])
    assert list(load_experiment(str(file)).recipes()) == [("stage1", 3), ("method", 3), ("stage1", 1), ("method", 1)]


def test_an_arm_may_start_from_a_packaged_one(project: Path) -> None:
    slow = {"like": "stage1-continued", "description": "slower", "set": {"stages.1.learning_rate": 1e-6}}
    experiment = load_experiment(str(write_experiment(project, arms={"slow": slow})))
    (recipe,) = experiment.recipes().values()
    assert recipe.stages[1].learning_rate == 1e-6
    assert recipe.stages[1].mixture[0].before is not None
    assert recipe.description == "slower"


def test_the_written_file_resolves_to_the_same_recipes_from_anywhere(project: Path, tmp_path: Path) -> None:
    experiment = load_experiment(str(write_experiment(project, arms={"method": None, "stage1": None}, set=STEPS)))
    copy = tmp_path / "elsewhere" / "experiment.yaml"
    copy.parent.mkdir()
    copy.write_text(experiment.to_yaml(), encoding="utf-8")
    assert load_experiment(str(copy)).recipes() == experiment.recipes()


CLAIM = {"name": "more", "sentence": "More.", "measure": "test_accuracy", "shots": 4, "arm": "method", "against": "x"}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"arms": {"methd": None}}, "arms.methd: no packaged arm 'methd'. Did you mean 'method'?"),
        ({"arms": {"a": {"stages": ["stage9"]}}}, "arms.a.stages: the recipe has no stage 'stage9'. Did you mean"),
        ({"arms": {"a": {"set": {"stages.7.patience": 1}}}}, "arms.a.set: stages is a list of 2"),
        ({"arms": {"a": {"set": {"stages.0.patiense": 1}}}}, "arms.a: stages.0.patiense: unknown key. Did you mean"),
        ({"arms": {"everything-once": None}}, "as_many_steps_as needs stages of a given number of steps"),
        ({"arms": {}}, "arms: "),
        ({"arms": {"../x": None}}, "arms"),
        ({"seeds": [1, 1]}, "seed 1 is duplicated"),
        ({"seeds": []}, "seeds: "),
        ({"set": {"nothing": 1}}, "nothing: unknown key"),
        ({"armz": {}}, "armz: Extra inputs are not permitted"),
        ({"recipe": "nowhere"}, "Unknown recipe 'nowhere'"),
        ({"hypotheses": [CLAIM]}, "hypothesis 'more': no arm 'x'"),
    ],
)
def test_a_wrong_file_is_refused_in_words(project: Path, values: dict[str, Any], words: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_experiment(str(write_experiment(project, **values)))
    assert words in str(caught.value)


def test_an_unknown_name_suggests_a_packaged_experiment() -> None:
    with pytest.raises(RecipeError, match="Did you mean 'worldfacts-core'"):
        load_experiment("worldfact-core")
    with pytest.raises(RecipeError, match="no such file of an experiment"):
        load_experiment("nowhere/experiment.yaml")
