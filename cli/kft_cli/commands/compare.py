"""``kft compare``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from kft_cli.commands.options import json_option
from kft_cli.comparison.compare import compare_runs
from kft_cli.comparison.render import render_comparison
from kft_cli.display.console import print_json


@click.command("compare")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@json_option
def command(runs: tuple[Path, ...], as_json: bool) -> None:
    """Compare finished runs side by side.

    RUNS are run folders; `paper` stands for the counts in the paper.

    \b
    Example: kft compare runs/demo runs/demo-random paper
    """
    data = compare_runs(runs)
    if as_json:
        print_json(data)
    else:
        click.echo(render_comparison(data, terminal=sys.stdout.isatty()))
