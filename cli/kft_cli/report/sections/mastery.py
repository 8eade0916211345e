"""Sections about the training questions: their categories at each point, and how these changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kft_cli.display.tables import (
    Block,
    Code,
    Figure,
    Table,
    count_and_share,
    difference,
    make_table,
    number,
    p_value,
    plain,
    share,
)
from kft_cli.report.sections.words import CATEGORIES, INTERVALS, Report, category_cells, category_heads

_MOVEMENTS = {
    "upgraded": "upgraded",
    "downgraded": "downgraded",
    "forgotten": "forgotten",
    "never_right_any_more": "no greedy answer right",
}


def categories(report: Report) -> list[Block]:
    """What the four categories mean, their shares at each point, and the figure."""
    intro = (
        "Each question is asked with several prompts. The greedy answer is the model's first choice. **HighlyKnown**: "
        "every greedy answer is right. **MaybeKnown**: some greedy answers are right. **WeaklyKnown**: no greedy "
        "answer is right, but a sampled answer is. **Unknown**: no answer is right."
    )
    table = category_table(report)
    n = number(_train_size(report))
    figure = Figure("figures/categories.png", f"Categories of the {n} training questions at each point.")
    return [intro, table, figure]


def category_table(report: Report) -> Table:
    """Categories at each point, and of the control."""
    bars = [(point, shares) for point, shares in report["categories"].items()]
    if report["control"]:
        bars.insert(1, ("base again (control)", report["control"]["shares"]))
    rows = [
        [point, *(f"{number(shares[name]['count'])}: {share(shares[name])}" for name in CATEGORIES)]
        for point, shares in bars
    ]
    caption = (
        f"Each cell: number of questions, then their share of all {number(_train_size(report))}. {INTERVALS} They are "
        "Wilson score intervals and show how far off a share could be because the number of questions is limited."
    )
    return make_table(f"point | {category_heads()}", rows, caption)


def _train_size(report: Report) -> int:
    first = next(iter(report["categories"].values()))
    return sum(entry["count"] for entry in first.values())


def transitions(report: Report) -> list[Block]:
    """Category before x category after for all pairs of points, what moved, and what moves by chance."""
    blocks: list[Block] = []
    for step in report["transitions"]:
        blocks.append(f"**{plain(step['before'])} → {plain(step['after'])}** (n = {number(step['movement']['n'])})")
        blocks.append(_matrix(step["matrix"]))
    if report["control"]:
        blocks.append(f"**Control: base → base asked again** (n = {number(report['control']['movement']['n'])})")
        blocks.append(_matrix(report["control"]["matrix"]))
    blocks += [movement_table(report), *(_control(report) if report["control"] else _no_control(report))]
    caption = (
        "Category before (rows) and after (columns). The numbers are questions; the shading is the share of the row."
    )
    return [*blocks, Figure("figures/transitions.png", caption)]


def _matrix(matrix: Mapping[str, Mapping[str, int]]) -> Table:
    rows = [[row, *category_cells(matrix[row]), number(sum(matrix[row].values()))] for row in CATEGORIES]
    return make_table(f"before ↓ after → | {category_heads()} | all >", rows)


def movement_table(report: Report) -> Table:
    """How many questions moved up or down, between all pairs of points and in the control."""
    spans = [(f"{step['before']} → {step['after']}", step["movement"]) for step in report["transitions"]]
    if report["control"]:
        spans.append(("control", report["control"]["movement"]))
    rows = [[span, *(count_and_share(moved[key]) for key in _MOVEMENTS)] for span, moved in spans]
    caption = (
        "*Upgraded*: the category rose; out of the questions that could rise. *Downgraded*: it fell; out of the "
        "questions that could fall. *Forgotten*: no longer HighlyKnown; out of the questions that were. *No greedy "
        f"answer right*: forgotten, and now every greedy answer is wrong; out of the same questions. {INTERVALS}"
    )
    return make_table("from → to | " + " | ".join(f"{name} >" for name in _MOVEMENTS.values()), rows, caption)


def _no_control(report: Report) -> list[Block]:
    return [
        "**No control was run.** Some questions would have moved by chance alone, and this run cannot tell how many. "
        "The command below detects the base model a second time, with another seed. Finished steps are kept.",
        Code(f"{report['repeat']['command']} --set evaluation.retest=true", "sh"),
    ]


def _control(report: Report) -> list[Block]:
    rows = [
        [f"{step['before']} → {step['after']}", kind, number(row["n"]), difference(row), p_value(row["holm_p"])]
        for step in report["transitions"]
        if step["against_control"]
        for kind, row in ((kind, step["against_control"][kind]) for kind in ("upgraded", "forgotten"))
    ]
    caption = (
        "How many more questions moved than in the control, out of the same questions: difference in percentage points "
        "with its 95 % interval, and p of McNemar's exact test. The p values are corrected (Holm) for all rows, "
        "because one of several comparisons can look clear by chance."
    )
    table = make_table("from → to | what | n > | more than in the control, points > | p, Holm >", rows, caption)
    return [_control_words(report["control"]), table]


def _control_words(control: Mapping[str, Any]) -> str:
    words = (
        f"The control detects the untrained model a second time, with seed {control['seed']}: other exemplars, other "
        "samples. What moves there is noise. The control is a strict yardstick: two points of the run share their "
        "exemplars, the two detections of the base model do not."
    )
    if control["same_seed"]:
        words += " **Both detections have the same seed, so this shows no noise: it is no control.**"
    if control["other_settings"]:
        settings = plain(", ".join(control["other_settings"]))
        words += f" **The detections also differ in {settings}, so this is not a clean control.**"
    return words
