"""``kft recipes``: what is packaged, as written and resolved."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from kft_cli.commands.recipes import command, packaged
from kft_cli.main import main
from kft_train.recipes.recipe import load_recipe


def output(*arguments: str) -> str:
    result = CliRunner().invoke(command, arguments, catch_exceptions=False, env={"COLUMNS": "120"})
    assert result.exit_code == 0
    return result.stdout


def test_every_packaged_recipe_is_listed_with_its_description() -> None:
    rows = json.loads(output("--json"))
    assert [row["name"] for row in rows] == list(packaged())
    assert rows[0] == {
        "name": "demo",
        "description": load_recipe("demo").description,
        "model": "smollm2-135m",
        "questions": "worldfacts",
        "stages": ["stage1", "stage2"],
    }
    assert all(row["description"] for row in rows)
    lines = [line.split() for line in output().splitlines()]
    assert [name for name in packaged() if not any(name in line for line in lines)] == []


def test_a_recipe_is_shown_as_written() -> None:
    assert output("show", "demo-random") == packaged()["demo-random"].read_text(encoding="utf-8")


def test_a_resolved_recipe_has_every_value_and_no_extends() -> None:
    text = output("show", "demo-random", "--resolved")
    assert text == load_recipe("demo-random").to_yaml()
    assert "extends" not in text
    assert "lora_dropout" in text
    assert "  redetection:\n    samples: 0\n  measurement:\n    seed: 10000\n    samples: 0\n" in text


def test_an_unknown_recipe_is_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["recipes", "show", "demmo"])
    assert stopped.value.code == 2
    assert "Did you mean 'demo'?" in capsys.readouterr().err
