"""``kft run --dry-run``: the steps of a recipe, as a table and as JSON."""

from __future__ import annotations

import json
import re

from click.testing import CliRunner

from kft_cli.commands.run import command
from kft_train.recipes.plan import dry_run
from kft_train.recipes.recipe import load_recipe


def output(*arguments: str) -> str:
    result = CliRunner().invoke(command, [*arguments, "--dry-run"], catch_exceptions=False, env={"COLUMNS": "150"})
    assert result.exit_code == 0
    return result.stdout


def cells(text: str) -> dict[str, list[str]]:
    """The table's rows, by step."""
    lines = [re.split(r"\s{2,}", line.strip()) for line in text.splitlines() if re.match(r"^\s*\d+ {2,}\w", line)]
    return {row[1]: row[2:] for row in lines}


def test_the_plan_is_a_table_of_steps_with_their_answers_and_protocols() -> None:
    text = output("worldfacts-full")
    assert text.startswith(load_recipe("worldfacts-full").to_yaml())
    rows = cells(text)
    assert list(rows) == [f"{step.kind} {step.name}" for step in dry_run(load_recipe("worldfacts-full")).steps]
    assert rows["detect base"] == ["1,411", "36", "50,796"]
    assert rows["detect stage1"] == ["1,411", "4", "5,644", "redetection: samples 0"]
    assert rows["measure stage2"] == ["1,411", "4", "5,644", "measurement: samples 0, seed 10000"]
    assert rows["evaluate stage2"] == ["824", "6", "4,944", "exemplars: 4, 0; test: seed 10000"]
    assert rows["control stage1-continued"] == ["391", "–", "–", "maybe_known; steps: as many as stage2 took"]


def test_what_is_trained_on_and_under_which_protocol_is_named() -> None:
    text = output("paper-qwen2-7b")
    how = re.sub(r"\s+", " ", text[text.index(" train stage2 ") :])
    assert "still_maybe_known + upgraded + fell + replay; 6 epochs at most; training: chat true, system" in how
    assert cells(text)["evaluate base"][-1] == "exemplars: 4, 0; test: exemplar_sets 1, seed 42"


def test_numbers_that_depend_on_the_questions_are_dashes() -> None:
    rows = cells(output("worldfacts-full", "--set", "questions.set=questions", "--set", "questions.path=own.jsonl"))
    assert rows["detect base"] == ["–", "36", "–"]


def test_as_json_the_plan_has_every_number() -> None:
    plan = json.loads(output("demo", "--json"))
    steps = {f"{step['kind']} {step['name']}": step["detail"] for step in plan["steps"]}
    assert steps["detect base"] == {
        "questions": 1_411,
        "max_generations_per_question": 36,
        "max_generations": 50_796,
        "differs": {},
    }
    assert plan["recipe"]["protocols"]["redetection"] == {"samples": 0}
