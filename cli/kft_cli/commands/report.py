"""``kft report``."""

from __future__ import annotations

from pathlib import Path

import click

from kft_cli.commands.options import json_option, open_option
from kft_cli.commands.output_paths import InputPath
from kft_cli.display.browser import open_page
from kft_cli.display.console import narrate, print_json, print_text
from kft_cli.experiment.record import read_experiment
from kft_cli.experiment.render import summarize_experiment
from kft_cli.experiment.report import is_experiment, write_experiment
from kft_cli.pages.results import write_results
from kft_cli.report.report import PAGE, read_report, summarize, write_report
from kft_tasks.errors import UsageError
from kft_tasks.files import read_json


@click.command("report")
@click.argument("run", required=False, type=InputPath())
@click.option(
    "--results",
    type=InputPath(),
    help="Folder of published runs to render again, in place of RUN.  [default: none]",
)
@open_option
@json_option
def command(run: Path | None, results: Path | None, opened: bool, as_json: bool) -> None:
    """Write the report of the finished run, or of the experiment, in folder RUN.

    The report of a run goes to RUN/report: report.html is a page with every question and answer, which needs no
    network; report.md is the same without the questions, report.json all numbers. That of an experiment goes to
    experiment.html, experiment.md and experiment.json in its folder. A summary goes to standard output.

    \b
    Example: kft report runs/demo
    """
    if results is not None and run is None:
        narrate(f"Results: {write_results(results)}")
    elif run is not None and results is None and is_experiment(run):
        show_experiment(write_experiment(run), as_json=as_json, opened=opened)
    elif run is not None and results is None:
        show_report(write_report(run), as_json=as_json, opened=opened)
    else:
        raise UsageError("There must be one folder to report on. Name RUN, or published runs with --results.")


def show_experiment(path: Path, *, as_json: bool, opened: bool = False) -> None:
    """Print what came out of an experiment: its summary, or all of it as JSON.

    Args:
        path: its Markdown file.
        as_json: all of it.
        opened: also open its page in the browser.
    """
    record = read_experiment(path.with_suffix(".json"))
    if as_json:
        print_json(record.model_dump(mode="json"))
    else:
        print_text(summarize_experiment(record))
    _show_page(path, path.with_suffix(".html"), opened=opened)


def show_report(path: Path, *, as_json: bool, opened: bool = False) -> None:
    """Print a report that is written: its summary, or all of it as JSON.

    Args:
        path: its Markdown file.
        as_json: all of it.
        opened: also open its page in the browser.
    """
    file = path.with_name("report.json")
    if as_json:
        print_json(read_json(file))
    else:
        print_text(summarize(read_report(file)))
    _show_page(path, path.with_name(PAGE), opened=opened)


def _show_page(report: Path, page: Path, *, opened: bool) -> None:
    narrate(f"Report: {report}")
    narrate(f"Page: {page}")
    if opened:
        open_page(page)
