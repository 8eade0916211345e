"""Section "Examples"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kft_cli.display.tables import Block, make_table, number, plain
from kft_cli.report.sections.mastery import levels
from kft_cli.report.sections.words import Report
from kft_tasks.visible_text import visible


def examples_of_movement(report: Report) -> list[Block]:
    """Questions whose category rose or that are no longer HighlyKnown, with the answers given before and after."""
    examples = report["examples"]
    before, after = examples["before"], examples["after"]
    measured = bool(report.get("measured"))
    intro = (
        "These questions are drawn by a hash of their id; nobody picked them. *Given*: the greedy answers at "
        f"{plain(before)} and at {plain(after)}, and how often each was given."
    )
    if measured:
        intro += (
            " Answers and categories are those of the measurement. *Category higher*: the category is higher than "
            "before. *No longer HighlyKnown*: it was HighlyKnown. Some of these moved by chance; how many more than "
            "that is told above."
        )
    else:
        intro += " Where the category was decided early, fewer answers were generated."
    blocks: list[Block] = [intro]
    titles = ("Category higher", "No longer HighlyKnown") if measured else ("Upgraded", "Forgotten")
    for kind, title in zip(("upgraded", "forgotten"), titles, strict=True):
        shown = examples[kind]["shown"]
        blocks.append(f"**{title}**: {len(shown)} of {number(examples[kind]['n'])}")
        if shown:
            given = (f"given at {point}" for point in (before, after))
            heads = ["question", "accepted", "category", *given, "trained in"]
            blocks.append(make_table(heads, [_row(example, levels(report)) for example in shown]))
            if reasons := _reasons(shown, before, after):
                blocks.append(make_table("question | given most often | at | is | because | words", reasons, _WHY))
    return blocks


_WHY = "Why the scorer finds the answer given most often right or wrong, and the words that this rests on."


def _reasons(shown: Sequence[Mapping[str, Any]], before: str, after: str) -> list[list[str]]:
    """Two rows for an example, before and after; none in reports that do not have the reasons."""
    rows = []
    for example in shown:
        for point, side in ((before, example["before"]), (after, example["after"])):
            if why := side.get("why"):
                verdict = "right" if why["right"] else "wrong"
                given, words = visible(why["answer"], 40) or "(empty)", visible(why["words"], 40)
                rows.append([visible(example["question"], 60), given, point, verdict, why["rule"], words])
    return rows


def _row(example: Mapping[str, Any], names: Mapping[str, str]) -> list[str]:
    lowest = names["Unknown"]  # also of a WeaklyKnown question, where the two are one level
    one, two = (names.get(example[point]["category"], lowest) for point in ("before", "after"))
    return [
        visible(example["question"], 120),
        visible("; ".join(example["answers"][:3]), 60),
        f"{one} → {two}",
        _given(example["before"]["given"]),
        _given(example["after"]["given"]),
        ", ".join(example["trained_in"]) or "no stage",
    ]


def _given(given: Sequence[Mapping[str, Any]]) -> str:
    parts = [f"{visible(row['answer'], 40) or '(empty)'} ×{row['times']}" for row in given[:3]]
    return ", ".join(parts) + (" …" if len(given) > 3 else "")
