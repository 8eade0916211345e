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
    make_table,
    number,
    plain,
    share,
)
from kft_cli.report.sections.words import CATEGORIES, INTERVALS, Report

_MOVEMENTS = {
    "upgraded": "upgraded",
    "downgraded": "downgraded",
    "forgotten": "forgotten",
    "never_right_any_more": "no greedy answer right",
}


def levels(report: Report) -> dict[str, str]:
    """Categories that the report tells apart, with their names as shown.

    Where some point was asked greedily only, WeaklyKnown and Unknown are one level there: never right.
    """
    if report.get("greedy_only"):
        return {"HighlyKnown": "HighlyKnown", "MaybeKnown": "MaybeKnown", "Unknown": "never right"}
    return {name: name for name in CATEGORIES}


def categories(report: Report) -> list[Block]:
    """What the categories mean, their shares at each point, and the figure."""
    intro = (
        "Each question is asked with several prompts. The greedy answer is the model's first choice. **HighlyKnown**: "
        "every greedy answer is right. **MaybeKnown**: some greedy answers are right. **WeaklyKnown**: no greedy "
        "answer is right, but a sampled answer is. **Unknown**: no answer is right."
    )
    if report.get("greedy_only"):
        if report["run"]["protocol"]["samples"]:
            weakly, unknown = (report["comparable"]["shares"][name]["count"] for name in ("WeaklyKnown", "Unknown"))
            intro += (
                " Only the detection of the base model drew samples: it found "
                f"{number(weakly)} WeaklyKnown and {number(unknown)} Unknown."
            )
        intro += " Greedy answers alone cannot tell WeaklyKnown from Unknown: **never right** is both."
    table = category_table(report)
    n = number(_train_size(report))
    figure = Figure("figures/categories.svg", f"Categories of the {n} training questions at each point.")
    return [intro, table, figure]


def category_bars(report: Report) -> list[tuple[str, Mapping[str, Any]]]:
    """Name and shares of each row of the table and of each bar of the figure: the points, and the base asked twice."""
    bars = list(report["categories"].items())
    if report["control"] and report.get("measured"):
        bars.insert(0, ("base (detection)", report["control"]["detected"]))
    elif report["control"]:
        bars.insert(1, ("base again (retest)", report["control"]["shares"]))
    return bars


def category_table(report: Report) -> Table:
    """Categories at each point, and of the base model asked twice."""
    names = levels(report)
    rows = [
        [point, *(f"{number(shares[name]['count'])}: {share(shares[name])}" for name in names)]
        for point, shares in category_bars(report)
    ]
    caption = f"Each cell: number of questions, then their share of {_which(report)}. {_interval_words(report)}"
    if report.get("measured"):
        caption += (
            " All points are told by the measurement, whose exemplars chose no question. *base (detection)*: the same "
            "model with the exemplars that the training questions were chosen by."
        )
    return make_table("point | " + " | ".join(f"{name} >" for name in names.values()), rows, caption)


def _interval_words(report: Report) -> str:
    """What the intervals of the shares are; reports made before kft knew of clusters have Wilson's."""
    first = next(iter(report["categories"].values()))
    readings = sorted({str(entry["reading"]) for entry in first.values() if entry.get("reading")})
    if not readings:
        return (
            f"{INTERVALS} They are Wilson score intervals and show how far off a share could be because the number of "
            "questions is limited."
        )
    return (
        f"{INTERVALS} They are for {' and '.join(readings)}: questions that come together, by type or subject, do not "
        "count as independent."
    )


def flow_caption(report: Report) -> str:
    """What the figure of the flow shows."""
    n = number(report["transitions"][0]["movement"]["n"])
    return f"How the {n} training questions move through the categories, from point to point."


def _train_size(report: Report) -> int:
    first = next(iter(report["categories"].values()))
    return sum(entry["count"] for entry in first.values())


def _which(report: Report) -> str:
    """Which training questions the shares are of: all, or a random part."""
    n, measured = number(_train_size(report)), report.get("measured")
    if not measured or measured["n"] == measured["of"]:
        return f"all {n}"
    return f"these {n}, a random part of the {number(measured['of'])} training questions"


def transitions(report: Report) -> list[Block]:
    """Category before x category after for all pairs of points, what moved, and what moves by measurement alone."""
    measured = bool(report.get("measured"))
    blocks: list[Block] = []
    if measured:
        blocks.append(
            "Both categories are told by the measurement. These are counts only: within a row the questions also move "
            "towards the middle because their category before is partly luck. What changed is in the section before."
        )
    for step in report["transitions"]:
        blocks.append(f"**{plain(step['before'])} → {plain(step['after'])}** (n = {number(step['movement']['n'])})")
        blocks.append(_matrix(report, step["matrix"]))
    if report["control"]:
        title = "Base → base, asked with other exemplars" if measured else "Retest: base → base asked again"
        blocks.append(f"**{title}** (n = {number(report['control']['movement']['n'])})")
        blocks.append(_matrix(report, report["control"]["matrix"]))
    if measured:
        blocks += _asked_twice(report) if report["control"] else []
    else:
        blocks += [movement_table(report), *(_retest(report) if report["control"] else _no_retest(report))]
    caption = (
        "Category before (rows) and after (columns). The numbers are questions; the shading is the share of the row."
    )
    return [*blocks, Figure("figures/transitions.svg", caption)]


def _matrix(report: Report, matrix: Mapping[str, Mapping[str, int]]) -> Table:
    names = levels(report)
    rows = [
        [shown, *(number(matrix[row][column]) for column in names), number(sum(matrix[row].values()))]
        for row, shown in names.items()
    ]
    return make_table("before ↓ after → | " + " | ".join(f"{name} >" for name in names.values()) + " | all >", rows)


def _asked_twice(report: Report) -> list[Block]:
    """How often a category changes by measurement alone, in a run that was measured at every point."""
    control = report["control"]
    changed = control["movement"]["n"] - control["movement"]["unchanged"]["count"]
    words = (
        f"The detection and the measurement (seed {control['seed']}) asked the same untrained model with different "
        f"exemplars: {number(changed)} of {number(control['movement']['n'])} questions changed their category by "
        "measurement alone."
    )
    return [words + _unclean(control)]


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
    return [words + _unclean(control)]


def _unclean(control: Mapping[str, Any]) -> str:
    """Why asking twice does not show the noise of the measurement; "" where it does."""
    words = ""
    if control["same_seed"]:
        words += " **Both detections have the same seed, so this shows no noise: it is no retest.**"
    if control["other_settings"]:
        settings = plain(", ".join(control["other_settings"]))
        words += f" **The detections also differ in {settings}, so this is not a clean retest.**"
    return words
