"""``kft report``."""

from __future__ import annotations

from pathlib import Path

import click

from kft_cli.commands.options import json_option
from kft_cli.display.console import narrate, print_json


@click.command("report", short_help="Write the report of a run.")
@click.argument("run", required=False, type=click.Path(path_type=Path))
@click.option(
    "--results", type=click.Path(path_type=Path), help="Render a folder of published runs again, instead of a run."
)
@json_option
def command(run: Path | None, results: Path | None, as_json: bool) -> None:
    """Write the report of the finished run in folder RUN: Markdown, figures and JSON in RUN/report.

    \b
    Example: kft report runs/demo
    """
    from kft_tasks.errors import UsageError
    from kft_tasks.files import read_json

    if (run is None) == (results is None):
        raise UsageError("Name a run folder, or a folder of published runs with --results.")
    if results is not None:
        from kft_cli.pages.results import write_results

        narrate(f"Results: {write_results(results)}")
        return
    from kft_cli.report.report import summarize, write_report

    assert run is not None
    path = write_report(run)
    data = read_json(path.with_name("report.json"))
    if as_json:
        print_json(data)
    else:
        click.echo(summarize(data))
    narrate(f"Report: {path}")
