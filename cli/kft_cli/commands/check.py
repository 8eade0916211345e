"""``kft check``."""

from __future__ import annotations

from pathlib import Path

import click

from kft_cli.commands.options import json_option
from kft_cli.commands.output_paths import InputPath
from kft_cli.display.console import narrate, print_json, print_text
from kft_cli.display.tables import NONE, Section, Table, make_table, points, terminal_text
from kft_cli.experiment.limits import Checked, Limits, check_limits
from kft_cli.experiment.values import read_values
from kft_cli.report.sections.elsewhere import signed


@click.command("check")
@click.argument("run", type=InputPath())
@click.option(
    "--max-forgotten",
    type=click.FloatRange(0),
    help="Largest fall of the share of base-HighlyKnown questions that are HighlyKnown, in points.  [default: any]",
)
@click.option(
    "--also-drop",
    type=click.FloatRange(0),
    help="Largest fall of test accuracy, of held-out types and of further tasks, in points.  [default: any]",
)
@click.option(
    "--max-text-rise",
    type=click.FloatRange(0),
    help="Largest rise of the loss of held-out text, in nats per token.  [default: any]",
)
@click.option(
    "--confident",
    is_flag=True,
    help="Fail only where the whole 95 % interval is beyond a limit, not already where the estimate is.",
)
@json_option
@click.pass_context
def command(
    context: click.Context,
    run: Path,
    max_forgotten: float | None,
    also_drop: float | None,
    max_text_rise: float | None,
    confident: bool,
    as_json: bool,
) -> None:
    """Check that a finished run has not forgotten too much: for continuous integration.

    The last point of the run in folder RUN is compared with the base model, question by question. Limits are on the
    estimate, or with --confident on its interval. The exit code is 1 if a limit is passed, or if something that has a
    limit was not measured.

    \b
    Example: kft check runs/mine --max-forgotten 3 --also-drop 1
    """
    limits = Limits(max_forgotten, also_drop, max_text_rise, confident)
    rows = check_limits(read_values(run), limits)
    passed = [row for row in rows if row.passed]
    if as_json:
        print_json({"run": str(run), "within": not passed, "rows": [row.to_json() for row in rows]})
    else:
        print_text(terminal_text([Section("", (_table(rows, confident=confident),))]))
    if passed:
        narrate(f"Passed a limit: {', '.join(row.what for row in passed)}.")
        context.exit(1)


def _table(rows: list[Checked], *, confident: bool) -> Table:
    cells = [
        [
            row.what,
            _value(row, row.before),
            _value(row, row.after),
            _loss(row, row.loss),
            NONE if row.low is None or row.high is None else f"{_loss(row, row.low)} to {_loss(row, row.high)}",
            f"{row.limit:g}",
            "passed" if row.passed else "within",
        ]
        for row in rows
    ]
    decides = "the whole interval" if confident else "the estimate"
    caption = (
        "*Loss*: percentage points, or nats per token of text; below 0 is a gain. In the interval (95 %) other "
        f"questions of these kinds could have been asked. A limit is passed where {decides} is beyond it."
    )
    return make_table("what | base > | last > | loss > | interval > | limit > | ", cells, caption)


def _value(row: Checked, value: float) -> str:
    return f"{value:.3f}" if row.unit != "points" else f"{100 * value:.1f} %"


def _loss(row: Checked, value: float) -> str:
    return points(value / 100) if row.unit == "points" else signed(value)
