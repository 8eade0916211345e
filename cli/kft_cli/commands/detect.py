"""``kft detect``."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click

from kft_cli.commands.options import (
    QuestionChoice,
    fitting_protocol,
    json_option,
    model_options,
    protocol_options,
    question_options,
    remedy,
)
from kft_cli.commands.output_paths import CATEGORY_FILE, OutputFile, WritingCommand, checked
from kft_cli.display.console import narrate, print_json, print_text, progress_bar
from kft_cli.display.tables import Section, make_table, terminal_text
from kft_cli.pipeline.asking import open_model
from kft_cli.stats.intervals import wilson_share
from kft_tasks.detection.run import detect, discard_journals, journal_folder, summary
from kft_tasks.errors import StateError, UsageError
from kft_tasks.launcher import Process, this_process
from kft_tasks.models.backends import identify_choice
from kft_tasks.models.choice import ModelChoice
from kft_tasks.progress import no_progress
from kft_tasks.protocol.exemplars import ExemplarPool
from kft_tasks.protocol.identity import SERVED
from kft_tasks.protocol.protocol import Protocol


@click.command("detect", cls=WritingCommand)
@model_options
@question_options("train")
@protocol_options
@click.option(
    "--output",
    "-o",
    type=OutputFile(CATEGORY_FILE),
    help="Category file to write.  [default: SET-SPLIT.categories.jsonl]",
)
@click.option(
    "--exhaustive",
    is_flag=True,
    help="Ask for every answer, for exact values of P_correct; the categories are the same.",
)
@click.option("--overwrite", is_flag=True, help="Replace a category file made with other settings.")
@click.option(
    "--resume/--restart",
    default=True,
    show_default=True,
    help="Resume from the journal of an interrupted detection, or discard it and start over.",
)
@json_option
def command(
    choice: ModelChoice,
    questions: QuestionChoice,
    protocol: Protocol,
    output: Path | None,
    exhaustive: bool,
    overwrite: bool,
    resume: bool,
    as_json: bool,
) -> None:
    """Find out how well a model knows each question, and write a category file.

    Asks only for answers that can still change a category. Run it again after an interruption and it resumes.

    \b
    Example: kft detect --model smollm2-135m --set worldfacts --split train --limit 200
    """
    target, process = questions.open(), this_process()
    protocol = fitting_protocol(protocol, target.source, told=process.first)
    output = output or checked(Path(f"{questions.set}-{questions.split}.categories.jsonl"))
    pool = ExemplarPool(target.source.split("exemplars"), protocol, target.source.name)
    _check_processes(process, output, overwrite=overwrite, resume=resume)
    if not resume:
        discard_journals(output)
    identity = identify_choice(choice)
    share = f" (process 1 of {process.world}: its share)" if process.world > 1 else ""
    in_the_way = remedy(
        StateError,
        "--overwrite",
        "(-o FILE, --overwrite)",
        applies=lambda error: output.exists() and not overwrite,
    )
    with in_the_way, progress_bar(f"detect{share}") if process.first else nullcontext(no_progress) as progress:
        result = detect(
            target,
            protocol,
            identity,
            lambda: open_model(choice, protocol, pool),
            output,
            exemplars=pool,
            lazy=not exhaustive,
            overwrite=overwrite,
            progress=progress,
        )
    if not process.first:
        return
    data = summary(result)
    if as_json:
        print_json(data)
        return
    _show(data)
    if result.reused:
        narrate(f"{output} already exists, made with the same model, protocol and questions.")
    narrate(f"Category file: {output}")


def _check_processes(process: Process, output: Path, *, overwrite: bool, resume: bool) -> None:
    """Refuse what several processes cannot agree on: none of them could tell old files from new ones."""
    if process.world == 1:
        return
    if not resume:
        raise UsageError(f"--restart does not work with several processes. Remove {journal_folder(output)} instead.")
    if overwrite:
        raise UsageError(f"--overwrite does not work with several processes. Remove {output} instead.")


def _show(data: dict[str, Any]) -> None:
    total = data["questions"]["count"]
    rows = []
    for category, count in data["counts"].items():
        share = wilson_share(count, total)
        rows.append([category, f"{count:,}", f"{share.share:.1%}", f"{share.low:.1%} to {share.high:.1%}"])
    title = f"{data['model']['id']} on {data['questions']['set']} ({data['questions']['split']}), n = {total:,}"
    table = make_table("Category | Questions > | Share > | 95 % interval >", rows)
    print_text(terminal_text([Section(title, (table,))]))
    made, saved = data["generations"]["made"], data["generations"]["saved"]
    cost = data["cost"]
    served = data["model"]["weights"].startswith(SERVED)
    cpu = "the server's CPU-seconds are not known here" if served else f"{cost['cpu_seconds']:.0f} CPU-seconds"
    narrate(f"{made:,} answers generated, {saved:,} saved; {_tokens(cost)}{cost['seconds']:.0f} s ({cpu}).")
    if memory := data["memory"]:
        narrate(f"Keys and values took {memory['peak'] / 1e6:,.0f} MB of {memory['budget'] / 1e6:,.0f} MB (KFT_KV_GB).")


def _tokens(cost: dict[str, float]) -> str:
    """The tokens that were computed; a server may say only how long the prompts were."""
    if cost["prefilled"]:
        return f"{cost['prefilled']:,.0f} tokens prefilled, {cost['decoded']:,.0f} decoded, "
    if cost["prompt_tokens"]:
        return f"prompts of {cost['prompt_tokens']:,.0f} tokens, {cost['decoded']:,.0f} decoded, "
    return ""
