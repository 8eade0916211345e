"""A comparison of runs as Markdown or as text for a terminal: a pure function of its JSON values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
    p_value,
    plain,
    points,
    share,
    terminal_text,
    visible,
)
from kft_cli.report.sections.paper import papers_counts_beside
from kft_cli.report.sections.words import category_heads


def render_comparison(
    comparison: Mapping[str, Any], *, terminal: bool = False, title: str = "Comparison of runs"
) -> str:
    """A comparison as Markdown, or as text for a terminal."""
    sections = comparison_sections(comparison)
    return terminal_text(sections) if terminal else markdown_document(plain(title), sections)


def comparison_sections(comparison: Mapping[str, Any]) -> list[Section]:
    """The sections of a comparison."""
    sections = [
        Section("Settings that differ", tuple(_settings_blocks(comparison))),
        Section("Categories of the training questions", (_categories(comparison),)),
        Section("What moved from the base model to the last stage", (_moved(comparison),)),
        Section("Test accuracy", tuple(_test_blocks(comparison))),
    ]
    if comparison["seeds"]:
        sections.append(Section("Several seeds", tuple(_seed_blocks(comparison))))
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
        [run["name"], point, *(f"{number(one['count'])}: {share(one)}" for one in run["categories"][point].values())]
        for run in comparison["runs"]
        for point in run["points"]
    ]
    heads = f"run | point | {category_heads()}"
    sizes = {number(run["questions"]["train"]) for run in comparison["runs"]}
    caption = (
        f"Each cell: number of questions, then their share with its 95 % interval. n = {' and '.join(sorted(sizes))}."
    )
    return make_table(heads, rows, caption)


def _moved(comparison: Mapping[str, Any]) -> Table:
    rows = []
    for run in comparison["runs"]:
        moved, control, against = run["movement"], run["control"], run["against_control"]
        row = [run["name"]]
        for name in ("upgraded", "forgotten"):
            row += [count_and_share(moved[name]), count_and_share(control[name]) if control else NONE]
            row.append(difference(against[name]) if against else NONE)
        rows.append(row)
    caption = (
        "*Upgraded*: the category rose; out of the questions that could rise. *Forgotten*: no longer HighlyKnown; out "
        "of the questions that were. *By chance*: the same for the untrained model detected twice. *More*: the "
        "difference on the same questions, in percentage points. In brackets: 95 % intervals. Dash: no control was run."
    )
    heads = "run | upgraded > | by chance > | more > | forgotten > | by chance > | more >"
    return make_table(heads, rows, caption)


def _test_blocks(comparison: Mapping[str, Any]) -> list[Block]:
    rows = [
        [
            row["run"],
            str(row["shots"]),
            number(row["last"]["n"]),
            share(row["base"]),
            share(row["last"]),
            difference(row["change"]),
        ]
        for row in comparison["test"]
    ]
    caption = (
        "Accuracy with its 95 % interval. The change is on the same questions, in percentage points with its interval."
    )
    heads = "run | exemplars | n > | base > | last stage > | change >"
    return [make_table(heads, rows, caption), *_paired_blocks(comparison)]


def _paired_blocks(comparison: Mapping[str, Any]) -> list[Block]:
    pairs = comparison["paired"]
    if not pairs:
        return []
    rows = [_paired_row(row) for row in pairs]
    caption = (
        "Every run against the first, after their last stages, question by question: percentage points with Newcombe's "
        "95 % interval, and p of McNemar's exact test, corrected (Holm) for all rows. This compares these runs only. "
        "Whether the recipes differ, only several seeds can show."
    )
    heads = "from → to | exemplars | n > | gained > | lost > | difference > | p, Holm >"
    return ["**Compared with the first run**", make_table(heads, rows, caption)]


def _paired_row(row: Mapping[str, Any]) -> list[str]:
    start = [f"{row['from']} → {row['to']}", str(row["shots"])]
    if not row["paired"]:
        return [*start, NONE, NONE, NONE, "not paired: different test questions", NONE]
    counts = [number(row[key]) for key in ("n", "gained", "lost")]
    return [*start, *counts, difference(row), p_value(row["holm_p"])]


def _seed_blocks(comparison: Mapping[str, Any]) -> list[Block]:
    rows = [
        [
            ", ".join(row["runs"]),
            str(row["shots"]),
            number(row["accuracy"]["n"]),
            _mean(row["accuracy"], f"{100 * row['accuracy']['mean']:.1f}"),
            _mean(row["change"], points(row["change"]["mean"])),
            f"{points(row['change']['least'])} to {points(row['change']['most'])}",
            f"{points(row['change']['low'])} to {points(row['change']['high'])}",
        ]
        for row in comparison["seeds"]
    ]
    caption = (
        "Runs that differ only in their seed. Mean ± sample standard deviation over seeds; the change from the base "
        "model is in percentage points. The interval is Student's t for the mean, 95 %."
    )
    heads = "runs | exemplars | seeds > | last stage, % > | change > | smallest to largest > | interval of the mean >"
    return [make_table(heads, rows, caption)]


def _mean(values: Mapping[str, Any], mean: str) -> str:
    return f"{mean} ± {100 * values['deviation']:.1f}"


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
