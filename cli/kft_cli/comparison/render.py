"""A comparison of runs as Markdown or as text for a terminal: a pure function of its JSON values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kft_cli.comparison.comparability import Difference, listed
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
from kft_cli.stats.intervals import ALPHA
from kft_cli.stats.seeds import seeds_needed


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
        Section("Categories of the training questions", (_categories(comparison), *_other_categories(comparison))),
        Section(
            "What moved from the base model to the last stage", (_moved(comparison), *_other_categories(comparison))
        ),
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
        [_flagged(run), point, *(f"{number(one['count'])}: {share(one)}" for one in run["categories"][point].values())]
        for run in comparison["runs"]
        for point in run["points"]
    ]
    heads = f"run | point | {category_heads()}"
    sizes = {number(run["questions"]["train"]) for run in comparison["runs"]}
    caption = (
        f"Each cell: number of questions, then their share with its 95 % interval. n = {' and '.join(sorted(sizes))}."
    )
    return make_table(heads, rows, caption)


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
        rows.append([_flagged(run), *cells])
    caption = (
        "*Upgraded*: the category rose; out of the questions that could rise. *Forgotten*: no longer HighlyKnown; out "
        "of the questions that were. *Retest*: the same for the untrained model detected twice, with other exemplars "
        "and samples: how often a category changes by measurement alone. It is not a control for training, because "
        "the points of a run share exemplars and samples. In brackets: 95 % intervals. Dash: no retest was run."
    )
    heads = "run | upgraded > | retest > | forgotten > | retest >"
    return make_table(heads, rows, caption)


def _test_blocks(comparison: Mapping[str, Any]) -> list[Block]:
    rows = [
        [
            row["run"],
            str(row["shots"]),
            row["scorer"],
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
    heads = "run | exemplars | scored by | n > | base > | last stage > | change >"
    return [make_table(heads, rows, caption), *_scored_again(comparison), *_paired_blocks(comparison)]


def _scored_again(comparison: Mapping[str, Any]) -> list[Block]:
    """Runs whose answers are not scored by their own rule, and those that keep it because nothing else is possible."""
    rule = comparison["scorer"]
    own = {row["run"]: row["own_scorer"] for row in comparison["test"] if row["scorer"] != row["own_scorer"]}
    kept = {row["run"]: row["scorer"] for row in comparison["test"] if row["scorer"] != rule}
    blocks: list[Block] = []
    if own:
        runs = ", ".join(f"{plain(name)} ({plain(scorer)})" for name, scorer in own.items())
        blocks.append(
            f"*Scored again* by {plain(rule)}, in brackets the run's own rule: {runs}. The run's own rule still "
            "decided the categories, the mixtures and the epochs."
        )
    if kept:
        runs = ", ".join(f"{plain(name)} ({plain(scorer)})" for name, scorer in kept.items())
        blocks.append(
            f"*Not scored* by {plain(rule)}, because a report holds no answers to score again: {runs}. Do not compare "
            "their accuracy with that of the other runs."
        )
    return blocks


def _paired_blocks(comparison: Mapping[str, Any]) -> list[Block]:
    pairs = comparison["paired"]
    if not pairs:
        return []
    tested = [row for row in pairs if row["paired"]]
    caption = (
        "Every run against the first, after their last stages, question by question: percentage points with Newcombe's "
        f"95 % interval, and p of McNemar's exact test. {_family(len(tested))} Interval and test treat questions as "
        "independent, and are too optimistic where questions of one type rise and fall together. This compares these "
        "runs only. Whether the recipes differ, only several seeds can show."
    )
    if len(tested) < len(pairs):
        caption += (
            " *Not tested*: a difference could come from how the questions were asked or scored, whatever the training "
            "did. Such rows have no p and are not in the family."
        )
    heads = "from → to | exemplars | n > | gained > | lost > | difference > | p, Holm >"
    table = make_table(heads, [_paired_row(row) for row in pairs], caption)
    return ["**Compared with the first run**", table, *_named_differences(tested)]


def _family(tests: int) -> str:
    """Which tests the Holm correction covers."""
    if tests == 0:
        return "No test was possible, so there is nothing to correct."
    if tests == 1:
        return "Holm's correction covers the tests of this table; there is only one, so its p is not changed."
    return f"Holm's correction covers the {tests} tests of this table and no others."


def _paired_row(row: Mapping[str, Any]) -> list[str]:
    start = [f"{row['from']} → {row['to']}", str(row["shots"])]
    if not row["paired"]:
        return [*start, NONE, NONE, NONE, row["reason"], NONE]
    counts = [number(row[key]) for key in ("n", "gained", "lost")]
    return [*start, *counts, difference(row), p_value(row["holm_p"])]


def _named_differences(tested: Sequence[Mapping[str, Any]]) -> list[Block]:
    """What else differs between runs that were tested against each other."""
    lines = {
        row["to"]: f"- {plain(row['to'])}: {plain(listed([Difference(**one) for one in row['differs']]))}"
        for row in tested
        if row["differs"]
    }
    if not lines:
        return []
    intro = "Tested although these differ too. The test shows that the runs differ, not which of this is the reason:"
    return ["\n".join([intro, "", *lines.values()])]


def _seed_blocks(comparison: Mapping[str, Any]) -> list[Block]:
    seeds = comparison["seeds"]
    rows = [
        [
            ", ".join(row["runs"]),
            str(row["shots"]),
            number(row["accuracy"]["n"]),
            _mean(row["accuracy"], f"{100 * row['accuracy']['mean']:.1f}"),
            _mean(row["change"], points(row["change"]["mean"])),
            f"{points(row['change']['least'])} to {points(row['change']['most'])}",
            _interval(row["change"]),
            p_value(row["holm_p"]),
        ]
        for row in seeds
    ]
    caption = (
        "Runs that differ only in their seed. Mean ± sample standard deviation over seeds; the change from the base "
        "model is in percentage points. The interval is Student's t for the mean, 95 %; there is none where all seeds "
        f"gave the same. p: two-sided sign-flip test of the changes. {_reach(seeds)}"
    )
    if tests := sum(row["holm_p"] is not None for row in seeds):
        caption += f" {_family(tests)}"
    heads = (
        "runs | exemplars | seeds > | last stage, % > | change > | smallest to largest > | interval of the mean > | "
        "p, Holm >"
    )
    return [make_table(heads, rows, caption)]


def _reach(seeds: Sequence[Mapping[str, Any]]) -> str:
    """What the numbers of seeds in the table can and cannot show."""
    sentences = []
    for count, floor in dict.fromkeys((row["accuracy"]["n"], row["smallest_p"]) for row in seeds):
        smallest = f"2/2^{count} = {floor:.3g}"
        if floor >= ALPHA:
            sentences.append(
                f"Over {count} seeds no p can be below {smallest}, so they cannot reach p < {ALPHA} and no p is shown; "
                f"{seeds_needed()} seeds can."
            )
        else:
            sentences.append(f"Over {count} seeds no p can be below {smallest}, before correction.")
    return " ".join(sentences)


def _interval(values: Mapping[str, Any]) -> str:
    return f"{points(values['low'])} to {points(values['high'])}" if values["deviation"] else NONE


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
