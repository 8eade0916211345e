"""``kft recipes``: list, show."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import click

from kft_cli.commands.options import json_option
from kft_cli.display.console import print_json, print_text
from kft_cli.display.tables import Section, make_table, terminal_text
from kft_tasks import limits
from kft_tasks.errors import UsageError, suggest
from kft_tasks.files import read_text
from kft_train.recipes.recipe import load_recipe


@click.group("recipes", invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@json_option
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """List the recipes that come with kft.

    \b
    Example: kft recipes show demo > my-recipe.yaml
    """
    if context.invoked_subcommand is not None:
        return
    recipes = {name: load_recipe(name) for name in packaged()}
    if as_json:
        print_json(
            [
                {
                    "name": name,
                    "description": recipe.description,
                    "model": recipe.model.id,
                    "questions": recipe.questions.set,
                    "stages": [stage.name for stage in recipe.stages],
                }
                for name, recipe in recipes.items()
            ]
        )
        return
    rows = [[name, recipe.model.id, recipe.description] for name, recipe in recipes.items()]
    print_text(terminal_text([Section("", (make_table("Recipe | Model | Description", rows),))]))


@command.command("show")
@click.argument("name")
@click.option("--resolved", is_flag=True, help="Write out every default, and what the recipe takes from another one.")
def show(name: str, resolved: bool) -> None:
    """Print the recipe NAME as YAML, as it is written or resolved.

    \b
    Example: kft recipes show demo --resolved
    """
    files = packaged()
    if name not in files:
        raise UsageError(f"Unknown recipe {name!r}. {suggest(name, files)}")
    text = load_recipe(name).to_yaml() if resolved else read_text(files[name], limits.MAX_YAML_BYTES)
    print_text(text.removesuffix("\n"))


def packaged() -> dict[str, Path]:
    """The YAML files of the recipes that come with kft, by name."""
    folder = Path(str(resources.files("kft_train") / "recipes"))
    return {file.stem: file for file in sorted(folder.glob("*.yaml"), key=lambda file: file.stem)}
