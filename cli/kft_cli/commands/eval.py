"""``kft eval``."""

from __future__ import annotations

from dataclasses import replace
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
)
from kft_cli.commands.output_paths import ANSWERS, OutputFile, WritingCommand, overwrite_option
from kft_cli.display.console import narrate, print_json, print_text, progress_bar
from kft_cli.display.tables import NONE, Section, make_table, share, terminal_text
from kft_cli.pipeline.asking import open_model
from kft_cli.report.measures.readings import measure_share
from kft_cli.report.sections.words import asking_cell
from kft_tasks.errors import UsageError
from kft_tasks.evaluation.evaluate import Asking, TestQuestion, by_question, evaluate, write_answers
from kft_tasks.models.choice import ModelChoice
from kft_tasks.protocol.exemplars import ExemplarPool
from kft_tasks.protocol.protocol import Protocol


@click.command("eval", cls=WritingCommand)
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
    "--other-type",
    is_flag=True,
    help="Ask also with exemplars of another type, which show the form of an answer and no knowledge.",
)
@click.option(
    "--output",
    "-o",
    type=OutputFile(ANSWERS, stream=True),
    help="JSON Lines file for every answer.  [default: none]",
)
@overwrite_option
@json_option
def command(
    choice: ModelChoice,
    questions: QuestionChoice,
    protocol: Protocol,
    with_shots: tuple[int, ...],
    other_type: bool,
    output: Path | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Measure plain greedy accuracy: one answer per question under each exemplar set, and one without exemplars.

    The accuracy is the mean over questions and exemplar sets. Fewer sets (--exemplar-sets) cost less and make it less
    certain.

    \b
    Example: kft eval --model smollm2-135m --adapter runs/demo/stage2/adapter --exemplar-sets 2 --limit 200
    """
    shots = tuple(dict.fromkeys(with_shots))
    if max(shots) > protocol.shots:
        raise UsageError(
            f"--with-shots {max(shots)} is more than the {protocol.shots} exemplars of a prompt. Raise --shots too."
        )
    if other_type and not max(shots):
        raise UsageError("--other-type needs exemplars, and --with-shots asks without any. Add --with-shots 4.")
    target = questions.open()
    protocol = fitting_protocol(protocol, target.source)
    chosen = list(target.stream()())
    if other_type and len({question.type for question in chosen}) == 1:
        raise UsageError(
            f"--other-type needs questions of two types; those chosen are all of type {chosen[0].type!r}. "
            "Leave --other-type out, or choose more questions."
        )
    pool = ExemplarPool(target.source.split("exemplars"), protocol, target.source.name)
    answerer, prompts = open_model(choice, replace(protocol, samples=0), pool)
    with progress_bar("evaluate") as progress:
        answered = evaluate(chosen, answerer, prompts, protocol, shots, progress, other_type=other_type)
    if output:
        write_answers(output, answered)
    results = [_accuracy(asking, items) for asking, items in _in_order(by_question(answered), shots)]
    if as_json:
        print_json({"model": choice.id, "set": target.source.name, "split": target.split, "results": results})
        return
    rows = [
        [asking_cell(one), f"{one['n']:,}", share({**one, "share": one["accuracy"]}), one["reading"] or NONE]
        for one in results
    ]
    title = f"Greedy {protocol.scorer} of {choice.id} on {target.source.name} ({target.split})"
    caption = (
        "Mean share of right answers, over all exemplar sets, with its 95 % interval, and what the interval speaks of: "
        "other questions of these types, or other types like these."
    )
    table = make_table("Exemplars | n > | Accuracy, % > | Interval for", rows, caption)
    print_text(terminal_text([Section(title, (table,))]))
    if output:
        narrate(f"Answers: {output}")


def _in_order(
    answers: dict[Asking, list[TestQuestion]], shots: tuple[int, ...]
) -> list[tuple[Asking, list[TestQuestion]]]:
    """Ways of asking in the order of ``shots``; exemplars of another type last."""
    return sorted(answers.items(), key=lambda pair: (pair[0].other_type, shots.index(pair[0].shots)))


def _accuracy(asking: Asking, answered: list[TestQuestion]) -> dict[str, Any]:
    """Accuracy in one way of asking, with its interval; None where the questions cannot have one."""
    found = measure_share(answered)
    return {
        "shots": asking.shots,
        "other_type": asking.other_type,
        "sets": found["sets"],
        "n": found["n"],
        "accuracy": found["share"],
        "low": found["low"],
        "high": found["high"],
        "reading": None if found["low"] is None else found["reading"],
    }
