"""``kft benchmark``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from kft_cli.commands.options import json_option
from kft_cli.display.console import narrate, print_json


@click.command("benchmark", short_help="Time ways to detect.")
@click.option("--model", default="smollm2-135m", show_default=True, help="Alias, local folder or hub id.")
@click.option(
    "--type",
    "type_",
    default="country_of_city",
    show_default=True,
    help="Type of worldfacts questions to ask; all for every type.",
)
@click.option(
    "--limit",
    default=16,
    show_default=True,
    type=click.IntRange(1),
    help="Questions; stock lm-eval needs a minute each.",
)
@click.option("--dtype", default="float32", show_default=True, help="float32 (for equality) or bfloat16.")
@click.option("--threads", default=1, show_default=True, type=click.IntRange(1), help="CPU threads of each contender.")
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda.")
@click.option("--batch-size", default=16, show_default=True, type=click.IntRange(1), help="Of stock lm-eval.")
@click.option(
    "--contender", "contenders", multiple=True, help="stock, careful, exhaustive, lazy; repeatable.  [default: all]"
)
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Folder for benchmark.json and benchmark.md.")
@json_option
def command(**values: Any) -> None:
    """Detect the same questions in four ways, one after the other, and compare cost and answers.

    The full protocol (10 exemplar sets, 16 samples): stock lm-eval, a careful transformers script that skips
    samples where a greedy answer is right, kft asking everything, and kft as it does by default.

    \b
    Example: kft benchmark --limit 16 --output results/benchmark
    """
    import tempfile
    from dataclasses import asdict, fields

    from kft_cli.pipeline.machine import hardware, versions
    from kft_cli.studies.benchmark import CONTENDERS, Settings, judge_equality, render, run_all
    from kft_tasks.detection.target import select
    from kft_tasks.errors import UsageError, suggest
    from kft_tasks.files import atomic_write, write_json
    from kft_tasks.question_sets.registry import open_set
    from kft_tasks.questions import write_questions

    chosen = values["contenders"] or CONTENDERS
    for name in chosen:
        if name not in CONTENDERS:
            raise UsageError(f"Unknown contender {name!r}. {suggest(name, CONTENDERS)}")
    settings = Settings(**{field.name: values[field.name] for field in fields(Settings)})
    source = open_set("worldfacts")

    def asked(split: str) -> list[Any]:
        return [question for question in source.split(split) if values["type_"] in ("all", question.type)]

    tested = list(select(lambda: iter(asked("test")), values["limit"])())
    if not tested:
        raise UsageError(f"--type {values['type_']!r}: worldfacts has no test questions of this type.")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "questions.jsonl"
        write_questions(path, [*tested, *asked("exemplars")])
        results = run_all(chosen, settings, path, narrate)
    data = {
        "settings": {**asdict(settings), "questions": len(tested)},
        "hardware": hardware(),
        "versions": versions(),
        "equality": judge_equality(results),
        "results": [{key: value for key, value in result.items() if key != "answers"} for result in results],
    }
    if values["output"]:
        write_json(values["output"] / "benchmark.json", data)
        with atomic_write(values["output"] / "benchmark.md") as stream:
            stream.write(render(data, markdown=True))
    if values["as_json"]:
        print_json(data)
    else:
        click.echo(render(data))
