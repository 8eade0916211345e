"""``kft rescore``."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

import click

from kft_cli.commands.options import SCORER_NAMES, json_option, remedy
from kft_cli.commands.output_paths import InputPath, OutputFile, WritingCommand, checked, overwrite_option
from kft_cli.display.console import narrate, print_json, print_text, progress_bar
from kft_cli.display.tables import Section, make_table, terminal_text
from kft_tasks.categories.category import KnowledgeCategory
from kft_tasks.categories.category_file import CategoryFile
from kft_tasks.categories.rescore import (
    UNDECIDED,
    Corrections,
    Rescoring,
    default_output,
    read_corrections,
    rescore,
)
from kft_tasks.errors import DataError, UsageError
from kft_tasks.files import is_stdout
from kft_tasks.visible_text import visible

_NAMED = 20  # undecided questions that the terminal names; --json names all
_CELL = 60  # characters of a question or an answer in the terminal


@click.command("rescore", cls=WritingCommand)
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=InputPath())
@click.option(
    "--scorer", help=f"Rule that decides whether an answer is right: {SCORER_NAMES}.  [default: the file's own]"
)
@click.option(
    "--questions",
    type=InputPath(),
    help="JSONL, CSV, TSV or Parquet file with id, question and the answers to accept from now on.  "
    "[default: the answers in FILE]",
)
@click.option(
    "--output",
    "-o",
    type=OutputFile(stream=True, or_folder=True),
    help="New category file; a folder if there are several FILEs.  "
    "[default: NAME.SCORER.categories.jsonl next to FILE]",
)
@click.option("--allow-undecided", is_flag=True, help="Leave out questions that the stored answers do not decide.")
@overwrite_option
@click.option(
    "--examples",
    type=click.IntRange(0),
    default=3,
    show_default=True,
    help="Questions to show for each kind of change.",
)
@click.option(
    "--explain",
    "explained",
    is_flag=True,
    help="Say which rule decided on each answer, and on what words: of those shown, and of all in the new file.",
)
@json_option
def command(
    files: tuple[Path, ...],
    scorer: str | None,
    questions: Path | None,
    output: Path | None,
    allow_undecided: bool,
    overwrite: bool,
    examples: int,
    explained: bool,
    as_json: bool,
) -> None:
    """Score the stored answers of category files again, without the model, and show what changed.

    Lazy detection does not ask for every answer. If the stored ones no longer decide a category, nothing is written
    unless you allow such questions to be left out.

    \b
    Example: kft rescore worldfacts-train.categories.jsonl --scorer answer_contained
    """
    if scorer is None and questions is None and not explained:
        raise UsageError(
            "Nothing to change. Name a rule with --scorer, corrected answers with --questions, or both; or ask for "
            "reasons with --explain."
        )
    corrections = None if questions is None else read_corrections(questions)
    results = []
    for source, destination in [(one, checked(other)) for one, other in _outputs(files, output, scorer)]:
        with _undecided_remedy(), progress_bar(f"rescore {source.name}") as progress:
            result = rescore(
                source,
                destination,
                scorer=scorer,
                corrections=corrections,
                allow_undecided=allow_undecided,
                overwrite=overwrite,
                examples=examples,
                explained=explained,
                progress=progress,
            )
        results.append(result)
        if not as_json:
            print_text(summarize(result))
        _narrate(result, corrections)
    if as_json:
        documents = [result.to_json() for result in results]
        print_json(documents[0] if len(documents) == 1 else documents)


def _undecided_remedy() -> AbstractContextManager[None]:
    """Adds the options that help with undecided questions."""
    return remedy(
        DataError,
        "--allow-undecided",
        "Use --allow-undecided to leave these questions out, or `kft detect --exhaustive` to keep all answers.",
        applies=lambda error: UNDECIDED in str(error),
    )


def _narrate(result: Rescoring, corrections: Corrections | None) -> None:
    if result.undecided:
        narrate(f"{len(result.undecided):,} of {result.total:,} questions are undecided and were left out.")
    if corrections and (unused := len(corrections.questions) - result.used):
        narrate(f"{unused:,} of {len(corrections.questions):,} corrections match no question in the file.")
    narrate(f"Category file: {result.output}")


def _outputs(files: tuple[Path, ...], output: Path | None, scorer: str | None) -> list[tuple[Path, Path]]:
    """Pair each file with the path of its new one."""
    if output is not None and len(files) == 1 and not output.is_dir():
        return [(files[0], output)]
    if output is not None and is_stdout(output):
        raise UsageError(f"{output}: there are {len(files)} files to write. Name a folder.")
    if output is not None and output.is_file():
        raise UsageError(f"{output} is a file, but there are {len(files)} files to write. Name a folder.")
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
    """What changed, as text for a terminal."""
    sections = [_moves_section(result)]
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
        table = make_table("before | now | question | accepted now | an answer given | is now", rows)
        sections.append(Section("Examples", (table,)))
    if whys := _why_rows(result):
        sections.append(Section("Why", (make_table("answer given | scorer | it is | because | words", whys),)))
    if result.undecided:
        more = len(result.undecided) - _NAMED
        rows = [[visible(id_)] for id_ in result.undecided[:_NAMED]]
        caption = f"and {more:,} more; --json names all" if more > 0 else ""
        sections.append(Section("Undecided and left out", (make_table("id", rows, caption),)))
    return terminal_text(sections, width)


def _why_rows(result: Rescoring) -> list[list[str]]:
    """For each example with a changed verdict two rows: the rule that decided before and the one that does now."""
    before = result.header.rescored.scorer if result.header.rescored else ""
    rows = []
    for example in (example for examples in result.examples.values() for example in examples):
        if example.given is None or example.why is None:
            continue
        for scorer, why in zip((before, result.header.protocol.scorer), example.why, strict=True):
            verdict = "right" if why.verdict else "wrong"
            rows.append([visible(example.given[0], _CELL), scorer, verdict, why.rule, visible(why.words, _CELL)])
    return rows


def _moves_section(result: Rescoring) -> Section:
    """Questions by category before (rows) and now (columns)."""
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
    caption = f"{result.moved:,} of {result.total:,} questions have another category now."
    if result.corrected:
        caption += f" {result.corrected:,} have other accepted answers."
    title = f"{result.source.name}: {before} → {result.header.protocol.scorer}"
    return Section(title, (make_table(" | ".join(heads), rows, caption),))
