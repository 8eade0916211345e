"""Headlines of published runs and experiments in the root README: small tables, rendered from their records."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kft_cli.display.tables import count_and_share, make_table, markdown_link, markdown_table, plain, share
from kft_cli.experiment.cells import change_cell, level_cell
from kft_cli.experiment.figures import last_accuracy
from kft_cli.experiment.record import ExperimentRecord, read_experiment
from kft_cli.experiment.render import supported
from kft_cli.report.report import read_report
from kft_tasks import limits
from kft_tasks.categories.category import KnowledgeCategory
from kft_tasks.files import atomic_write, read_text

_BLOCK = re.compile(r"(<!-- headline: (\S+), [^>]*-->\n).*?(<!-- /headline -->)", re.DOTALL)
_HIGHEST = KnowledgeCategory.HIGHLY_KNOWN.value


def render_headline(name: str, report: Mapping[str, Any]) -> str:
    """HighlyKnown training questions and test accuracy at each point, with n and 95 % intervals."""
    run, test = report["run"], report["test"]
    accuracy = {(row["point"], row["shots"]): row for row in test["accuracy"] if not row.get("other_type")}
    shots = max(test["shots"])
    sets = accuracy[run["points"][0], shots].get("sets", 1)
    rows = [
        [point, count_and_share(report["categories"][point][_HIGHEST]), share(accuracy[point, shots])]
        for point in run["points"]
    ]
    heads = f"point | HighlyKnown training questions, % > | test accuracy with {shots} exemplars, % >"
    mean = f", mean over {sets} exemplar sets" if sets > 1 else ""
    counts = f"{run['questions']['train']:,} training and {test['n']:,} test questions{mean}"
    link = markdown_link("The whole report", f"results/{name}/report.md")
    caption = (
        f"{plain(run['model'])} on {plain(run['question_set'])}, {counts}, one seed; in brackets 95 % intervals. "
        f"{link} says what is clear and what is not."
    )
    return f"{markdown_table(make_table(heads, rows))}\n\n{caption}\n"


def render_experiment_headline(name: str, record: ExperimentRecord) -> str:
    """What the data support, and test accuracy after the last stage of each arm, with 95 % intervals."""
    shots = max(row.shots for row in record.accuracy)
    rows = [
        [plain(row.arm), level_cell(row.level), change_cell("test_accuracy", row.from_base)]
        for row in last_accuracy(record)
        if row.shots == shots
    ]
    heads = f"arm | test accuracy with {shots} exemplars > | change in points >"
    link = markdown_link("All tables", f"results/{name}/experiment.md")
    caption = (
        f"{plain(record.model)} on {plain(record.question_set)}, {record.test_questions:,} test questions, after the "
        f"last stage of each arm, mean over {len(record.seeds)} seeds; in brackets 95 % intervals for other seeds and "
        f"other types of questions. {link}."
    )
    return f"{supported(record.hypotheses)}\n\n{markdown_table(make_table(heads, rows))}\n\n{caption}\n"


def update_headlines(readme: Path, results: Path) -> None:
    """Render every headline of ``readme`` again; a page without headline markers is left as it is.

    Raises:
        DataError: a headline names a run or an experiment that ``results`` does not hold.
    """
    update_page(readme, results, with_headlines)


def update_page(page: Path, results: Path, render: Callable[[str, Path], str]) -> None:
    """Write a page again with what ``render`` makes of its text and ``results``; a page that is not there is left out.

    Raises:
        DataError: the page cannot be read or written, or whatever ``render`` raises.
    """
    if not page.is_file():
        return
    before = read_text(page, limits.MAX_LINE_BYTES)
    after = render(before, results)
    if after != before:
        with atomic_write(page) as stream:
            stream.write(after)


def with_headlines(text: str, results: Path) -> str:
    """``text`` with the headline of each named run or experiment between its markers."""

    def render(match: re.Match[str]) -> str:
        name, experiment = match[2], results / match[2] / "experiment.json"
        if experiment.is_file():
            headline = render_experiment_headline(name, read_experiment(experiment))
        else:
            headline = render_headline(name, read_report(results / name / "report.json"))
        return f"{match[1]}\n{headline}\n{match[3]}"

    return _BLOCK.sub(render, text)
