"""``kft certainty``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from kft_cli.commands.options import json_option, remedy
from kft_cli.commands.output_paths import (
    CERTAINTY,
    CHANCES,
    InputPath,
    OutputFile,
    OutputFolder,
    WritingCommand,
    overwrite_option,
)
from kft_cli.display.console import narrate, print_json, print_text, progress_bar
from kft_cli.pages.certainty_figure import write_certainty_figure
from kft_cli.pages.certainty_page import render
from kft_tasks.categories.category_file import CategoryFile
from kft_tasks.certainty.measure import measure_certainty
from kft_tasks.errors import DataError
from kft_tasks.files import atomic_write, write_json


class _Numbers(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # generic from click 8.4 on
    """Whole numbers separated by commas."""

    name = "N,N,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Parse "1,2,4"."""
        if isinstance(value, tuple):
            return value
        try:
            return tuple(int(part) for part in value.split(","))
        except ValueError:
            self.fail(f"{value!r} is not a list of whole numbers. Write 1,2,4, for example.", param, ctx)


@click.command("certainty", cls=WritingCommand)
@click.argument("file", type=InputPath())
@click.option(
    "--sets", type=_Numbers(), help="Numbers of exemplar sets of the smaller protocols.  [default: 1,2,4,6,8,10]"
)
@click.option(
    "--samples",
    type=_Numbers(),
    help="Numbers of samples per exemplar set of the smaller protocols.  [default: 0,1,2,4,8,16]",
)
@click.option(
    "--per-question",
    type=OutputFile(CHANCES, stream=True),
    help="JSONL file for each question's chances of every category.  [default: none]",
)
@click.option(
    "--retest",
    type=InputPath(),
    help="Category file of a second detection with another seed, to compare.  [default: none]",
)
@click.option(
    "--output",
    "-o",
    type=OutputFolder("certainty.json", "certainty.svg", "certainty.md", marker="certainty.json", written=CERTAINTY),
    help="Folder for certainty.md, its figure certainty.svg and certainty.json.  [default: none]",
)
@overwrite_option
@json_option
def command(
    file: Path,
    sets: tuple[int, ...] | None,
    samples: tuple[int, ...] | None,
    per_question: Path | None,
    retest: Path | None,
    output: Path | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Show what cheaper protocols would have found, and how many categories a retest would change.

    FILE is a category file written by `kft detect --exhaustive`, which holds all answers. No model is needed.

    \b
    Example: kft certainty exhaustive.categories.jsonl -o certainty --per-question chances.jsonl
    """
    lazy = remedy(
        DataError,
        "--exhaustive",
        "Use `kft detect --exhaustive`.",
        applies=lambda error: _is_lazy(file),
    )
    with lazy, progress_bar("score") as progress:
        result = measure_certainty(
            file, sets=sets, samples=samples, per_question=per_question, retest=retest, progress=progress
        )
    data = result.to_json()
    if as_json:
        print_json(data)
    else:
        print_text(render(data))
    if per_question:
        narrate(f"Chances per question: {per_question}")
    if output:
        _write(data, output)


def _is_lazy(path: Path) -> bool:
    try:
        return not CategoryFile(path).header.exhaustive
    except DataError:
        return False


def _write(data: dict[str, Any], folder: Path) -> None:
    write_json(folder / "certainty.json", data)
    write_certainty_figure(data, folder)
    with atomic_write(folder / "certainty.md") as stream:
        stream.write(render(data, markdown=True))
    narrate(f"Tables: {folder / 'certainty.md'}; figure: {folder / 'certainty.svg'}; numbers: certainty.json")
