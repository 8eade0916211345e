"""``kft report``."""

from __future__ import annotations

from pathlib import Path

import click

from kft_cli.console import narrate, print_json
from kft_cli.options import json_option


@click.command("report", short_help="Write the report of a run.")
@click.argument("run", type=click.Path(path_type=Path))
@json_option
def command(run: Path, as_json: bool) -> None:
    """Write the report of the finished run in folder RUN: Markdown, figures and JSON in RUN/report.

    \b
    Example: kft report runs/demo
    """
    from kft_cli.report import summarize, write_report
    from kft_tasks.files import read_json

    path = write_report(run)
    data = read_json(path.with_name("report.json"))
    if as_json:
        print_json(data)
    else:
        click.echo(summarize(data))
    narrate(f"Report: {path}")
