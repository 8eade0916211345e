"""``kft benchmark``."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from kft_cli.commands.options import json_option
from kft_cli.commands.output_paths import BENCHMARK, InputName, OutputFolder, WritingCommand, overwrite_option
from kft_cli.display.console import narrate, print_json, print_text
from kft_cli.pipeline.machine import hardware, versions
from kft_cli.studies.benchmark import CONTENDERS, WITH_RIVALS, Settings, compare_answers, render, run_all
from kft_cli.studies.rivals.run import check_installed, rival_versions
from kft_cli.studies.train_benchmark import TrainSettings, pairs_of, render_training, run_pairs
from kft_tasks.detection.target import select
from kft_tasks.errors import UsageError, suggest
from kft_tasks.files import atomic_write, write_json
from kft_tasks.question_sets.registry import open_set
from kft_tasks.questions import Question, write_questions


@click.command("benchmark", cls=WritingCommand)
@click.argument("what", type=click.Choice(["detection", "training"]), default="detection")
@click.option(
    "--model",
    type=InputName(),
    default="smollm2-135m",
    show_default=True,
    help="Alias from `kft model list`, local folder or Hugging Face hub id.",
)
@click.option(
    "--type",
    "type_",
    help="Type of worldfacts questions, or all.  [default: country_of_city; training: all]",
)
@click.option(
    "--limit",
    type=click.IntRange(1),
    help="Number of questions; stock lm-eval takes about a minute per question.  [default: 16; training: 64]",
)
@click.option(
    "--dtype",
    default="float32",
    show_default=True,
    help="Precision of the weights in detection: float32, in which answers must be equal, or bfloat16.",
)
@click.option("--threads", default=1, show_default=True, type=click.IntRange(1), help="CPU threads per contender.")
@click.option("--device", default="cpu", show_default=True, help="For detection: cpu or cuda.")
@click.option(
    "--batch-size",
    default=16,
    show_default=True,
    type=click.IntRange(1),
    help="Prompts per batch of stock lm-eval, or training questions per step.",
)
@click.option(
    "--contender",
    "contenders",
    multiple=True,
    help="stock, careful, exhaustive or lazy; repeatable.  [default: all four]",
)
@click.option(
    "--against",
    help="Other engines, separated by commas: vllm, openvino, llama-server. They must be installed; with them the "
    "default contenders are exhaustive and lazy.  [default: none]",
)
@click.option(
    "--epochs", default=2, show_default=True, type=click.IntRange(1), help="Training: passes over the questions."
)
@click.option(
    "--dropout",
    default=0.0,
    show_default=True,
    type=click.FloatRange(0, 1, max_open=True),
    help="Training: dropout of the LoRA; with 0, both must have the same losses.",
)
@click.option("--rounds", default=2, show_default=True, type=click.IntRange(1), help="Training: number of pairs.")
@click.option(
    "--output",
    "-o",
    type=OutputFolder("benchmark.json", "benchmark.md", marker="benchmark.json", written=BENCHMARK),
    help="Folder for benchmark.json and benchmark.md.  [default: none]",
)
@overwrite_option
@json_option
def command(
    what: str,
    model: str,
    type_: str | None,
    limit: int | None,
    dtype: str,
    threads: int,
    device: str,
    batch_size: int,
    contenders: tuple[str, ...],
    against: str | None,
    epochs: int,
    dropout: float,
    rounds: int,
    output: Path | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Time kft against other ways to detect the same questions, or to train on them.

    detection, the default, detects in four ways, one after the other, with the full protocol (10 exemplar sets, 16
    samples each): stock lm-eval, a careful transformers script that skips samples once a greedy answer is right, kft
    asking for every answer, and kft as it works by default. With --against, other engines detect too, each driven as a
    careful user would: greedy answers first, samples only where none is right, shared prompts cached.

    training trains a LoRA with kft and with plain TRL and PEFT, in turn, on the same questions in the same batches.

    \b
    Example: kft benchmark --limit 16 --output results/benchmark
             kft benchmark training --output results/benchmark-train
    """
    if what == "training":
        if contenders or against:
            raise UsageError("--contender and --against are for detection. Leave them out.")
        training = TrainSettings(model, type_ or "all", threads, batch_size, epochs, dropout, rounds)
        data = _compare_training(training, limit or 64)
        _publish(data, output, as_json, render_training)
        return
    settings = Settings(model, type_ or "country_of_city", dtype, threads, device, batch_size)
    rivals = tuple(name.strip() for name in against.split(",")) if against else ()
    _publish(_compare_detection(settings, contenders, rivals, limit or 16), output, as_json, render)


def _compare_detection(
    settings: Settings, contenders: tuple[str, ...], rivals: tuple[str, ...], limit: int
) -> dict[str, Any]:
    """Run the ways to detect; returns what benchmark.json holds."""
    check_installed(rivals)
    chosen = contenders or (WITH_RIVALS if rivals else CONTENDERS)
    for name in chosen:
        if name not in CONTENDERS:
            raise UsageError(f"Unknown contender {name!r}. {suggest(name, CONTENDERS)}")
    tested, exemplars = _questions(settings.type_, limit)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "questions.jsonl"
        write_questions(path, [*tested, *exemplars])
        results = run_all((*chosen, *rivals), settings, path, narrate)
    return {
        "settings": {**asdict(settings), "questions": len(tested)},
        "hardware": hardware(),
        "versions": {**versions(), **rival_versions(rivals)},
        "equality": compare_answers(results),
        "results": [{key: value for key, value in result.items() if key != "answers"} for result in results],
    }


def _compare_training(settings: TrainSettings, limit: int) -> dict[str, Any]:
    """Train in both ways, in turn; returns what benchmark.json holds."""
    questions = _of_type("train", settings.type_, limit)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "questions.jsonl"
        write_questions(path, questions)
        results = run_pairs(settings, path, narrate)
    return {
        "settings": {**asdict(settings), "questions": len(questions)},
        "hardware": hardware(),
        "versions": versions(),
        "pairs": pairs_of(results),
        "results": results,
    }


def _questions(type_: str, limit: int) -> tuple[Sequence[Question], Sequence[Question]]:
    """The test questions of a type (at most ``limit``), and its exemplars."""
    exemplars = [one for one in open_set("worldfacts").split("exemplars") if type_ in ("all", one.type)]
    return _of_type("test", type_, limit), exemplars


def _of_type(split: str, type_: str, limit: int) -> Sequence[Question]:
    """At most ``limit`` questions of a type from one split."""
    all_questions = list(open_set("worldfacts").split(split))
    found = [question for question in all_questions if type_ in ("all", question.type)]
    if not found:
        known = {"all", *(question.type for question in all_questions)}
        raise UsageError(f"--type {type_!r}: worldfacts has no such questions. {suggest(type_, known)}")
    return list(select(lambda: iter(found), limit)())


def _publish(data: dict[str, Any], folder: Path | None, as_json: bool, rendered: Callable[..., str]) -> None:
    """Write benchmark.json and benchmark.md into the folder, if there is one; print the tables or the JSON."""
    if folder:
        write_json(folder / "benchmark.json", data)
        with atomic_write(folder / "benchmark.md") as stream:
            stream.write(rendered(data, markdown=True))
    if as_json:
        print_json(data)
    else:
        print_text(rendered(data))
