"""``kft compare``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from kft_cli.commands.options import json_option, open_option
from kft_cli.commands.output_paths import COMPARISON, InputPath, OutputFolder, WritingCommand, overwrite_option
from kft_cli.comparison.compare import PAPER, compare_loaded, load_named, names_paper, refusal
from kft_cli.comparison.page import FILES, write_comparison
from kft_cli.comparison.render import render_comparison
from kft_cli.display.browser import open_page
from kft_cli.display.console import narrate, print_json, print_text
from kft_cli.display.tables import terminal_text
from kft_cli.experiment.beside import compare_experiments, comparison_sections, record_of
from kft_cli.experiment.record import read_experiment
from kft_tasks.errors import UsageError
from kft_tasks.scoring.scorers import SCORERS


@click.command("compare", cls=WritingCommand)
@click.argument("runs", nargs=-1, required=True, type=InputPath())
@click.option(
    "--scorer",
    help=f"Rule for a right answer to the test questions: {', '.join(SCORERS)}.  [default: the first run's]",
)
@click.option(
    "--output",
    "-o",
    type=OutputFolder(*FILES, marker=FILES[0], written=COMPARISON),
    help="Folder for comparison.html, comparison.md and comparison.json.  [default: none]",
)
@overwrite_option
@open_option
@json_option
@click.pass_context
def command(
    context: click.Context,
    runs: tuple[Path, ...],
    scorer: str | None,
    output: Path | None,
    overwrite: bool,
    opened: bool,
    as_json: bool,
) -> None:
    """Compare finished runs, or experiments, side by side.

    RUNS are run folders, or folders of experiments; `paper` stands for published counts and accuracies.

    Run folders hold the answers, so their test accuracy is scored again by one rule where the runs used different ones.
    Runs that were asked in different ways are shown but not tested against each other. If no test is possible at all,
    the exit code is 1.

    Runs of one recipe that differ only in their seed are taken together. Two such groups with the same seeds are
    compared with each other; six seeds are the fewest that can reach p < .05.

    With -o, the comparison is also written as a page that shows every test question with the answers of each run.

    \b
    Example: kft compare runs/demo runs/demo-random paper -o runs/comparison
    """
    if opened and output is None:
        raise UsageError("--open: there is no page to open. Name a folder for it with -o FOLDER.")
    if files := [file for run in runs if (file := record_of(run)) is not None]:
        if output is not None:
            raise UsageError("--output: experiments have no page of a comparison. Leave it out.")
        _compare_experiments(files, runs, scorer, as_json=as_json)
        return
    loaded = load_named(runs, scorer)
    data = compare_loaded(loaded, scorer, with_paper=names_paper(runs))
    error = refusal(data)
    if as_json:
        print_json({**data, "error": error} if error else data)
    else:
        print_text(render_comparison(data, terminal=sys.stdout.isatty()))
    if output is not None:
        page = write_comparison(output, data, loaded)
        narrate(f"Page: {page}")
        if opened:
            open_page(page)
    if error:  # the tables are worth showing all the same
        narrate(f"Error: {error}")
        context.exit(1)


def _compare_experiments(files: Sequence[Path], given: Sequence[Path], scorer: str | None, *, as_json: bool) -> None:
    """Show experiments beside one another.

    Raises:
        UsageError: something besides experiments and `paper` is named, or a scorer.
    """
    others = [path for path in given if record_of(path) is None and str(path) != PAPER]
    if others:
        raise UsageError(
            f"{others[0]}: not an experiment with a report, and the others are. Compare experiments with experiments "
            "and runs with runs."
        )
    if scorer is not None:
        raise UsageError("--scorer is for runs: the report of an experiment holds no answers. Leave it out.")
    comparison = compare_experiments(files, published=len(files) < len(given))
    if as_json:
        print_json(comparison)
        return
    sections = comparison_sections(comparison, [read_experiment(file) for file in files])
    print_text(terminal_text(sections))
