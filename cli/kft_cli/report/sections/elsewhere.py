"""Forgetting elsewhere, as the report shows it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from kft_cli.display.tables import NONE, Block, Table, make_table, number, p_value, percent, plain, points
from kft_cli.report.sections.readings import clear_cell
from kft_cli.report.sections.words import Report, asking_cell


def forgetting_elsewhere(report: Report) -> list[Block]:
    """Types never trained, held-out text, further tasks: before and after."""
    found = report.get("elsewhere")
    if not found:
        return []
    blocks: list[Block] = []
    if found["held_out_types"]:
        blocks += _held_out(found["held_out_types"])
    if found["text"]:
        blocks += _text(found["text"])
    if found["tasks"]:
        blocks += _tasks(found["tasks"])
    return blocks


def _held_out(held_out: Mapping[str, Any]) -> list[Block]:
    accuracy = {(row["point"], row["shots"], row["other_type"]): row for row in held_out["accuracy"]}
    rows = [
        [
            asking_cell(row),
            f"{row['before']} → {row['after']}",
            number(row["n"]),
            *(percent(accuracy[row[end], row["shots"], row["other_type"]]["share"]) for end in ("before", "after")),
            found["reading"],
            _change(found["difference"], found["low"], found["high"]),
            p_value(found["holm_p"]),
            clear_cell(found),
        ]
        for row in held_out["changes"]
        for found in row["clustered"].values()
    ]
    names = ", ".join(plain(name) for name in held_out["types"])
    words = f"**Types that no stage trained on** and no epoch was chosen by: {names}."
    caption = (
        "Test accuracy on their questions. *Change*: in points, with its 95 % interval. *p, Holm*: corrected for all "
        "rows of the same reading in this table."
    )
    heads = "exemplars | from → to | n > | before > | after > | reading | change, points > | p, Holm >"
    return [words, make_table(f"{heads} | clear for this reading?", rows, caption)]


def _text(text: Mapping[str, Any]) -> list[Block]:
    levels = {row["point"]: row["mean"] for row in text["points"]}
    rows = [
        [f"{row['before']} → {row['after']}", *(_loss(levels[row[end]]) for end in ("before", "after")), nats(row)]
        for row in text["changes"]
    ]
    words = (
        f"**Held-out text**: {number(text['passages'])} passages of prose, {number(text['tokens'])} tokens, which have "
        "nothing to do with the questions. A higher loss is text that the model predicts less well than before."
    )
    caption = (
        "Mean negative log-likelihood in nats per token; in brackets its exponential, perplexity. *Change*: with its "
        "95 % interval over passages."
    )
    return [words, make_table("from → to | before > | after > | change, nats per token >", rows, caption)]


def nats(row: Mapping[str, Any]) -> str:
    """A change of the loss with its interval: +0.012 (+0.004 to +0.020)."""
    if row["low"] is None:
        return signed(row["mean"])
    return f"{signed(row['mean'])} ({signed(row['low'])} to {signed(row['high'])})"


def signed(value: float | None) -> str:
    """A number with its sign and three decimals."""
    return NONE if value is None else f"{value:+.3f}".replace("-", "\u2212")


def _loss(value: float) -> str:
    return f"{value:.3f} ({math.exp(min(value, 700)):.1f})"


def _tasks(tasks: Sequence[Mapping[str, Any]]) -> list[Block]:
    levels = {
        (row["task"], row["metric"], row["filter"], point["point"]): point for row in tasks for point in row["points"]
    }
    cells = []
    for row in tasks:
        task, metric, filter_ = row["task"], row["metric"], row["filter"]
        name = metric if filter_ == "none" else f"{metric}, {filter_}"
        for span in row["changes"]:
            before, after = (levels[task, metric, filter_, span[end]] for end in ("before", "after"))
            change = signed(span["difference"])
            if span["low"] is not None:
                change += f" ({signed(span['low'])} to {signed(span['high'])})"
            spans = f"{span['before']} → {span['after']}"
            cells.append([task, name, number(row["n"]), spans, _level(before), _level(after), change])
    return ["**Further tasks** of lm-eval:", _task_table(cells)]


def _task_table(cells: Sequence[Sequence[str]]) -> Table:
    caption = (
        "As lm-eval measures them, with its standard error. *Change*: of the same documents, with a 95 % interval that "
        "takes documents as independent; without one where a metric is no mean over documents."
    )
    return make_table("task | metric | n > | from → to | before > | after > | change >", cells, caption)


def _level(point: Mapping[str, Any]) -> str:
    return f"{point['value']:.3f}" if point["stderr"] is None else f"{point['value']:.3f} ± {point['stderr']:.3f}"


def _change(difference: float | None, low: float | None, high: float | None) -> str:
    return points(difference) if low is None else f"{points(difference)} ({points(low)} to {points(high)})"
