"""``kft export``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Literal, get_args

import click

from kft_cli.commands.options import json_option, remedy
from kft_cli.commands.output_paths import InputPath, OutputFile, WritingCommand, checked, overwrite_option
from kft_cli.display.console import narrate, print_json, print_text, progress_bar
from kft_cli.display.tables import Code, Section, make_table, markdown_document, terminal_text
from kft_tasks.categories.category import KnowledgeCategory
from kft_tasks.errors import DataError, UsageError
from kft_tasks.files import atomic_write, is_stdout, sha256_of_file
from kft_tasks.protocol.identity import NOT_RECORDED
from kft_tasks.protocol.prompts import TEMPLATES
from kft_tasks.visible_text import visible
from kft_train.data.training_set import (
    CARD,
    PARQUET,
    Form,
    Selection,
    TrainingSet,
    Wording,
    choose_training_set,
    write_dataset,
    write_jsonl,
    write_parquet,
)

Format = Literal["jsonl", "parquet", "dataset", "every-eval-ever"]
_RECORDS = "every-eval-ever"
_share = click.FloatRange(0, 1)


@click.command("export", cls=WritingCommand)
@click.argument("file", type=InputPath())
@click.option(
    "--output",
    "-o",
    required=True,
    type=OutputFile(stream=True, or_folder=True),
    help="File to write; with --format dataset and every-eval-ever, a folder.",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(get_args(Format)),
    default="jsonl",
    show_default=True,
    help="jsonl and parquet are files, dataset is a folder for `datasets.load_dataset`; every-eval-ever gives records "
    "of the results, of all questions.",
)
@click.option(
    "--form",
    type=click.Choice(get_args(Form)),
    default="prompt-completion",
    show_default=True,
    help="The example's columns, as TRL names them: prompt and completion, or messages for a chat template.",
)
@click.option(
    "--category",
    "categories",
    multiple=True,
    type=click.Choice([category.value for category in KnowledgeCategory]),
    help="Only questions of this category; repeatable.  [default: all]",
)
@click.option("--type", "types", multiple=True, help="Only questions of this type; repeatable.  [default: all]")
@click.option("--min-p", type=_share, help="Smallest share of right greedy answers.  [default: 0]")
@click.option("--max-p", type=_share, help="Largest share of right greedy answers.  [default: 1]")
@click.option(
    "--max-relabel",
    type=_share,
    help="Largest chance that a repeated detection gives another category.  [default: 1]",
)
@click.option("--any-split", is_flag=True, help="Export questions of other splits than train too.")
@click.option(
    "--template",
    type=click.Choice(list(TEMPLATES)),
    help="Prompt text around the question.  [default: the detection's own, or qa]",
)
@click.option("--system", help="System prompt.  [default: the detection's own, or none]")
@click.option("--organization", help="Who asked the model, for every-eval-ever.  [default: none]")
@overwrite_option
@json_option
def command(
    file: Path,
    output: Path,
    format_: Format,
    form: Form,
    categories: tuple[str, ...],
    types: tuple[str, ...],
    min_p: float | None,
    max_p: float | None,
    max_relabel: float | None,
    any_split: bool,
    template: str | None,
    system: str | None,
    organization: str | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Write the questions of a category file that are worth training on, as TRL and other trainers read them.

    Each row has the question's id, type, split and category, p_correct_greedy and p_correct_sampled, the chance that a
    repeated detection gives another category (relabel_chance, of files that hold all answers), and the example itself.
    With --format every-eval-ever, FILE may also be a report.json.

    \b
    Example: kft export base.categories.jsonl --category MaybeKnown -o train.jsonl
    """
    if format_ in ("dataset", _RECORDS) and (is_stdout(output) or output.is_file()):
        raise UsageError(f"{output}: --format {format_} writes a folder. Name a folder.")
    if format_ == "parquet" and is_stdout(output):
        raise UsageError(f"{output}: Parquet is no text. Name a file.")
    if format_ == _RECORDS:
        _export_records(file, output, organization, as_json=as_json)
        return
    selection = Selection([KnowledgeCategory(name) for name in categories], types, min_p, max_p, max_relabel, any_split)
    any_split_helps = remedy(
        DataError, "--any-split", "(--any-split)", applies=lambda error: "should not be trained on" in str(error)
    )
    with any_split_helps, progress_bar("score") as progress:
        chosen = choose_training_set(file, selection, Wording(form, template, system), progress)
    _write(chosen, output, format_)
    counts = {
        category.value: {"found": chosen.found[category], "exported": chosen.taken[category]}
        for category in KnowledgeCategory
    }
    if as_json:
        print_json({"file": str(output), "format": format_, "form": form, "rows": len(chosen.rows), "counts": counts})
        return
    rows = [[name, f"{row['found']:,}", f"{row['exported']:,}"] for name, row in counts.items()]
    print_text(terminal_text([Section(visible(file.name), (make_table("Category | in file > | exported >", rows),))]))
    if not chosen.certain:
        narrate("The file was detected lazily: relabel_chance is empty, and so is P_correct where answers are missing.")
    narrate(f"{len(chosen.rows):,} examples: {output}")


def _write(chosen: TrainingSet, output: Path, format_: Format) -> None:
    if format_ == "dataset":
        for name in (CARD, PARQUET):
            checked(output / name)
        write_dataset(output, chosen, _card(chosen))
    elif format_ == "parquet":
        write_parquet(output, chosen.rows)
    else:
        write_jsonl(output, chosen.rows)


def _card(chosen: TrainingSet) -> str:
    """The data set's page: where its questions come from."""
    header = chosen.header
    facts = {
        "model": header.model.id,
        "weights": header.model.weights,
        "question set": f"{header.questions.set} {header.questions.version}",
        "category file": f"SHA-256 {sha256_of_file(chosen.path)}",
        **{name: NOT_RECORDED if value is None else str(value) for name, value in header.protocol.to_json().items()},
    }
    counts = [[name.value, f"{chosen.found[name]:,}", f"{chosen.taken[name]:,}"] for name in KnowledgeCategory]
    sections = [
        Section("Questions", (make_table("category | detected > | here >", counts),)),
        Section("Detection", (make_table("setting | value", [[name, text] for name, text in facts.items()]),)),
        Section("Use", (Code('load_dataset("FOLDER", split="train")', "python"),)),
    ]
    lead = "Questions with their category, from `kft export`; TRL's `SFTTrainer` takes them as they are."
    return markdown_document("Training questions", sections, (lead,))


def _export_records(file: Path, output: Path, organization: str | None, *, as_json: bool) -> None:
    if not organization:
        raise UsageError("A record says who asked the model. Name it with --organization.")
    written = []
    for name, text in _records(file)(file, organization):
        place = checked(output / name)
        with atomic_write(place) as stream:
            stream.writelines(text)
        written.append(str(place))
    if as_json:
        print_json({"files": written})
        return
    for shown in written:
        narrate(f"Record: {shown}")


def _records(file: Path) -> Callable[[Path, str], Iterable[tuple[Path, Iterator[str]]]]:
    """What makes the records: a report is one JSON value, a category file is lines of JSON."""
    if file.suffix == ".json":
        from kft_cli.eval_records.from_report import report_records

        return report_records
    from kft_cli.eval_records.from_categories import category_records

    return category_records
