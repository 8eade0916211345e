"""``kft certainty``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kft_cli.console import narrate, print_json, progress_bar
from kft_cli.options import json_option

if TYPE_CHECKING:
    from kft_cli.tables import Table

_GRID_NOTE = (
    "Expected questions of each category over all ways of choosing so many sets and samples out of this file's: exact "
    "counts of subsets, no simulation. Sampling chances within these generations alone: a fresh detection varies more."
)
_RETEST_NOTE = (
    "A re-test has fresh exemplar sets and samples (another seed). Each question has a rate of right greedy answers, "
    "and one of sets with a right sample where the greedy answer is wrong; the re-test is beta-binomial. The fitted "
    "prior is learned from all questions of the file, Jeffreys' leaves each question to its own counts. "
    "Intervals (95 %) take questions as independent; those of a type share exemplars, so they are "
    "rather too narrow."
)


class _Numbers(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # generic from click 8.4 on
    """Whole numbers with commas between."""

    name = "N,N,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Parse "1,2,4"."""
        if isinstance(value, tuple):
            return value
        try:
            return tuple(int(part) for part in value.split(","))
        except ValueError:
            self.fail(f"{value!r}: write whole numbers with commas between, such as 1,2,4.", param, ctx)


@click.command("certainty", short_help="The price of certainty.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--sets", type=_Numbers(), help="Exemplar sets of the smaller protocols.  [default: 1,2,4,6,8,10]")
@click.option("--samples", type=_Numbers(), help="Samples of the smaller protocols.  [default: 0,1,2,4,8,16]")
@click.option(
    "--per-question", type=click.Path(path_type=Path), help="Write the chances of every question to this JSONL file."
)
@click.option("--retest", type=click.Path(path_type=Path), help="A second detection with another seed, to compare.")
@click.option(
    "--output", "-o", type=click.Path(path_type=Path), help="Folder for certainty.png (figure) and certainty.json."
)
@json_option
def command(
    file: Path,
    sets: tuple[int, ...] | None,
    samples: tuple[int, ...] | None,
    per_question: Path | None,
    retest: Path | None,
    output: Path | None,
    as_json: bool,
) -> None:
    """Show what cheaper protocols would have found, and how many categories a re-test would change.

    FILE is a category file of `kft detect --exhaustive`, which holds all answers. No model is needed.

    \b
    Example: kft certainty exhaustive.categories.jsonl -o certainty --per-question chances.jsonl
    """
    from kft_tasks.certainty import measure_certainty

    with progress_bar("score") as progress:
        result = measure_certainty(
            file, sets=sets, samples=samples, per_question=per_question, retest=retest, progress=progress
        )
    data = result.to_json()
    if as_json:
        print_json(data)
    else:
        click.echo(summarize(data))
    if per_question:
        narrate(f"Chances of every question: {per_question}")
    if output:
        _write(data, output)


def summarize(data: dict[str, Any], width: int | None = None) -> str:
    """The result as text for a terminal."""
    from kft_cli.tables import Section, terminal_text

    name = f"{data['model']}, n = {data['questions']:,} questions"
    sections = [
        Section(f"Cheaper protocols: {name}", (_grid_table(data), _GRID_NOTE)),
        Section("Categories that a re-test is expected to change", (_retest_table(data), _RETEST_NOTE)),
    ]
    return terminal_text(sections, width)


def _grid_table(data: dict[str, Any]) -> Table:
    from kft_cli.tables import make_table, percent

    rows = [
        [
            str(cell["sets"]),
            str(cell["samples"]),
            *(f"{count:,.1f}" for count in cell["counts"].values()),
            percent(cell["agreement"]),
            f"{cell['generations']:,}",
            f"{cell['lazy_generations']:,.1f}",
        ]
        for cell in data["grid"]
    ]
    heads = "sets > | samples > | HighlyKnown > | MaybeKnown > | WeaklyKnown > | Unknown > | same category > "
    return make_table(heads + "| generations a question > | lazy >", rows)


def _retest_table(data: dict[str, Any]) -> Table:
    """Expected changes by category; observed ones beside them where there is a re-test, over the shared questions."""
    from kft_cli.tables import make_table

    comparison = data["comparison"]
    expected = comparison["expected"] if comparison else data["retest"]
    columns = [_changes_column(expected["fitted"]), _changes_column(expected["jeffreys"])]
    heads = "category | questions > | expected, fitted prior > | expected, Jeffreys' prior >"
    sizes = [f"{sum(line.values()):,.0f}" for line in expected["fitted"]["matrix"].values()]
    columns.insert(0, [*sizes, f"{expected['fitted']['questions']:,}"])
    caption = ""
    if comparison:
        heads += " | observed >"
        changed = list(_changed(comparison["observed"]["matrix"]).values())
        columns.append([f"{count:,.0f}" for count in [*changed, sum(changed)]])
        caption = f"{comparison['left_out']:,} questions are in one of the two files only and are left out."
    names = [*data["counts"], "all"]
    return make_table(heads, list(zip(names, *columns, strict=True)), caption)


def _changes_column(forecast: dict[str, Any]) -> list[str]:
    total = forecast["changes"]
    parts = [f"{count:,.1f}" for count in _changed(forecast["matrix"]).values()]
    return [*parts, f"{total['expected']:,.1f} ({total['low']:,} to {total['high']:,})"]


def _changed(matrix: dict[str, dict[str, float]]) -> dict[str, float]:
    return {row: sum(count for name, count in line.items() if name != row) for row, line in matrix.items()}


def _write(data: dict[str, Any], folder: Path) -> None:
    from kft_cli.certainty_figure import write_certainty_figure
    from kft_tasks.files import write_json

    write_json(folder / "certainty.json", data)
    write_certainty_figure(data, folder / "certainty.png")
    narrate(f"Figure: {folder / 'certainty.png'}; numbers: {folder / 'certainty.json'}")
