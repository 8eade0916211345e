"""``kft run``, and what ``kft demo`` shares with it."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from kft_cli.commands.options import json_option, open_option, overrides_option, workers_option
from kft_cli.commands.output_paths import InputName, OutputFolder, WritingCommand, checked
from kft_cli.commands.report import show_report
from kft_cli.display.console import narrate, print_json, print_text
from kft_cli.display.tables import Section, make_table, terminal_text
from kft_cli.display.tables import number as count
from kft_cli.pipeline.machine import automatic_workers
from kft_cli.pipeline.pipeline import Pipeline
from kft_train.recipes.plan import PlannedStep
from kft_train.recipes.plan import dry_run as plan_of
from kft_train.recipes.recipe import Recipe, load_recipe


@click.command("run", cls=WritingCommand)
@click.argument("recipe", type=InputName())
@click.option("--output", "-o", type=OutputFolder(), help="Run folder.  [default: runs/RECIPE-NAME]")
@overrides_option
@workers_option
@click.option("--verify", is_flag=True, help="First read the weights and all files of finished steps.")
@click.option("--dry-run", is_flag=True, help="Show the resolved recipe and its steps, and do nothing.")
@open_option
@json_option
def command(
    recipe: str,
    output: Path | None,
    overrides: tuple[str, ...],
    workers: int | None,
    verify: bool,
    dry_run: bool,
    opened: bool,
    as_json: bool,
) -> None:
    """Run RECIPE: detect, train in stages, evaluate, report.

    RECIPE is a name from `kft recipes`, such as demo, or the path of a YAML file. An interrupted run resumes where it
    stopped; a finished one is left as it is, but for files that were deleted or damaged: they are made again.

    \b
    Example: kft run demo -o runs/demo --set stages.0.learning_rate=1e-4
    """
    loaded = load_recipe(recipe, overrides)
    if dry_run:
        show_plan(loaded, as_json=as_json)
    else:
        folder = output or checked(Path("runs") / loaded.name)
        execute(loaded, folder, workers=workers, verify=verify, as_json=as_json, opened=opened)


def show_plan(recipe: Recipe, *, as_json: bool) -> None:
    """Print what a recipe would do."""
    plan = plan_of(recipe)
    if as_json:
        print_json(
            {"recipe": recipe.model_dump(mode="json"), "steps": [dataclasses.asdict(step) for step in plan.steps]}
        )
        return
    print_text(recipe.to_yaml())
    rows = [_row(number, step) for number, step in enumerate(plan.steps, start=1)]
    table = make_table("# > | Step | Questions > | Answers per question > | Answers > | How", rows, _CAPTION)
    print_text(terminal_text([Section("", (table,))]))


_CAPTION = (
    "Numbers of answers are the largest possible: a detection asks only what can change a category. "
    "A dash stands where a number depends on the questions or on the training."
)


def _row(number: int, step: PlannedStep) -> list[str]:
    """A line of the plan."""
    detail = step.detail
    training = step.kind in ("train", "control")
    questions = detail["validation_questions" if training else "questions"]
    counts = (questions, detail["max_generations_per_question"], detail["max_generations"])
    return [str(number), f"{step.kind} {step.name}", *(count(value) for value in counts), "; ".join(_how(step))]


def _how(step: PlannedStep) -> Iterator[str]:
    """What a step trains on or asks, and where its protocol is not that of the first detection."""
    detail = step.detail
    if step.kind in ("train", "control"):
        yield " + ".join(detail["parts"])
        yield f"steps: {detail['steps']}" if "steps" in detail else f"{detail['max_epochs']} epochs at most"
    if step.kind == "evaluate":
        yield "exemplars: " + ", ".join(map(str, detail["shots"]))
    if step.kind == "elsewhere":
        yield ", ".join((["held-out text"] if detail["text"] else []) + detail["also"])
    for purpose, values in detail["differs"].items():
        yield f"{purpose}: " + ", ".join(f"{key} {json.dumps(value)}" for key, value in values.items())


def execute(
    recipe: Recipe,
    output: Path,
    *,
    workers: int | None,
    verify: bool = False,
    as_json: bool,
    opened: bool = False,
) -> None:
    """Run a recipe and show its report.

    Args:
        workers: processes; None for as many as suit the machine.
        verify: whether to read the model's weights and the files of finished steps first.
        as_json: print the report as JSON.
        opened: open the page of the report in the browser.
    """
    narrate(f"Recipe {recipe.name}, model {recipe.model.id}, questions {recipe.questions.set}. Run folder: {output}")
    command_line = ["kft", *sys.argv[1:]]
    pipeline = Pipeline(recipe, output, command_line)
    report = pipeline.execute(workers or automatic_workers(pipeline.model_folder), verify=verify)
    if report is None:
        narrate("The base model is measured. There is no report: without stages, there is no change to report.")
    else:
        show_report(report, as_json=as_json, opened=opened)
