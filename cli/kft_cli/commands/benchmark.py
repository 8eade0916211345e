"""``kft benchmark``."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from kft_cli.commands.options import json_option
from kft_cli.display.console import narrate, print_json
from kft_cli.pipeline.machine import hardware, versions
from kft_cli.studies.benchmark import CONTENDERS, Settings, compare_answers, render, run_all
from kft_tasks.detection.target import select
from kft_tasks.errors import UsageError, suggest
from kft_tasks.files import atomic_write, write_json
from kft_tasks.question_sets.registry import open_set
from kft_tasks.questions import Question, write_questions


@click.command("benchmark")
@click.option(
    "--model",
    default="smollm2-135m",
    show_default=True,
    help="Alias from `kft model list`, local folder or Hugging Face hub id.",
)
@click.option(
    "--type",
    "type_",
    default="country_of_city",
    show_default=True,
    help="Type of worldfacts questions to ask, or all.",
)
@click.option(
    "--limit",
    default=16,
    show_default=True,
    type=click.IntRange(1),
    help="Number of questions; stock lm-eval takes about a minute per question.",
)
@click.option(
    "--dtype",
    default="float32",
    show_default=True,
    help="Precision of the weights: float32, in which answers must be equal, or bfloat16.",
)
@click.option("--threads", default=1, show_default=True, type=click.IntRange(1), help="CPU threads per contender.")
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda.")
@click.option(
    "--batch-size",
    default=16,
    show_default=True,
    type=click.IntRange(1),
    help="Batch size of stock lm-eval, in prompts.",
)
@click.option(
    "--contender",
    "contenders",
    multiple=True,
    help="stock, careful, exhaustive or lazy; repeatable.  [default: all four]",
)
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path),
    help="Folder for benchmark.json and benchmark.md.  [default: none]",
)
@json_option
def command(
    model: str,
    type_: str,
    limit: int,
    dtype: str,
    threads: int,
    device: str,
    batch_size: int,
    contenders: tuple[str, ...],
    output: Path | None,
    as_json: bool,
) -> None:
    """Detect the same questions in four ways, one after the other, and compare cost and answers.

    All use the full protocol (10 exemplar sets, 16 samples each): stock lm-eval, a careful transformers script that
    skips samples once a greedy answer is right, kft asking for every answer, and kft as it works by default.

    \b
    Example: kft benchmark --limit 16 --output results/benchmark
    """
    chosen = contenders or CONTENDERS
    for name in chosen:
        if name not in CONTENDERS:
            raise UsageError(f"Unknown contender {name!r}. {suggest(name, CONTENDERS)}")
    settings = Settings(model, type_, dtype, threads, device, batch_size)
    tested, exemplars = _questions(type_, limit)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "questions.jsonl"
        write_questions(path, [*tested, *exemplars])
        results = run_all(chosen, settings, path, narrate)
    data = {
        "settings": {**asdict(settings), "questions": len(tested)},
        "hardware": hardware(),
        "versions": versions(),
        "equality": compare_answers(results),
        "results": [{key: value for key, value in result.items() if key != "answers"} for result in results],
    }
    if output:
        _write(data, output)
    if as_json:
        print_json(data)
    else:
        click.echo(render(data))


def _questions(type_: str, limit: int) -> tuple[Sequence[Question], Sequence[Question]]:
    """The test questions of a type (at most ``limit``), and its exemplars."""
    source = open_set("worldfacts")
    tests, exemplars = (
        [question for question in source.split(split) if type_ in ("all", question.type)]
        for split in ("test", "exemplars")
    )
    if not tests:
        known = {question.type for question in source.split("test")}
        raise UsageError(f"--type {type_!r}: worldfacts has no such questions. {suggest(type_, {'all', *known})}")
    return list(select(lambda: iter(tests), limit)()), exemplars


def _write(data: dict[str, Any], folder: Path) -> None:
    write_json(folder / "benchmark.json", data)
    with atomic_write(folder / "benchmark.md") as stream:
        stream.write(render(data, markdown=True))
