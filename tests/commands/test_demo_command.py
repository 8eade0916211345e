"""Which recipe the demo runs; that it runs is seen in its published run."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from kft_cli.commands import demo
from kft_cli.main import cli
from kft_tasks.models import weights
from kft_train.recipes.recipe import Recipe, load_recipe


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the recipes that would have been run."""
    names: list[str] = []
    monkeypatch.setattr(demo, "execute", lambda recipe, output, workers, as_json, opened: names.append(recipe.name))
    monkeypatch.setattr(demo, "default_device", lambda: "cpu")
    return names


@pytest.mark.parametrize(("native", "recipe"), [(True, "demo"), (False, "demo-small")])
def test_a_processor_without_bfloat16_gets_the_small_recipe_and_is_told(
    ran: list[str], monkeypatch: pytest.MonkeyPatch, native: bool, recipe: str
) -> None:
    monkeypatch.setattr(weights, "has_native_bfloat16", lambda device="cpu": native)
    result = CliRunner().invoke(cli, ["demo"])
    assert result.exit_code == 0, result.output
    assert ran == [recipe]
    assert ("--size full" in result.stderr) is (not native)


@pytest.mark.parametrize(("size", "recipe"), [("full", "demo"), ("small", "demo-small")])
def test_a_size_that_is_asked_for_is_run_on_any_machine(ran: list[str], size: str, recipe: str) -> None:
    assert CliRunner().invoke(cli, ["demo", "--size", size]).exit_code == 0
    assert ran == [recipe]


def test_the_small_recipe_differs_in_sizes_only() -> None:
    def without_sizes(recipe: Recipe) -> dict[str, object]:
        values = recipe.model_dump(mode="json")
        values["questions"].pop("limit")
        return {key: value for key, value in values.items() if key not in ("name", "description")}

    assert without_sizes(load_recipe("demo")) == without_sizes(load_recipe("demo-small"))
