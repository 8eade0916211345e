"""``kft detect``."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click

from kft_cli.commands.options import (
    json_option,
    model_options,
    parse_pairs,
    protocol_options,
    question_options,
    take_model,
    take_protocol,
)
from kft_cli.display.console import narrate, print_json, progress_bar
from kft_tasks.progress import no_progress


@click.command("detect", short_help="Detect mastery categories.")
@model_options
@question_options("train")
@protocol_options
@click.option(
    "--output", "-o", type=click.Path(path_type=Path), help="Category file.  [default: SET-SPLIT.categories.jsonl]"
)
@click.option("--exhaustive", is_flag=True, help="Ask everything, for full P_correct; the categories are the same.")
@click.option("--overwrite", is_flag=True, help="Replace a category file that was made for something else.")
@click.option(
    "--resume/--restart", default=True, show_default=True, help="Go on with a journal that is there, or begin anew."
)
@json_option
def command(**values: Any) -> None:
    """Find out how well a model knows each question, and write a category file.

    Only answers that can still change a category are asked for. A killed detection goes on where it stopped.

    \b
    Example: kft detect --model smollm2-135m --set worldfacts --split train --limit 200
    """
    from kft_tasks.detection.run import detect, journal_folder, summary
    from kft_tasks.detection.target import Target
    from kft_tasks.errors import UsageError
    from kft_tasks.launcher import this_process
    from kft_tasks.models.backends import identify_choice
    from kft_tasks.models.loading import load_model
    from kft_tasks.protocol.exemplars import ExemplarPool
    from kft_tasks.protocol.prompt_maker import PromptMaker
    from kft_tasks.question_sets.registry import open_set

    protocol, process = take_protocol(values), this_process()
    set_options = parse_pairs(values["set_options"])
    source = open_set(values["set_"], values["path"], set_options)
    output = values["output"] or Path(f"{values['set_']}-{values['split']}.categories.jsonl")
    pool = ExemplarPool(source.split("exemplars"), protocol, source.name)
    if not values["resume"]:
        import shutil

        if process.world > 1:
            raise UsageError(f"--restart with several processes: remove {journal_folder(output)} instead.")
        shutil.rmtree(journal_folder(output), ignore_errors=True)
    choice = take_model(values)
    identity = identify_choice(choice)

    def load() -> Any:
        model = load_model(choice)
        render = model.lm.apply_chat_template if protocol.chat else None
        return model.answerer(protocol), PromptMaker(protocol, pool, render)

    share = f" (process 1 of {process.world}: its share)" if process.world > 1 else ""
    with progress_bar(f"detect{share}") if process.first else nullcontext(no_progress) as progress:
        result = detect(
            Target(source, values["split"], values["limit"], set_options),
            protocol,
            identity,
            load,
            output,
            exemplars=pool,
            lazy=not values["exhaustive"],
            overwrite=values["overwrite"],
            progress=progress,
        )
    if not process.first:
        return
    data = summary(result)
    if values["as_json"]:
        print_json(data)
        return
    _show(data)
    if result.reused:
        narrate(f"{output} was there already, made with the same model, protocol and questions.")
    narrate(f"Category file: {output}")


def _show(data: dict[str, Any]) -> None:
    from kft_cli.display.tables import Section, make_table, terminal_text
    from kft_cli.stats.intervals import wilson_share

    total = data["questions"]["count"]
    rows = []
    for category, count in data["counts"].items():
        share = wilson_share(count, total)
        rows.append([category, f"{count:,}", f"{share.share:.1%}", f"{share.low:.1%} to {share.high:.1%}"])
    title = f"{data['model']['id']} on {data['questions']['set']} ({data['questions']['split']}), n = {total:,}"
    table = make_table("Category | Questions > | Share > | 95 % interval >", rows)
    click.echo(terminal_text([Section(title, (table,))]))
    made, saved = data["generations"]["made"], data["generations"]["saved"]
    cost = data["cost"]
    tokens = f"{cost['prefilled']:,.0f} tokens prefilled, {cost['decoded']:,.0f} decoded, " if cost["prefilled"] else ""
    narrate(
        f"{made:,} generations made, {saved:,} saved; "
        f"{tokens}{cost['seconds']:.0f} s ({cost['cpu_seconds']:.0f} CPU-seconds)."
    )
    if memory := data["memory"]:
        narrate(f"Keys and values took {memory['peak'] / 1e6:,.0f} MB of {memory['budget'] / 1e6:,.0f} MB (KFT_KV_GB).")
