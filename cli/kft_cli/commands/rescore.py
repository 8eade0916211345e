"""``kft rescore``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kft_cli.commands.options import json_option
from kft_cli.display.console import narrate, print_json, progress_bar
from kft_tasks.scoring.scorers import SCORERS

if TYPE_CHECKING:
    from kft_cli.display.tables import Section
    from kft_tasks.categories.rescore import Rescoring

_NAMED = 20  # undecided questions that the terminal names; --json names all
_CELL = 60  # characters of a question or an answer in the terminal


@click.command("rescore", short_help="Score stored answers again.")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--scorer", help=f"Rule for a right answer: {', '.join(SCORERS)}.  [default: the file's own]")
@click.option(
    "--questions",
    type=click.Path(path_type=Path),
    help="JSONL, CSV, TSV or Parquet file with id, question and the answers to accept from now on.",
)
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path),
    help="New category file; with several FILEs, a folder.  [default: NAME.SCORER.categories.jsonl beside FILE]",
)
@click.option("--allow-undecided", is_flag=True, help="Leave out questions that the stored answers do not decide.")
@click.option("--overwrite", is_flag=True, help="Replace an output that exists.")
@click.option("--examples", type=click.IntRange(0), default=3, show_default=True, help="Shown of each kind of move.")
@json_option
def command(**values: Any) -> None:
    """Score the stored answers of category files again, without the model, and show what moved.

    A lazy file does not hold all answers: where those it holds do not decide a category any more, nothing is written
    unless you allow the question to be left out.

    \b
    Example: kft rescore worldfacts-train.categories.jsonl --scorer answer_contained
    """
    from kft_tasks.categories.rescore import read_corrections, rescore

    corrections = None if values["questions"] is None else read_corrections(values["questions"])
    results = []
    for source, output in _outputs(values["files"], values["output"], values["scorer"]):
        with progress_bar(f"rescore {source.name}") as progress:
            result = rescore(
                source,
                output,
                scorer=values["scorer"],
                corrections=corrections,
                allow_undecided=values["allow_undecided"],
                overwrite=values["overwrite"],
                examples=values["examples"],
                progress=progress,
            )
        results.append(result)
        if not values["as_json"]:
            click.echo(summarize(result))
        if result.undecided:
            narrate(f"{len(result.undecided):,} of {result.total:,} questions are undecided and were left out.")
        if corrections and (unused := len(corrections.questions) - result.used):
            narrate(
                f"{unused:,} of {len(corrections.questions):,} corrections are of questions that are not in the file."
            )
        narrate(f"Category file: {result.output}")
    if values["as_json"]:
        documents = [result.to_json() for result in results]
        print_json(documents[0] if len(documents) == 1 else documents)


def _outputs(files: tuple[Path, ...], output: Path | None, scorer: str | None) -> list[tuple[Path, Path]]:
    """Each file with the place of its new one."""
    from kft_tasks.categories.category_file import CategoryFile
    from kft_tasks.categories.rescore import default_output
    from kft_tasks.errors import UsageError

    if output is not None and len(files) == 1 and not output.is_dir():
        return [(files[0], output)]
    if output is not None and output.is_file():
        raise UsageError(f"{output}: is a file, and there are {len(files)} to write. Name a folder.")
    pairs = []
    for path in files:
        beside = default_output(path, scorer or CategoryFile(path).header.protocol.scorer)
        pairs.append((path, output / beside.name if output else beside))
    places = [place.resolve() for _, place in pairs]
    for place in places:
        if places.count(place) > 1:
            raise UsageError(f"{place}: two of the files would be written there. Score them one by one with -o.")
    return pairs


def summarize(result: Rescoring, width: int | None = None) -> str:
    """What moved, as text for a terminal."""
    from kft_cli.display.tables import make_table, terminal_text, visible
    from kft_tasks.categories.rescore import UNDECIDED

    section = _moves_section(result)
    sections = [section]
    rows = [
        [
            example.before.value,
            example.after.value if example.after else UNDECIDED,
            visible(example.question, _CELL),
            visible("; ".join(example.accepted), _CELL),
            visible(example.given[0], _CELL) if example.given else "–",
            "" if example.given is None else "right" if example.given[1] else "wrong",
        ]
        for examples in result.examples.values()
        for example in examples
    ]
    if rows:
        table = make_table("before | now | question | accepted now | an answer that was given | is now", rows)
        sections.append(_section("Examples", table))
    if result.undecided:
        more = len(result.undecided) - _NAMED
        rows = [[visible(id_)] for id_ in result.undecided[:_NAMED]]
        caption = f"and {more:,} more; --json names all" if more > 0 else ""
        sections.append(_section("Undecided and left out", make_table("id", rows, caption)))
    return terminal_text(sections, width)


def _moves_section(result: Rescoring) -> Section:
    from kft_cli.display.tables import make_table
    from kft_tasks.categories.category import KnowledgeCategory

    categories = list(KnowledgeCategory)
    rescored = result.header.rescored
    before = rescored.scorer if rescored else ""
    heads = ["before, now", *(f"{category} >" for category in categories), "undecided >", "all >"]
    rows = []
    for row in categories:
        counts = [result.moves[row, column] for column in (*categories, None)]
        rows.append([row.value, *(f"{count:,}" for count in [*counts, sum(counts)])])
    columns = [sum(result.moves[row, column] for row in categories) for column in (*categories, None)]
    rows.append(["all", *(f"{count:,}" for count in [*columns, sum(columns)])])
    caption = f"{result.moved:,} of {result.total:,} questions have another category."
    if result.corrected:
        caption += f" {result.corrected:,} have other accepted answers."
    title = f"{result.source.name}: {before} → {result.header.protocol.scorer}"
    return _section(title, make_table(" | ".join(heads), rows, caption))


def _section(title: str, block: Any) -> Section:
    from kft_cli.display.tables import Section

    return Section(title, (block,))
