"""Run folders that differ in one thing, for the tests of the comparison."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kft_cli.report.report import build_report
from kft_tasks.categories.category_file import CategoryFile, write_category_file
from kft_tasks.evaluation.evaluate import Answered, read_answers, write_answers
from kft_tasks.files import write_json
from kft_tasks.scoring.scorers import get_scorer
from report_helpers import PROTOCOL, Answers, H, M, U, W, make_recipe, make_run


def run_with(
    folder: Path,
    right: Answers,
    *,
    protocol: Mapping[str, Any] | None = None,
    types: Sequence[str] = ("capital",),
    base: Answers | None = None,
    others: Mapping[str, Answers] | None = None,
    **recipe: Any,
) -> Path:
    """A run whose last point answers ``right``; everything else is the same in all of them.

    Args:
        protocol: values of the recipe that differ, and thus of the test.
        types: of the questions, in turn.
        base: answers of the base model with exemplars; every second one is right where it is not given.
        others: test answers with exemplars of another type, by point.
    """
    name = recipe.pop("name", folder.name)
    made = make_recipe(name=name, protocol={**PROTOCOL, "seed": 3, **(protocol or {})}, **recipe)
    points = ["base", *(stage.name for stage in made.stages)]
    half = [True, False] * (len(right) // 2)
    with_exemplars = {"base": half if base is None else base, **dict.fromkeys(points[1:], right)}
    answers = {
        point: {shots: with_exemplars[point] if shots else half for shots in made.evaluation.shots} for point in points
    }
    detections = {point: [H, M, M, W, U] for point in points}
    validation = {stage.name: [10, 12] for stage in made.stages}
    return make_run(folder, detections, answers, recipe=made, validation=validation, types=types, others=others)


def worded_run(folder: Path, scorer: str, **recipe: Any) -> Path:
    """A run that answers every question at its last point with "It is gold 3.", scored by ``scorer``."""
    run = run_with(folder, [True] * 10, protocol={"scorer": scorer}, **recipe)
    rule = get_scorer(scorer)

    def worded(item: Answered) -> Answered:
        given = f"It is {item.answers[0]}." if item.right else item.given
        return dataclasses.replace(item, given=given, right=rule(given, item.answers, item.question))

    for path in run.glob("evaluate-*/answers.jsonl"):
        write_answers(path, [worded(item) for item in read_answers(path)])
    return detected_with(run, scorer=scorer)


def detected_with(run: Path, **changes: Any) -> Path:
    """The same run with other protocol values in the headers of its detections."""
    for path in run.glob("*/categories.jsonl"):
        file = CategoryFile(path)
        header = dataclasses.replace(file.header, protocol=dataclasses.replace(file.header.protocol, **changes))
        write_category_file(path, header, list(file))
    return run


def report_of(run: Path) -> Path:
    """The report of a run, alone: without the answers."""
    path = run.parent / f"report-of-{run.name}" / "report.json"
    write_json(path, build_report(run))
    return path.parent
