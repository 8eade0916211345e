"""``kft run`` and what ``kft demo`` shares with it."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kft_cli.commands.options import json_option
from kft_cli.display.console import narrate, print_json

if TYPE_CHECKING:
    from kft_train.recipes.recipe import Recipe


@click.command("run", short_help="Run a recipe.")
@click.argument("recipe")
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Run folder.  [default: runs/RECIPE-NAME]")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a recipe value; repeatable.")
@click.option("--dry-run", is_flag=True, help="Resolve the recipe and show its steps; load nothing.")
@json_option
def command(recipe: str, output: Path | None, overrides: tuple[str, ...], dry_run: bool, as_json: bool) -> None:
    """Run RECIPE: a packaged name such as demo, or the path of a YAML file.

    A run that was interrupted goes on where it stopped; a finished one is left as it is.

    \b
    Example: kft run demo -o runs/demo --set stages.0.learning_rate=1e-4
    """
    from kft_train.recipes.recipe import load_recipe

    loaded = load_recipe(recipe, overrides)
    if dry_run:
        show_plan(loaded, as_json=as_json)
    else:
        execute(loaded, output or Path("runs") / loaded.name, as_json=as_json)


def show_plan(recipe: Recipe, *, as_json: bool) -> None:
    """Print what a recipe would do."""
    from kft_train.recipes.plan import dry_run

    plan = dry_run(recipe)
    if as_json:
        print_json(
            {"recipe": recipe.model_dump(mode="json"), "steps": [dataclasses.asdict(step) for step in plan.steps]}
        )
        return
    click.echo(recipe.to_yaml())
    for number, step in enumerate(plan.steps, start=1):
        details = {key: value for key, value in step.detail.items() if key != "sft" and value is not None}
        click.echo(
            f"{number:2}. {step.kind} {step.name}: " + ", ".join(f"{key} {value}" for key, value in details.items())
        )


def execute(recipe: Recipe, output: Path, *, as_json: bool) -> None:
    """Run a recipe and show its report."""
    from kft_cli.pipeline.pipeline import Pipeline
    from kft_tasks.files import read_json

    narrate(f"Recipe {recipe.name}, model {recipe.model.id}, questions {recipe.questions.set}. Run folder: {output}")
    report = Pipeline(recipe, output, _command_line()).execute()
    data: dict[str, Any] = read_json(report.with_name("report.json"))
    if as_json:
        print_json(data)
    else:
        from kft_cli.report.report import summarize

        click.echo(summarize(data))
    narrate(f"Report: {report}")


def _command_line() -> list[str]:
    return ["kft", *sys.argv[1:]]
