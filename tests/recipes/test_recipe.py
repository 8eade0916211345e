from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import kft_train
from kft_tasks import limits
from kft_tasks.files import sha256_of_json
from kft_train.errors import RecipeError
from kft_train.recipes.plan import dry_run
from kft_train.recipes.recipe import Recipe, list_recipes, load_recipe, load_recorded_recipe
from kft_train.recipes.sft_config import FIXED, REFUSED, SHARED, check_sft_fields, for_installed, sft_values
from train_helpers import make_stage

MINIMAL = """
name: mine
model: {id: somewhere}
stages:
  - {name: one, mixture: [{name: all}]}
  - {name: two, mixture: [{name: all}]}
"""


@pytest.fixture
def minimal(tmp_path: Path) -> str:
    path = tmp_path / "mine.yaml"
    path.write_text(MINIMAL, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("name", [info.name for info in list_recipes()])
def test_packaged_recipes_load_round_trip_and_plan_without_their_model(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    copy = tmp_path / "copy.yaml"
    copy.write_text(recipe.to_yaml(), encoding="utf-8")
    assert load_recipe(str(copy)) == recipe
    assert load_recipe(str(copy)).digest() == recipe.digest()
    assert recipe.name == name
    assert recipe.description
    assert dry_run(recipe).steps


def test_demo_and_paper_are_packaged() -> None:
    described = {info.name: info.description for info in list_recipes()}
    assert {"demo", "paper-qwen2-7b"} <= set(described)
    assert list(described) == sorted(described)
    assert all(described.values())


def test_paper_recipe_has_the_values_of_the_paper() -> None:
    recipe = load_recipe("paper-qwen2-7b")
    steps = {f"{step.kind} {step.name}": step.detail for step in dry_run(recipe).steps}
    assert steps["detect base"]["max_generations_per_question"] == 170
    assert steps["detect base"]["max_generations"] == 170 * 169_164
    assert steps["detect stage1"]["max_generations_per_question"] == 10
    assert steps["train stage1"]["batch_size_per_process"] == 1024
    second = steps["train stage2"]
    assert second["start"] == "merged"
    assert second["parts"] == ["still_maybe_known", "upgraded", "fell", "replay"]
    names = ("learning_rate", "weight_decay", "adam_beta2", "num_train_epochs")
    assert {name: second["sft"][name] for name in names} == {
        "learning_rate": 1.5e-4,
        "weight_decay": 0.01,
        "adam_beta2": 0.95,
        "num_train_epochs": 6,
    }
    assert second["sft"]["metric_for_best_model"] == "eval_paper_substring"


def test_paper_recipe_asks_trains_and_tests_as_the_paper() -> None:
    recipe = load_recipe("paper-qwen2-7b")
    detection, training, test = (recipe.protocol_for(purpose) for purpose in ("detection", "training", "test"))
    assert (detection.exemplars, detection.scorer, detection.chat) == ("per_question", "paper_substring", False)
    assert recipe.protocol_for("redetection").samples == 0
    assert training.chat
    assert training.system
    assert {stage.loss for stage in recipe.stages} == {"sequence"}
    assert (test.exemplar_sets, test.shots, test.seed, test.exemplars) == (1, 4, 42, "per_question")
    assert len({recipe.protocol_for(purpose).seed for purpose in ("detection", "measurement", "test")}) == 3


@pytest.mark.parametrize("name", [info.name for info in list_recipes()])
def test_every_value_of_the_papers_recipe_says_whose_it_is_and_the_others_do_not_speak_for_it(name: str) -> None:
    text = (Path(kft_train.__file__).parent / "recipes" / f"{name}.yaml").read_text(encoding="utf-8")
    if name != "paper-qwen2-7b":
        assert "# paper" not in text
        return
    marks = ("# paper", "# SliCK", "# not from the paper")
    unmarked = []
    comment = False
    for line in text.splitlines()[6:]:  # after name and description
        value = line.split("#")[0]
        sets_a_value = ":" in value and not value.rstrip().endswith(":") and "name: stage" not in value
        if sets_a_value and not comment and not any(mark in line for mark in marks):
            unmarked.append(line)
        comment = line.lstrip().startswith("#")
    assert unmarked == []


def test_importing_the_recipe_loads_no_heavy_library() -> None:
    code = "import sys, kft_train.recipes.plan, kft_train.stage.request; print([m for m in sys.modules if m in "
    code += "('torch', 'transformers', 'trl', 'peft', 'datasets', 'numpy')])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_defaults_that_depend_on_other_values_are_resolved(minimal: str) -> None:
    recipe = load_recipe(minimal, ["seed=7"])
    assert [stage.start for stage in recipe.stages] == ["new", "continue"]
    assert recipe.protocol_object().seed == 7
    assert load_recipe(minimal, ["seed=7", "protocol.seed=3"]).protocol_object().seed == 3


def test_name_and_description_do_not_change_the_digest_and_values_do(minimal: str) -> None:
    digest = load_recipe(minimal).digest()
    assert load_recipe(minimal, ["name=other", "description=x"]).digest() == digest
    assert load_recipe(minimal, ["seed=1"]).digest() != digest


def test_newer_fields_with_their_defaults_change_neither_digest_nor_file(minimal: str) -> None:
    recipe = load_recipe(minimal)
    assert recipe.stages[0].keep_if_worse
    assert "keep_if_worse" not in recipe.to_yaml()
    assert not {"redraw:", "weight:", "kl_to_base:"} & set(recipe.to_yaml().split())
    assert "measurement" not in recipe.model_dump(mode="json")["questions"]["limit"]
    stages = recipe.model_dump(mode="json")["stages"]
    assert sha256_of_json(stages) == (
        "7406a1fa9d1522a2defb0ca2ebb771e08495ff77bd30c5e3bf99dd6cac5e7235"  # as before these fields
    )
    strict = load_recipe(minimal, ["stages.0.keep_if_worse=false"])
    assert "keep_if_worse: false" in strict.to_yaml()
    assert "redraw: true" in load_recipe("paper-qwen2-7b").to_yaml()
    assert strict.digest() != recipe.digest()


def test_a_recipe_says_whether_blank_lines_are_skipped_and_a_run_folder_that_does_not_is_older(
    minimal: str, tmp_path: Path
) -> None:
    recipe = load_recipe(minimal)
    assert recipe.protocol_object().skip_blank_lines
    path = tmp_path / "recipe.yaml"
    for written in (recipe, load_recipe(minimal, ["protocol.skip_blank_lines=false"])):
        path.write_text(written.to_yaml(), encoding="utf-8")
        assert load_recorded_recipe(path) == load_recipe(str(path)) == written
    assert written.digest() != recipe.digest()
    lines = [line for line in recipe.to_yaml().splitlines() if "skip_blank_lines" not in line]
    path.write_text("\n".join(lines), encoding="utf-8")
    assert load_recorded_recipe(path).protocol == written.protocol


def test_overrides_reach_keys_and_list_items(minimal: str) -> None:
    recipe = load_recipe(
        minimal, ["stages.1.learning_rate=1e-5", "stages.0.mixture.0.now=[MaybeKnown]", "stages.0.patience=null"]
    )
    assert recipe.stages[1].learning_rate == 1e-5
    assert recipe.stages[0].mixture[0].now == ("MaybeKnown",)
    assert recipe.stages[0].patience is None


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("stages.0.learning_rat=1", "stages.0.learning_rat: unknown key. Did you mean 'learning_rate'?"),
        ("stages.0.mixture.0.noww=[MaybeKnown]", "stages.0.mixture.0.noww: unknown key. Did you mean 'now'?"),
        ("questions.limit.tests=3", "questions.limit.tests: unknown key. Did you mean 'test'?"),
        ("protocol.shotz=1", "unknown key 'shotz'. Did you mean 'shots'?"),
        ("stages.0.mixture.0.now=[MaybeKnow]", "stages.0.mixture.0.now.0: input should be 'HighlyKnown'"),
        ("seed=x", "seed: input should be a valid integer"),
        ("stages.0.patience=true", "stages.0.patience: input should be a valid integer"),
        ("stages.0.learning_rate=.nan", "stages.0.learning_rate:"),
        ("stages.1.name=one", "stage 'one' is duplicated"),
        ("stages.1.name=Two", "stages.1.name: string should match"),
        ("stages.0.start=continue", "has no adapter to start from"),
        ("stages.0.mixture.0.before=[Unknown]", "there is no earlier detection"),
        ("stages.0.mixture.0.ratio=0.2", "every part has a ratio"),
        (
            "stages.1.mixture=[{name: a, ratio: 0.1, limit: 3}, {name: b}]",
            "limit and ratio both set the number of questions",
        ),
        ("stages.1.mixture=[{name: a, weight: 0}]", "stages.1.mixture.0.weight: input should be greater than 0"),
        ("stages.1.kl_to_base=-1", "stages.1.kl_to_base: input should be greater than or equal to 0"),
        ("stages.1.mixture=[{name: a, redraw: true}]", "redraw needs a number of questions"),
        ("stages.1.mixture=[{name: a}, {name: a}]", "mixture part 'a' is duplicated"),
        ("evaluation.shots=[4, 4]", "number of shots '4' is duplicated"),
        ("stages.9.name=x", "stages is a list of 2. Use a number from 0 to 1."),
        ("name.first=x", "name has no parts"),
        ("nonsense", "is not KEY=VALUE"),
        ("seed=[1", "override 'seed=[1'"),
    ],
)
def test_a_wrong_value_is_named_with_file_key_and_remedy(minimal: str, override: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(minimal, [override])
    assert message in str(caught.value)
    assert minimal in str(caught.value) or override in str(caught.value)
    assert str(caught.value).count("\n") == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: a\nname: b\n", "mine.yaml:2: key 'name' is duplicated (first in line 1)"),
        ("stages:\n  - {name: a, name: b}\n", "mine.yaml:2: key 'name' is duplicated"),
        ("name: !!python/object/apply:os.system [ls]\n", "mine.yaml:1: could not determine a constructor"),
        ("- a\n", "not a recipe"),
        ("name: [\n", "mine.yaml:2:"),
        ("1: a\n", "key 1 is not a string"),
        ("[" * 5000, "mine.yaml"),
        ("name: mine\n", "model: field required"),
    ],
)
def test_a_file_that_is_not_a_recipe_is_refused_and_the_line_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError) as caught:
        load_recipe(str(path))
    assert message in str(caught.value)


def test_errors_for_unknown_names_and_paths_suggest_known_ones(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="Did you mean 'demo'"):
        load_recipe("demoo")
    with pytest.raises(RecipeError, match="no such recipe file"):
        load_recipe(str(tmp_path / "absent.yaml"))
    (tmp_path / "latin.yaml").write_bytes(b"name: \xff\n")
    with pytest.raises(RecipeError, match="cannot be read"):
        load_recipe(str(tmp_path / "latin.yaml"))


def test_a_recipe_that_extends_another_applies_changes_to_it(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(MINIMAL, encoding="utf-8")
    middle = "name: middle\nextends: base.yaml\nset: {stages.1.learning_rate: 1e-5, seed: 3}\n"
    (tmp_path / "middle.yaml").write_text(middle, encoding="utf-8")
    (tmp_path / "top.yaml").write_text("extends: middle.yaml\nset: {seed: 4}\n", encoding="utf-8")
    recipe = load_recipe(str(tmp_path / "top.yaml"), ["stages.0.patience=7"])
    assert (recipe.name, recipe.seed, recipe.protocol_object().seed) == ("middle", 4, 4)
    assert [stage.learning_rate for stage in recipe.stages] == [2e-4, 1e-5]
    assert recipe.stages[0].patience == 7


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("extends: mine.yaml\n", "extends itself"),
        ("extends: absent.yaml\n", "no such recipe file"),
        ("extends: dem\n", "Did you mean 'demo'"),
        ("extends: demo\nseed: 3\n", "`set` (changes by dotted key)"),
        ("extends: demo\nset: [seed]\n", "`set` (changes by dotted key)"),
        ("extends: demo\nset: {stages.5.name: x}\n", "stages is a list of 2"),
        ("extends: demo\nset: {sead: 1}\n", "sead: unknown key. Did you mean 'seed'"),
    ],
)
def test_a_recipe_that_cannot_extend_says_why(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError) as caught:
        load_recipe(str(tmp_path / "mine.yaml"))
    assert message in str(caught.value)


def test_the_recipe_in_the_readme_loads_and_every_module_is_in_its_table(tmp_path: Path) -> None:
    package = Path(kft_train.__file__).parent
    readme = (package / "README.md").read_text(encoding="utf-8")
    path = tmp_path / "my-recipe.yaml"
    path.write_text(readme.split("```yaml\n")[1].split("```")[0], encoding="utf-8")
    recipe = load_recipe(str(path))
    assert recipe.stages[1].start == "merged"
    modules = [module for module in package.rglob("*.py") if module.name != "__init__.py"]
    assert all(f"| `{module.relative_to(package).with_suffix('').as_posix()}` |" in readme for module in modules)
    assert all(f"`{info.name}`" in readme for info in list_recipes())


def test_recipes_are_frozen(minimal: str) -> None:
    recipe: Recipe = load_recipe(minimal)
    with pytest.raises(Exception, match="frozen"):
        recipe.seed = 3  # type: ignore[misc]


def test_sft_fields_are_checked_against_trl() -> None:
    check_sft_fields(make_stage(sft={"neftune_noise_alpha": 5.0}))
    for sft, message in [
        ({"neftune_noise_alfa": 5.0}, "SFTConfig has no such field. Did you mean 'neftune_noise_alpha'"),
        ({"output_dir": "x"}, "cannot be set: kft chooses the folder"),
        ({"learning_rate": 1.0}, "is a key of the stage itself"),
        ({"logging_steps": 5}, "cannot be set"),
    ]:
        with pytest.raises(RecipeError, match=message.replace("(", r"\(")):
            check_sft_fields(make_stage(sft=sft))


def test_every_name_in_sft_config_is_a_field_of_sftconfig() -> None:
    import dataclasses

    from trl import SFTConfig

    known = {field.name for field in dataclasses.fields(SFTConfig)}
    values = for_installed(sft_values(make_stage(), 0, "f1"), known)
    assert {*SHARED, *FIXED, *REFUSED, *values} <= known


def test_activation_checkpointing_gets_its_older_name_if_trl_has_only_that() -> None:
    values = {"activation_checkpointing": False, "learning_rate": 1.0}
    assert for_installed(values, {"activation_checkpointing", "learning_rate"}) == values
    assert for_installed(values, {"gradient_checkpointing", "learning_rate"}) == {
        "gradient_checkpointing": False,
        "learning_rate": 1.0,
    }


@pytest.mark.parametrize("kind", ["pipe", "folder", "too large", "not UTF-8", "device"])
def test_what_is_no_recipe_file_is_refused_at_once(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.write_bytes(b"\xff" if kind == "not UTF-8" else b"#" * (limits.MAX_YAML_BYTES + 1))
    other = tmp_path / "other.yaml"
    other.write_text("extends: recipe.yaml\n", encoding="utf-8")
    for one in (path, other):
        with pytest.raises(RecipeError, match=r"recipe.yaml: (cannot be read|over 1 MiB)"):
            load_recipe(str(one))
