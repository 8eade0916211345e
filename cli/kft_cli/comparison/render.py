"""A comparison of runs as Markdown or as text for a terminal: a pure function of its JSON values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kft_cli.comparison.changes import deciding
from kft_cli.comparison.render_accuracy import accuracy_blocks, seed_blocks
from kft_cli.display.tables import (
    NONE,
    Align,
    Block,
    Section,
    Table,
    count_and_share,
    difference,
    duration,
    make_table,
    markdown_document,
    number,
    percent,
    plain,
    share,
    terminal_text,
)
from kft_cli.report.sections.paper import papers_counts_beside
from kft_cli.report.sections.words import category_heads
from kft_tasks.categories.category import KnowledgeCategory
from kft_tasks.visible_text import visible


def render_comparison(
    comparison: Mapping[str, Any], *, terminal: bool = False, title: str = "Comparison of runs"
) -> str:
    """A comparison as Markdown, or as text for a terminal."""
    sections = comparison_sections(comparison)
    return terminal_text(sections) if terminal else markdown_document(title, sections)


def comparison_sections(comparison: Mapping[str, Any]) -> list[Section]:
    """The sections of a comparison."""
    sections = [
        Section("Settings that differ", tuple(_settings_blocks(comparison))),
        Section("Categories of the training questions", (_categories(comparison), *_other_categories(comparison))),
        Section(
            "What moved from the base model to the last stage", (_moved(comparison), *_other_categories(comparison))
        ),
        Section("Test accuracy", tuple(accuracy_blocks(comparison))),
    ]
    if comparison["seeds"] or comparison["arms"]:
        sections.append(Section("Several seeds", tuple(seed_blocks(comparison))))
    sections.append(Section("Cost", (_cost(comparison),)))
    if comparison["paper"]:
        sections.append(Section("The paper's counts, for orientation", tuple(_paper(comparison))))
    return sections


def _settings_blocks(comparison: Mapping[str, Any]) -> list[Block]:
    names = [run["name"] for run in comparison["runs"]]
    if len(names) == 1:
        return ["There is only one run."]
    if not comparison["settings"]:
        return ["None. The runs have the same settings, model and questions."]
    rows = [
        [row["key"], *(_value(row["values"][name]) if name in row["values"] else NONE for name in names)]
        for row in comparison["settings"]
    ]
    columns: tuple[tuple[str, Align], ...] = tuple((visible(head, 60), "left") for head in ("setting", *names))
    return [Table(columns, tuple(tuple(row) for row in rows))]


def _value(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(part, Mapping) for part in value):
        return "; ".join(_part(part) for part in value)
    if isinstance(value, list):
        return "+".join(_value(item) for item in value)
    if isinstance(value, str) and len(value) == 64:
        return value[:12]  # a digest
    return visible("none" if value is None else str(value), 200)


def _part(part: Mapping[str, Any]) -> str:
    """One part of a mixture: "replay (now HighlyKnown, ratio 0.2)"."""
    rest = ", ".join(f"{key} {_value(item)}" for key, item in part.items() if key != "name")
    return f"{part['name']} ({rest})" if rest else str(part["name"])


def _categories(comparison: Mapping[str, Any]) -> Table:
    rows = [
        [_flagged(run), point, *_category_cells(run, run["categories"][point])]
        for run in comparison["runs"]
        for point in run["points"]
    ]
    heads = f"run | point | {category_heads()}"
    sizes = {number(one["n"]) for run in comparison["runs"] for one in run["categories"][run["points"][0]].values()}
    caption = (
        f"Each cell: number of questions, then their share with its 95 % interval. n = {' and '.join(sorted(sizes))}."
    )
    if any(run["greedy_only"] for run in comparison["runs"]):
        caption += (
            " Where only greedy answers were asked, WeaklyKnown and Unknown cannot be told apart: the last column then "
            "holds the questions that were never right."
        )
    return make_table(heads, rows, caption)


def _category_cells(run: Mapping[str, Any], shares: Mapping[str, Any]) -> list[str]:
    cells = {name: f"{number(one['count'])}: {share(one)}" for name, one in shares.items()}
    if run["greedy_only"]:
        cells[KnowledgeCategory.WEAKLY_KNOWN.value] = NONE
    return list(cells.values())


def _flagged(run: Mapping[str, Any]) -> str:
    """The run's name, marked where its categories mean something else than those of the first run."""
    return str(run["name"]) if run["categories_comparable"]["comparable"] else f"{run['name']} (not comparable)"


def _other_categories(comparison: Mapping[str, Any]) -> list[Block]:
    """Which runs were detected in another way than the first, and the values that differ."""
    lines = [
        f"- {plain(run['name'])}: {plain(run['categories_comparable']['reason'])}"
        for run in comparison["runs"]
        if not run["categories_comparable"]["comparable"]
    ]
    if not lines:
        return []
    intro = (
        f"**Not comparable with {plain(comparison['runs'][0]['name'])}**, because a category depends on how and what "
        "a model is asked. A difference between these shares says nothing about training:"
    )
    return ["\n".join([intro, "", *lines])]


def _moved(comparison: Mapping[str, Any]) -> Table:
    rows = []
    for run in comparison["runs"]:
        moved, retest = run["movement"], run["control"]
        cells = [
            cell
            for name in ("upgraded", "forgotten")
            for cell in (count_and_share(moved[name]), count_and_share(retest[name]) if retest else NONE)
        ]
        rows.append([_flagged(run), *cells, *_measured_cells(run["measured"])])
    caption = (
        "*Upgraded*: the category rose; out of the questions that could rise. *Forgotten*: no longer HighlyKnown; out "
        "of the questions that were. *Retest*: the same for the untrained model asked twice, with other exemplars: how "
        "often a category changes by measurement alone. It is not a control for training, because the points of a run "
        "share exemplars and samples. In brackets: 95 % intervals. Dash: no retest was run."
    )
    heads = "run | upgraded > | retest > | forgotten > | retest >"
    if not any(run["measured"] for run in comparison["runs"]):
        return make_table(heads, [row[:5] for row in rows], caption)
    caption += (
        " *P_correct*: share of right greedy answers of all training questions, on exemplars by which no question was "
        "chosen; its change, in percentage points with its 95 % interval, tells what training changed. Dash: the run "
        "did not measure it."
    )
    return make_table(f"{heads} | n > | P_correct > | change >", rows, caption)


def _measured_cells(measured: Mapping[str, Any] | None) -> list[str]:
    """Number of questions, P_correct before and after, and its change by the reading that decides."""
    if measured is None:
        return [NONE] * 3
    found = deciding(measured["clustered"])
    shares = f"{percent(measured['before'])} → {percent(measured['after'])}"
    return [number(measured["n"]), shares, difference(found)]


def _cost(comparison: Mapping[str, Any]) -> Table:
    keys = ("prefilled", "decoded", "trained", "made", "saved")
    rows = [
        [
            run["name"],
            duration(run["cost"]["seconds"]),
            duration(run["cost"]["cpu_seconds"]),
            *(number(run["cost"][key]) for key in keys),
            visible(str(run["hardware"].get("accelerator") or run["hardware"].get("cpu") or NONE), 60),
        ]
        for run in comparison["runs"]
    ]
    heads = "run | time > | CPU time > | read > | written > | trained > | answers made > | saved > | machine"
    return make_table(
        heads,
        rows,
        "*Read*, *written*, *trained*: tokens of prompts, of answers and in training. *Saved*: answers not needed.",
    )


def _paper(comparison: Mapping[str, Any]) -> list[Block]:
    return papers_counts_beside([run["comparable"] for run in comparison["runs"]], comparison["paper"])
