"""``kft import``."""

from __future__ import annotations

from pathlib import Path

import click

from kft_cli.commands.options import SCORER_NAMES, json_option, parse_pairs, remedy
from kft_cli.commands.output_paths import (
    CATEGORY_FILE,
    InputPath,
    OutputFile,
    WritingCommand,
    checked,
    overwrite_option,
)
from kft_cli.display.console import narrate, print_json, print_text
from kft_cli.display.tables import Section, make_table, terminal_text
from kft_cli.stats.intervals import wilson_share
from kft_tasks.categories.category_file import Header
from kft_tasks.errors import UsageError
from kft_tasks.lm_eval_logs.import_logs import ImportResult, import_logs
from kft_tasks.lm_eval_logs.results_file import log_facts
from kft_tasks.protocol.identity import NOT_RECORDED
from kft_tasks.protocol.protocol import Protocol
from kft_tasks.questions import SPLITS
from kft_tasks.visible_text import visible


@click.command("import", cls=WritingCommand)
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=InputPath())
@click.option(
    "--option",
    "columns",
    multiple=True,
    metavar="FIELD=NAME",
    help="Field of the logged documents for question, answers, id, type, split or subject, such as "
    "answers=answer.aliases; repeatable.",
)
@click.option("--split", type=click.Choice(SPLITS), help="Split of the questions.  [default: as the logs say]")
@click.option(
    "--scorer",
    default=Protocol.scorer,
    show_default=True,
    help=f"Rule that decides whether an answer is right: {SCORER_NAMES}.",
)
@click.option(
    "--filter",
    "filter_name",
    help="Filter of the task whose answers are taken, if it keeps all of them.  [default: as the model gave them]",
)
@click.option(
    "--samples-as-prompts",
    is_flag=True,
    help="The logs hold no greedy answers: count each sampled one as the answer to a prompt of its own.",
)
@click.option(
    "--output",
    "-o",
    type=OutputFile(CATEGORY_FILE),
    help="Category file to write.  [default: TASK.categories.jsonl]",
)
@overwrite_option
@json_option
def command(
    files: tuple[Path, ...],
    columns: tuple[str, ...],
    split: str | None,
    scorer: str,
    filter_name: str | None,
    samples_as_prompts: bool,
    output: Path | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Make a category file from sample logs of lm-eval.

    FILEs are the samples_*.jsonl that `lm_eval --log_samples` wrote for any task that generates answers: of one model
    and the same questions, under one prompt or several, greedily and, with `repeats`, sampled. What they do not say is
    recorded as not known.

    \b
    Example: kft import out/samples_nq_greedy_*.jsonl out/samples_nq_sampled_*.jsonl -o nq.categories.jsonl
    """
    output = output or checked(Path(f"{log_facts(files[0]).task}.categories.jsonl"))
    with remedy(
        UsageError,
        "--samples-as-prompts",
        "(--samples-as-prompts)",
        applies=lambda error: "sampled answers only" in str(error),
    ):
        result = import_logs(
            files,
            output,
            columns=parse_pairs(columns, "--option"),
            scorer=scorer,
            split=split,
            filter_name=filter_name,
            samples_as_prompts=samples_as_prompts,
            overwrite=True,  # what may be replaced was checked before
        )
    if as_json:
        print_json(result.to_json())
        return
    print_text(terminal_text([_counts(result.header), _settings(result.header)]))
    _narrate(result)


def _counts(header: Header) -> Section:
    total = header.questions.count
    rows = []
    for category, count in header.counts.items():
        share = wilson_share(count, total)
        rows.append([category, f"{count:,}", f"{share.share:.1%}", f"{share.low:.1%} to {share.high:.1%}"])
    title = f"{visible(header.model.id)} on {visible(header.questions.set)}, n = {total:,}"
    return Section(title, (make_table("Category | Questions > | Share > | 95 % interval >", rows),))


def _settings(header: Header) -> Section:
    facts = {
        "model": header.model.id,
        "weights": header.model.weights,
        "precision": header.model.dtype,
        "split": header.questions.split,
        **header.protocol.to_json(),
    }
    rows = [[name, NOT_RECORDED if value is None else visible(str(value)) or "none"] for name, value in facts.items()]
    return Section("What the logs say", (make_table("setting | value", rows),))


def _narrate(result: ImportResult) -> None:
    imported = result.header.imported
    if imported is not None and imported.left_out:
        narrate(f"{imported.left_out:,} questions lack answers that the others have, and were left out.")
    if result.unsteady:
        narrate(f"{result.unsteady:,} greedy answers differ from one time to the next; the first one counts.")
    narrate(f"Category file: {result.output}")
