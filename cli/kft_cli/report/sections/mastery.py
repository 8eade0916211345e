"""Sections about the training questions: their categories at each point, and how these changed."""

from __future__ import annotations

from collections.abc import Mapping

from kft_cli.display.tables import (
    Block,
    Code,
    Figure,
    Table,
    count_and_share,
    make_table,
    number,
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
    """Categories at each point, and of the retest."""
    bars = [(point, shares) for point, shares in report["categories"].items()]
    if report["control"]:
        bars.insert(1, ("base again (retest)", report["control"]["shares"]))
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
    """Category before x category after for all pairs of points, what moved, and what moves by measurement alone."""
    blocks: list[Block] = []
    for step in report["transitions"]:
        blocks.append(f"**{plain(step['before'])} → {plain(step['after'])}** (n = {number(step['movement']['n'])})")
        blocks.append(_matrix(step["matrix"]))
    if report["control"]:
        blocks.append(f"**Retest: base → base asked again** (n = {number(report['control']['movement']['n'])})")
        blocks.append(_matrix(report["control"]["matrix"]))
    blocks += [movement_table(report), *(_retest(report) if report["control"] else _no_retest(report))]
    caption = (
        "Category before (rows) and after (columns). The numbers are questions; the shading is the share of the row."
    )
    return [*blocks, Figure("figures/transitions.png", caption)]


def _matrix(matrix: Mapping[str, Mapping[str, int]]) -> Table:
    rows = [[row, *category_cells(matrix[row]), number(sum(matrix[row].values()))] for row in CATEGORIES]
    return make_table(f"before ↓ after → | {category_heads()} | all >", rows)


def movement_table(report: Report) -> Table:
    """How many questions moved up or down, between all pairs of points and in the retest."""
    spans = [(f"{step['before']} → {step['after']}", step["movement"]) for step in report["transitions"]]
    if report["control"]:
        spans.append(("retest", report["control"]["movement"]))
    rows = [[span, *(count_and_share(moved[key]) for key in _MOVEMENTS)] for span, moved in spans]
    caption = (
        "*Upgraded*: the category rose; out of the questions that could rise. *Downgraded*: it fell; out of the "
        "questions that could fall. *Forgotten*: no longer HighlyKnown; out of the questions that were. *No greedy "
        f"answer right*: forgotten, and now every greedy answer is wrong; out of the same questions. {INTERVALS}"
    )
    return make_table("from → to | " + " | ".join(f"{name} >" for name in _MOVEMENTS.values()), rows, caption)


def _no_retest(report: Report) -> list[Block]:
    return [
        "**The base model was detected only once.** Some categories would have changed by measurement alone, and this "
        "run cannot tell how many. The command below detects the base model a second time, with another seed. Finished "
        "steps are kept.",
        Code(f"{report['repeat']['command']} --set evaluation.retest=true", "sh"),
    ]


def _retest(report: Report) -> list[Block]:
    control = report["control"]
    words = (
        f"The retest detects the untrained model a second time, with seed {control['seed']}: other exemplars, other "
        "samples. It describes how often a category changes by measurement alone. Training is not tested against it: "
        "two points of the run share exemplars and sampling noise, the retest shares neither, so the run would move "
        "less than the retest even if training changed nothing. A fair comparison needs independent draws, fresh "
        "exemplars and samples, at every point."
    )
    if control["same_seed"]:
        words += " **Both detections have the same seed, so this shows no noise: it is no retest.**"
    if control["other_settings"]:
        settings = plain(", ".join(control["other_settings"]))
        words += f" **The detections also differ in {settings}, so this is not a clean retest.**"
    return [words]
