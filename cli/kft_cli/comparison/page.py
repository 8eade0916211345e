"""A comparison of runs as one HTML file: what became of every test question, run by run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kft_cli.comparison.changes import deciding
from kft_cli.comparison.compare import refusal
from kft_cli.comparison.loading import LoadedRun
from kft_cli.comparison.paired import same_questions
from kft_cli.comparison.render import comparison_sections, render_comparison
from kft_cli.display.tables import difference, number, plain
from kft_cli.html.collect import Collection
from kft_cli.html.page import Page, render_page
from kft_cli.html.record import AskingRecord, PageData, PairRecord
from kft_cli.report.run_data import read_run
from kft_cli.report.sections.words import asking_words, exemplars
from kft_tasks.evaluation.evaluate import Asking
from kft_tasks.files import atomic_write, write_json

FILES = ("comparison.json", "comparison.md", "comparison.html")
_OUTCOMES = {"gained": "fixed", "lost": "regressed", "right": "unchanged, right", "wrong": "still wrong"}
_WHY_NONE = (
    "Questions are shown where the first run and another one are run folders, which hold the answers, "
    "and were asked the same test questions. Reports hold numbers only."
)


def write_comparison(folder: Path, comparison: Mapping[str, Any], runs: Sequence[LoadedRun]) -> Path:
    """Write a comparison as JSON, as Markdown and as a page.

    Returns:
        The path of the page.
    """
    page = render_page(comparison_page(comparison, runs))
    write_json(folder / FILES[0], comparison)
    for name, text in ((FILES[1], render_comparison(comparison)), (FILES[2], page)):
        with atomic_write(folder / name) as stream:
            stream.write(text)
    return folder / FILES[2]


def comparison_page(comparison: Mapping[str, Any], runs: Sequence[LoadedRun]) -> Page:
    """The page of a comparison: what differs in the settings first, then the tables."""
    return Page(
        title=" and ".join(run["name"] for run in comparison["runs"]),
        kind="Comparison",
        answer=headline(comparison),
        opening=(),
        sections=comparison_sections(comparison),
        figures={},
        questions=_questions(comparison, runs),
        why_none=_WHY_NONE,
    )


def headline(comparison: Mapping[str, Any]) -> str:
    """How each run does against the first one, asked in the first way; or why nothing can be said."""
    first = comparison["runs"][0]["name"]
    if len(comparison["runs"]) == 1:
        return f"There is only {plain(first)}, so no runs are compared."
    if error := refusal(comparison):
        return plain(error)
    found: dict[str, Mapping[str, Any]] = {}
    for row in comparison["paired"]:
        if row["to"] not in found or (row["paired"] and not found[row["to"]]["paired"]):
            found[row["to"]] = row
    return " ".join(_sentence(row) for row in found.values())


def _sentence(row: Mapping[str, Any]) -> str:
    name, first = plain(row["to"]), plain(row["from"])
    if not row["paired"]:
        return f"{name} cannot be tested against {first} ({plain(row['reason'])})."
    change = deciding(row["clustered"])
    words = f"{difference(change)} points, {row['outcome']}" if change else row["outcome"]
    return (
        f"{name} against {first}, {asking_words(row)}: {words}. Of {number(row['n'])} test questions it does better "
        f"on {number(row['gained'])} and worse on {number(row['lost'])}."
    )


def _questions(comparison: Mapping[str, Any], runs: Sequence[LoadedRun]) -> PageData | None:
    """The test questions with the answers of the first run and of those that can be compared with it."""
    shown = [run for run in same_questions(runs[0], runs) if run.folder is not None]
    if len(shown) < 2 or shown[0] is not runs[0]:
        return None
    answers = {run.name: read_run(run.folder).answers for run in shown if run.folder is not None}
    found = Collection(("test", item.id) for items in answers[runs[0].name]["base"].values() for item in items)
    numbers: dict[tuple[str, Asking], int] = {}
    for asking in runs[0].askings:
        for run in (run for run in shown if asking in run.askings):
            numbers[run.name, asking] = len(found.tests)
            label = f"{run.name}, {_asked(asking)}"
            view = AskingRecord(label=label, point=run.name, asked=_asked(asking), scorer=run.scorer)
            found.add_test(view, run.scored(answers[run.name][run.last][asking]))
    pairs = [
        PairRecord(
            label=f"{row['from']} → {row['to']}, {_asked(asking)}",
            before=numbers[row["from"], asking],
            after=numbers[row["to"], asking],
            **_OUTCOMES,
        )
        for row in comparison["paired"]
        if (asking := Asking(row["shots"], row["other_type"])) in runs[0].askings
        and row["paired"]
        and (row["to"], asking) in numbers
    ]
    return found.data("comparison", (), (), pairs)


def _asked(asking: Asking) -> str:
    return exemplars(asking.shots) + (" of another type" if asking.other_type else "")
