"""The price of certainty as tables: what cheaper protocols find, and what a re-test would change."""

from __future__ import annotations

from typing import Any

from kft_cli.display.tables import Block, Figure, Section, Table, make_table, markdown_document, percent, terminal_text

_GRID_NOTE = (
    "Each row chooses some of the exemplar sets and samples of this file, in every possible way, and gives the "
    "expected number of questions in each category. The numbers are exact counts of subsets, not simulated. They cover "
    "sampling within these generations only; a fresh detection varies more."
)
_RETEST_NOTE = (
    "A re-test has fresh exemplar sets and samples (another seed). For each question, two rates are estimated: right "
    "greedy answers, and sets with a right sample where the greedy answer is wrong. The number of each in a re-test is "
    "beta-binomial. The fitted prior is learned from all questions of the file; Jeffreys' prior leaves each question "
    "to its own counts. The 95 % intervals treat questions as independent. Questions of a type share exemplars, so the "
    "intervals are somewhat too narrow."
)
_FIGURE = (
    "Top: expected number of questions in each category with fewer exemplar sets, and with fewer samples. Bottom: how "
    "many questions keep their category, by the number of generations that lazy detection needs."
)


def render(data: dict[str, Any], *, markdown: bool = False) -> str:
    """The tables of ``certainty.json``, for the terminal or as a Markdown document with its figure."""
    name = f"{data['model']}, n = {data['questions']:,} questions"
    grid: list[Block] = [_grid_table(data), _GRID_NOTE]
    if markdown:
        grid.append(Figure("certainty.svg", _FIGURE))
    sections = [
        Section(f"Cheaper protocols: {name}", tuple(grid)),
        Section("Categories that a re-test is expected to change", (_retest_table(data), _RETEST_NOTE)),
    ]
    return markdown_document("The price of certainty", sections) if markdown else terminal_text(sections)


def _grid_table(data: dict[str, Any]) -> Table:
    rows = [
        [
            str(cell["sets"]),
            str(cell["samples"]),
            *(f"{count:,.1f}" for count in cell["counts"].values()),
            percent(cell["agreement"]),
            f"{cell['generations']:,}",
            f"{cell['lazy_generations']:,.1f}",
        ]
        for cell in data["grid"]
    ]
    heads = "sets > | samples > | HighlyKnown > | MaybeKnown > | WeaklyKnown > | Unknown > | same category > "
    return make_table(heads + "| generations per question > | lazy >", rows)


def _retest_table(data: dict[str, Any]) -> Table:
    """Expected changes by category and, where there is a re-test, observed changes, on the questions in both files."""
    comparison = data["comparison"]
    expected = comparison["expected"] if comparison else data["retest"]
    columns = [_changes_column(expected["fitted"]), _changes_column(expected["jeffreys"])]
    heads = "category | questions > | expected, fitted prior > | expected, Jeffreys' prior >"
    sizes = [f"{sum(line.values()):,.0f}" for line in expected["fitted"]["matrix"].values()]
    columns.insert(0, [*sizes, f"{expected['fitted']['questions']:,}"])
    caption = ""
    if comparison:
        heads += " | observed >"
        changed = list(_changed(comparison["observed"]["matrix"]).values())
        columns.append([f"{count:,.0f}" for count in [*changed, sum(changed)]])
        caption = f"{comparison['left_out']:,} questions are in one of the two files only and are left out."
    names = [*data["counts"], "all"]
    return make_table(heads, list(zip(names, *columns, strict=True)), caption)


def _changes_column(forecast: dict[str, Any]) -> list[str]:
    total = forecast["changes"]
    parts = [f"{count:,.1f}" for count in _changed(forecast["matrix"]).values()]
    return [*parts, f"{total['expected']:,.1f} ({total['low']:,} to {total['high']:,})"]


def _changed(matrix: dict[str, dict[str, float]]) -> dict[str, float]:
    return {row: sum(count for name, count in line.items() if name != row) for row, line in matrix.items()}
