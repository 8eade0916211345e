"""The headline of a published run in the root README: a small table, rendered from the run's report."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kft_cli.display.tables import count_and_share, make_table, markdown_table, share
from kft_tasks.categories.category import KnowledgeCategory
from kft_tasks.errors import DataError
from kft_tasks.files import atomic_write

_BLOCK = re.compile(r"(<!-- headline: [^>]*-->\n).*?(<!-- /headline -->)", re.DOTALL)
_HIGHEST = KnowledgeCategory.HIGHLY_KNOWN.value


def render_headline(name: str, report: Mapping[str, Any]) -> str:
    """HighlyKnown training questions and test accuracy at each point, with n and 95 % intervals."""
    run, test = report["run"], report["test"]
    accuracy = {(row["point"], row["shots"]): row for row in test["accuracy"]}
    shots = max(test["shots"])
    rows = [
        [point, count_and_share(report["categories"][point][_HIGHEST]), share(accuracy[point, shots])]
        for point in run["points"]
    ]
    heads = f"point | HighlyKnown training questions, % > | test accuracy with {shots} exemplars, % >"
    counts = f"{run['questions']['train']:,} training and {test['n']:,} test questions"
    caption = (
        f"{run['model']} on {run['question_set']}, {counts}, one seed; in brackets 95 % intervals. "
        f"[The whole report](results/{name}/report.md) says what is clear and what is not."
    )
    return f"{markdown_table(make_table(heads, rows))}\n\n{caption}\n"


def write_headline(readme: Path, name: str, report: Mapping[str, Any]) -> None:
    """Replace the headline between its markers in ``readme``.

    Raises:
        DataError: the file has no such markers.
    """
    text, replaced = insert_headline(readme.read_text(encoding="utf-8"), name, report)
    if not replaced:
        raise DataError(f"{readme}: has no headline markers. Add '<!-- headline: ... -->' and '<!-- /headline -->'.")
    with atomic_write(readme) as stream:
        stream.write(text)


def insert_headline(text: str, name: str, report: Mapping[str, Any]) -> tuple[str, int]:
    """``text`` with the headline between its markers, and how many places were replaced."""
    headline = render_headline(name, report)
    return _BLOCK.subn(lambda match: f"{match[1]}\n{headline}\n{match[2]}", text)
