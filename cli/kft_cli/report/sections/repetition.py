"""Sections about the run itself: what it cost, and how to repeat it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kft_cli.display.tables import NONE, Block, Code, duration, make_table, number, percent
from kft_cli.report.sections.words import Report
from kft_tasks.visible_text import visible


def cost(report: Report) -> list[Block]:
    """Time, tokens and answers of every step."""
    total = report["cost"]["total"]
    rows = [_cost_row(row["step"], row) for row in [*report["cost"]["steps"], {"step": "total", **total}]]
    possible = total["made"] + total["saved"]
    saved = f" The run saved {percent(total['saved'] / possible)} of all answers." if possible else ""
    caption = (
        "*Read*: tokens of prompts that went through the model. *Written*: generated tokens. *Trained*: tokens in "
        f"training. *Saved*: answers that were not generated, because they could not change a category.{saved}"
    )
    heads = "step | time > | CPU time > | read > | written > | trained > | answers made > | saved >"
    return [make_table(heads, rows, caption)]


def _cost_row(name: str, row: Mapping[str, Any]) -> list[str]:
    counts = [number(row[key]) for key in ("prefilled", "decoded", "trained", "made", "saved")]
    return [name, duration(row["seconds"]), duration(row["cpu_seconds"]), *counts]


def how_to_repeat(report: Report) -> list[Block]:
    """Command, seeds, digests, machine, versions and the resolved recipe."""
    repeat = report["repeat"]
    facts = [(f"seed of the {name}", str(seed)) for name, seed in repeat["seeds"].items()]
    facts += [(f"digest: {name}", str(digest or NONE)) for name, digest in repeat["digests"].items()]
    facts += [(f"machine: {key}", str(NONE if value is None else value)) for key, value in repeat["hardware"].items()]
    facts += [(f"version: {name}", str(version)) for name, version in repeat["versions"].items()]
    if repeat["created"]:
        facts.append(("started", str(repeat["created"])))
    return [
        "The command, as given:",
        Code(repeat["command"], "sh"),
        make_table("what | value", [(visible(key, 80), visible(value, 200)) for key, value in facts]),
        "The recipe, with every default written out:",
        Code(repeat["recipe"], "yaml"),
    ]
