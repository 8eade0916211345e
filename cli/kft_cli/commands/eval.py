"""``kft eval``."""

from __future__ import annotations

from dataclasses import replace
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


@click.command("eval", short_help="Measure greedy accuracy.")
@model_options
@question_options("test")
@protocol_options
@click.option(
    "--with-shots",
    multiple=True,
    type=click.IntRange(0),
    default=(4, 0),
    show_default=True,
    help="Exemplars; repeatable.",
)
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Write every answer to this JSON Lines file.")
@json_option
def command(**values: Any) -> None:
    """Measure plain greedy accuracy: one answer a question, with exemplar set 0 or without exemplars.

    \b
    Example: kft eval --model smollm2-135m --adapter runs/demo/stage2/adapter --limit 200
    """
    from kft_cli.display.tables import Section, make_table, terminal_text
    from kft_cli.stats.intervals import wilson_share
    from kft_tasks.detection.target import select
    from kft_tasks.errors import UsageError
    from kft_tasks.evaluation.evaluate import evaluate, write_answers
    from kft_tasks.models.loading import load_model
    from kft_tasks.protocol.exemplars import ExemplarPool
    from kft_tasks.protocol.prompt_maker import PromptMaker
    from kft_tasks.question_sets.registry import open_set

    protocol = take_protocol(values)
    shots = tuple(dict.fromkeys(values["with_shots"]))
    if max(shots) > protocol.shots:
        raise UsageError(f"--with-shots {max(shots)}: an exemplar set has {protocol.shots}. Raise --shots too.")
    source = open_set(values["set_"], values["path"], parse_pairs(values["set_options"]))
    questions = list(select(lambda: source.split(values["split"]), values["limit"])())
    pool = ExemplarPool(source.split("exemplars"), protocol, source.name)
    name = values["model"]
    model = load_model(take_model(values))
    render = model.lm.apply_chat_template if protocol.chat else None
    with progress_bar("evaluate") as progress:
        prompts = PromptMaker(protocol, pool, render)
        answered = evaluate(questions, model.answerer(replace(protocol, samples=0)), prompts, protocol, shots, progress)
    if values["output"]:
        write_answers(values["output"], answered)
    results = []
    for number in shots:
        share = wilson_share(sum(item.right for item in answered if item.shots == number), len(questions))
        results.append(
            {"shots": number, "n": len(questions), "accuracy": share.share, "low": share.low, "high": share.high}
        )
    if values["as_json"]:
        print_json({"model": name, "set": source.name, "split": values["split"], "results": results})
        return
    rows = [
        [str(r["shots"]), f"{r['n']:,}", f"{r['accuracy']:.1%}", f"{r['low']:.1%} to {r['high']:.1%}"] for r in results
    ]
    title = f"Greedy {protocol.scorer} of {name} on {source.name} ({values['split']})"
    table = make_table("Shots > | n > | Accuracy > | 95 % interval >", rows)
    click.echo(terminal_text([Section(title, (table,))]))
    if values["output"]:
        narrate(f"Answers: {values['output']}")
