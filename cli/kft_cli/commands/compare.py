"""``kft compare``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from kft_cli.commands.options import json_option
from kft_cli.display.console import print_json


@click.command("compare", short_help="Compare runs.")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@json_option
def command(runs: tuple[Path, ...], as_json: bool) -> None:
    """Compare finished runs side by side; `paper` stands for the paper's counts.

    \b
    Example: kft compare runs/demo runs/demo-random paper
    """
    from kft_cli.comparison.compare import compare_runs
    from kft_cli.comparison.render import render_comparison

    data = compare_runs(runs)
    if as_json:
        print_json(data)
    else:
        click.echo(render_comparison(data, terminal=sys.stdout.isatty()))
