"""``kft certainty``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from kft_cli.commands.options import json_option
from kft_cli.display.console import narrate, print_json, progress_bar


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
    "--output",
    "-o",
    type=click.Path(path_type=Path),
    help="Folder for certainty.md, its figure certainty.png and certainty.json.",
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
    from kft_cli.pages.certainty_page import render
    from kft_tasks.certainty.measure import measure_certainty

    with progress_bar("score") as progress:
        result = measure_certainty(
            file, sets=sets, samples=samples, per_question=per_question, retest=retest, progress=progress
        )
    data = result.to_json()
    if as_json:
        print_json(data)
    else:
        click.echo(render(data))
    if per_question:
        narrate(f"Chances of every question: {per_question}")
    if output:
        _write(data, output)


def _write(data: dict[str, Any], folder: Path) -> None:
    from kft_cli.pages.certainty_figure import write_certainty_figure
    from kft_cli.pages.certainty_page import render
    from kft_tasks.files import atomic_write, write_json

    write_json(folder / "certainty.json", data)
    write_certainty_figure(data, folder / "certainty.png")
    with atomic_write(folder / "certainty.md") as stream:
        stream.write(render(data, markdown=True))
    narrate(f"Tables: {folder / 'certainty.md'}; figure: {folder / 'certainty.png'}; numbers: certainty.json")
