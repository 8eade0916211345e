"""``kft train``."""

from __future__ import annotations

from pathlib import Path

import click

from kft_cli.commands.options import json_option, overrides_option
from kft_cli.commands.output_paths import STAGE, InputName, InputPath, OutputFolder, WritingCommand
from kft_cli.display.console import narrate, print_json, print_text, progress_bar
from kft_cli.pipeline.stages import stage_request
from kft_tasks.errors import UsageError, suggest
from kft_train.recipes.recipe import load_recipe
from kft_train.stage.request import SUMMARY
from kft_train.stage.train import train_stage


@click.command("train", cls=WritingCommand)
@click.argument("recipe", type=InputName())
@click.option("--stage", "stage_name", required=True, help="Name of the recipe's stage.")
@click.option(
    "--now",
    type=InputPath(),
    required=True,
    help="Category file of the model as it is before the stage.",
)
@click.option(
    "--before",
    type=InputPath(),
    help="Category file of the detection before --now, for mixtures that select by it.  [default: none]",
)
@click.option(
    "--adapter",
    type=InputPath(),
    help="Adapter of the previous stage, to start from.  [default: none]",
)
@click.option(
    "--output",
    "-o",
    type=OutputFolder(marker=SUMMARY, written=STAGE),
    required=True,
    help="Folder for the adapter and its log.",
)
@overrides_option
@click.option("--any-model", is_flag=True, help="Accept category files made with another model.")
@json_option
def command(
    recipe: str,
    stage_name: str,
    now: Path,
    before: Path | None,
    adapter: Path | None,
    output: Path,
    overrides: tuple[str, ...],
    any_model: bool,
    as_json: bool,
) -> None:
    """Train one stage of RECIPE on the questions its mixture selects from category files.

    RECIPE is a name from `kft recipes`, such as demo, or the path of a YAML file. An interrupted stage resumes from
    its last checkpoint and ends with the same adapter.

    \b
    Example: kft train demo --stage stage1 --now base.categories.jsonl -o stage1
    """
    loaded = load_recipe(recipe, overrides)
    stages = {stage.name: stage for stage in loaded.stages}
    if stage_name not in stages:
        raise UsageError(f"Unknown stage {stage_name!r}. {suggest(stage_name, stages)}")
    request = stage_request(
        loaded,
        stages[stage_name],
        now=now,
        before=before,
        previous=adapter,
        work=output.with_name(f".{output.name}.work"),
        output=output,
        any_model=any_model,
    )
    with progress_bar(f"train {stage_name} on {len(request.mixture.items)} questions") as progress:
        result = train_stage(request, progress)
    if as_json:
        print_json(result.summary)
        return
    print_text(result.summary["note"])
    narrate(f"Adapter: {result.adapter}")
