"""``kft eval``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from kft_cli.commands.options import (
    QuestionChoice,
    json_option,
    model_options,
    protocol_options,
    question_options,
)
from kft_cli.display.console import narrate, print_json, progress_bar
from kft_cli.display.tables import Section, make_table, terminal_text
from kft_cli.pipeline.asking import open_model
from kft_cli.stats.intervals import wilson_share
from kft_tasks.errors import UsageError
from kft_tasks.evaluation.evaluate import Answered, evaluate, write_answers
from kft_tasks.models.choice import ModelChoice
from kft_tasks.protocol.exemplars import ExemplarPool
from kft_tasks.protocol.protocol import Protocol


@click.command("eval")
@model_options
@question_options("test")
@protocol_options
@click.option(
    "--with-shots",
    multiple=True,
    type=click.IntRange(0),
    default=(4, 0),
    show_default=True,
    help="Exemplars in the prompt, --shots at most; repeatable.",
)
@click.option(
    "--output", "-o", type=click.Path(path_type=Path), help="JSON Lines file for every answer.  [default: none]"
)
@json_option
def command(
    choice: ModelChoice,
    questions: QuestionChoice,
    protocol: Protocol,
    with_shots: tuple[int, ...],
    output: Path | None,
    as_json: bool,
) -> None:
    """Measure plain greedy accuracy: one answer per question, with exemplar set 0 or without exemplars.

    \b
    Example: kft eval --model smollm2-135m --adapter runs/demo/stage2/adapter --limit 200
    """
    shots = tuple(dict.fromkeys(with_shots))
    if max(shots) > protocol.shots:
        raise UsageError(
            f"--with-shots {max(shots)} is more than the {protocol.shots} exemplars of a prompt. Raise --shots too."
        )
    target = questions.open()
    chosen = list(target.stream()())
    pool = ExemplarPool(target.source.split("exemplars"), protocol, target.source.name)
    answerer, prompts = open_model(choice, replace(protocol, samples=0), pool)
    with progress_bar("evaluate") as progress:
        answered = evaluate(chosen, answerer, prompts, protocol, shots, progress)
    if output:
        write_answers(output, answered)
    results = _accuracies(answered, shots)
    if as_json:
        print_json({"model": choice.id, "set": target.source.name, "split": target.split, "results": results})
        return
    rows = [
        [str(r["shots"]), f"{r['n']:,}", f"{r['accuracy']:.1%}", f"{r['low']:.1%} to {r['high']:.1%}"] for r in results
    ]
    title = f"Greedy {protocol.scorer} of {choice.id} on {target.source.name} ({target.split})"
    table = make_table("Shots > | n > | Accuracy > | 95 % interval >", rows)
    click.echo(terminal_text([Section(title, (table,))]))
    if output:
        narrate(f"Answers: {output}")


def _accuracies(answered: Sequence[Answered], shots: Sequence[int]) -> list[dict[str, Any]]:
    """Accuracy for each number of shots, with its Wilson interval."""
    results = []
    for number in shots:
        right = [item.right for item in answered if item.shots == number]
        share = wilson_share(sum(right), len(right))
        results.append(
            {"shots": number, "n": len(right), "accuracy": share.share, "low": share.low, "high": share.high}
        )
    return results
