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
from kft_cli.comparison.render_accuracy import asking_cell
from kft_cli.display.tables import NONE, Block, difference, make_table, number, plain
from kft_cli.html.collect import Collection
from kft_cli.html.page import Page, render_page
from kft_cli.html.record import AskingRecord, PageData, PairRecord, data_of_page
from kft_cli.report.report import PAGE
from kft_cli.report.run_data import read_run
from kft_cli.report.sections.words import asking_words, exemplars
from kft_tasks import limits
from kft_tasks.evaluation.evaluate import Asking, TestQuestion
from kft_tasks.files import atomic_write, read_text, write_json

FILES = ("comparison.json", "comparison.md", "comparison.html")
_OUTCOMES = {"gained": "fixed", "lost": "regressed", "right": "unchanged, right", "wrong": "still wrong"}
_WHY_NONE = (
    "Questions are shown where the first run and another one were asked the same test questions and are run folders, "
    "or reports whose page holds the answers. report.json alone holds numbers only."
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
        opening=_outcomes(comparison, runs),
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


def _outcomes(comparison: Mapping[str, Any], runs: Sequence[LoadedRun]) -> tuple[Block, ...]:
    """What became of the test questions between the first run and each other one; or why that cannot be told."""
    by_name = {run.name: run for run in runs}
    rows = []
    for row in comparison["paired"]:
        asking = Asking(row["shots"], row["other_type"])
        span = [f"{row['from']} → {row['to']}", asking_cell(row)]
        if not row["paired"]:
            rows.append([*span, *[NONE] * 6, row["reason"]])
            continue
        pairs = list(zip(by_name[row["from"]].right(asking), by_name[row["to"]].right(asking), strict=True))
        equal = [one for one, two in pairs if one == two]
        counts = (row["gained"], row["lost"], equal.count(0.0), equal.count(1.0))
        between = len(equal) - equal.count(0.0) - equal.count(1.0)
        change = difference(deciding(row["clustered"]))
        rows.append([*span, *(number(count) for count in (*counts, between)), change, row["outcome"]])
    caption = (
        "Test questions by what became of them at the last point of each run. *Fixed*: right in the second run, or "
        "under more exemplar sets. *As often*: right under some exemplar sets, as many in both. *Change*: percentage "
        "points with its 95 % interval, by the reading that decides."
    )
    heads = "runs | exemplars > | fixed > | regressed > | still wrong > | unchanged, right > | as often > | change > |"
    return (make_table(f"{heads} clear?", rows, caption),) if rows else ()


def _questions(comparison: Mapping[str, Any], runs: Sequence[LoadedRun]) -> PageData | None:
    """The test questions with the answers of the first run and of those that can be compared with it."""
    answers = {run.name: given for run in same_questions(runs[0], runs) if (given := _last_answers(run))}
    if len(answers) < 2 or runs[0].name not in answers:
        return None
    first = next(iter(answers[runs[0].name].values()))
    found = Collection(("test", item.id) for item in first)
    numbers: dict[tuple[str, Asking], int] = {}
    for asking in runs[0].askings:
        for run in (run for run in runs if asking in answers.get(run.name, ())):
            numbers[run.name, asking] = len(found.tests)
            label = f"{run.name}, {_asked(asking)}"
            view = AskingRecord(label=label, point=run.name, asked=_asked(asking), scorer=run.scorer)
            found.add_test(view, answers[run.name][asking])
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
        and (row["from"], asking) in numbers
        and (row["to"], asking) in numbers
    ]
    return found.data("comparison", (), (), pairs)


Answers = Mapping[Asking, Sequence[TestQuestion]]


def _last_answers(run: LoadedRun) -> Answers | None:
    """The test answers at the last point: of a run folder, or of the page beside a report; None where neither is."""
    if run.folder is not None:
        return {asking: run.scored(items) for asking, items in read_run(run.folder).answers[run.last].items()}
    page = run.report_file and run.report_file.with_name(PAGE)
    if not page or not page.is_file():
        return None
    data = data_of_page(read_text(page, limits.MAX_JSON_BYTES), str(page))
    found = {} if data is None else {asking: _of_page(data, run.last, asking) for asking in run.askings}
    same = all([item.value for item in items] == list(run.right(asking)) for asking, items in found.items())
    return found if same else None  # a page of another report


def _of_page(data: PageData, point: str, asking: Asking) -> list[TestQuestion]:
    """The answers of a page to the test questions asked in one way, sorted by id."""
    number = next(
        (place for place, test in enumerate(data.tests) if (test.point, test.asked) == (point, _asked(asking))), None
    )
    if number is None:
        return []
    found = []
    for one in data.questions:
        answers = [one.answers[place] for place in one.tested[number] or ()]
        if answers:
            given = tuple(answer.text for answer in answers)
            right = tuple(bool(answer.ok) for answer in answers)
            type_ = data.types[one.type]
            found.append(TestQuestion(one.id, type_, "", one.question, tuple(one.accepted), given, right))
    return sorted(found, key=lambda item: item.id)


def _asked(asking: Asking) -> str:
    return exemplars(asking.shots) + (" of another type" if asking.other_type else "")
