"""Section "Examples"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kft_cli.display.tables import Block, make_table, number, plain, visible
from kft_cli.report.sections.words import Report


def examples_of_movement(report: Report) -> list[Block]:
    """Questions that were upgraded or forgotten, with the answers given before and after."""
    examples = report["examples"]
    before, after = examples["before"], examples["after"]
    blocks: list[Block] = [
        "These questions are drawn by a hash of their id; nobody picked them. *Given*: the greedy answers at "
        f"{plain(before)} and at {plain(after)}, and how often each was given. Where the category was decided early, "
        "fewer answers were generated."
    ]
    for kind in ("upgraded", "forgotten"):
        shown = examples[kind]["shown"]
        blocks.append(f"**{kind.capitalize()}**: {len(shown)} of {number(examples[kind]['n'])}")
        if shown:
            heads = f"question | accepted | category | given at {before} | given at {after} | trained in"
            blocks.append(make_table(heads, [_row(example) for example in shown]))
    return blocks


def _row(example: Mapping[str, Any]) -> list[str]:
    return [
        visible(example["question"], 120),
        visible("; ".join(example["answers"][:3]), 60),
        f"{example['before']['category']} → {example['after']['category']}",
        _given(example["before"]["given"]),
        _given(example["after"]["given"]),
        ", ".join(example["trained_in"]) or "no stage",
    ]


def _given(given: Sequence[Mapping[str, Any]]) -> str:
    parts = [f"{visible(row['answer'], 40) or '(empty)'} ×{row['times']}" for row in given[:3]]
    return ", ".join(parts) + (" …" if len(given) > 3 else "")
