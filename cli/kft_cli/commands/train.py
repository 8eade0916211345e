"""``kft train``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from kft_cli.commands.options import json_option
from kft_cli.display.console import narrate, print_json, progress_bar


@click.command("train", short_help="Train one stage.")
@click.argument("recipe")
@click.option("--stage", "stage_name", required=True, help="Name of the recipe's stage.")
@click.option("--now", type=click.Path(path_type=Path), required=True, help="Category file of the model to be trained.")
@click.option("--before", type=click.Path(path_type=Path), help="Category file of the detection before that.")
@click.option("--adapter", type=click.Path(path_type=Path), help="Adapter of the stage before.")
@click.option("--output", "-o", type=click.Path(path_type=Path), required=True, help="Folder for adapter and log.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a recipe value; repeatable.")
@click.option("--any-model", is_flag=True, help="Accept category files that were made for another model.")
@json_option
def command(**values: Any) -> None:
    """Train one stage of RECIPE on what its mixture selects from category files.

    An interrupted stage goes on from its last checkpoint, to the same adapter.

    \b
    Example: kft train demo --stage stage1 --now base.categories.jsonl -o stage1
    """
    from kft_cli.pipeline.stages import stage_request
    from kft_tasks.errors import UsageError, suggest
    from kft_train.recipes.recipe import load_recipe
    from kft_train.stage.train import train_stage

    recipe = load_recipe(values["recipe"], values["overrides"])
    stages = {stage.name: stage for stage in recipe.stages}
    if values["stage_name"] not in stages:
        raise UsageError(f"Unknown stage {values['stage_name']!r}. {suggest(values['stage_name'], stages)}")
    output: Path = values["output"]
    request = stage_request(
        recipe,
        stages[values["stage_name"]],
        now=values["now"],
        before=values["before"],
        previous=values["adapter"],
        work=output.with_name(f".{output.name}.work"),
        output=output,
        any_model=values["any_model"],
    )
    with progress_bar(f"train {values['stage_name']} on {len(request.mixture.items)} questions") as progress:
        result = train_stage(request, progress)
    if values["as_json"]:
        print_json(result.summary)
        return
    click.echo(result.summary["note"])
    narrate(f"Adapter: {result.adapter}")
