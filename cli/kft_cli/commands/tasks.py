"""``kft tasks``."""

from __future__ import annotations

from pathlib import Path

import click

from kft_cli.commands.options import json_option
from kft_cli.display.console import print_json, print_path, print_text
from kft_tasks.harness.task_files import task_folder, task_names
from kft_tasks.question_sets.registry import SETS


@click.command("tasks")
@click.option(
    "--path", "path_only", is_flag=True, help="Print the folder of the YAML files only, for lm_eval --include_path."
)
@json_option
def command(path_only: bool, as_json: bool) -> None:
    """List kft's lm-eval tasks and their question sets.

    \b
    Example: lm_eval --include_path "$(kft tasks --path)" --tasks kft_worldfacts ...
    """
    if path_only:
        print_path(task_folder())
        return
    names = task_names()
    if as_json:
        print_json(
            {"folder": str(task_folder()), "tasks": names, "sets": {name: info.title for name, info in SETS.items()}}
        )
        return
    for name, file in names.items():
        info = SETS.get(name.removeprefix("kft_"))
        print_text(f"{name:36} {info.title if info else Path(file).parent.name}")
