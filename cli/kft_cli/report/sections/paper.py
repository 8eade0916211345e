"""A run next to the paper's counts: a section of the report, and tables that the comparison uses too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kft_cli.display.tables import Block, Table, change, count_and_share, make_table, number, percent, plain
from kft_cli.report.sections.words import CATEGORIES, INTERVALS, Report, category_heads


def papers_counts(report: Report) -> list[Block]:
    """The section of a report."""
    measured = (
        " This run's first detection is that which chose the questions; its movements and HighlyKnown counts are told "
        "by the measurement."
    )
    return [
        f"{_caveat(report['paper']['citation'])} The paper's test accuracies are not shown, because no reliable source "
        f"for them was found.{measured if report.get('measured') else ''}",
        *comparable_tables([report["comparable"], *report["paper"]["runs"]]),
    ]


def papers_counts_beside(runs: Sequence[Mapping[str, Any]], paper: Mapping[str, Any]) -> list[Block]:
    """The section of a comparison: several runs and the paper's."""
    return [_caveat(paper["citation"]), *comparable_tables([*runs, *paper["runs"]])]


def _caveat(citation: str) -> str:
    return (
        f"Source: {plain(citation)}. **The model, the questions and the protocol are different ones.** Equal numbers "
        "prove nothing, and unequal numbers refute nothing."
    )


def comparable_tables(runs: Sequence[Mapping[str, Any]]) -> list[Block]:
    """First detection, movements and growth of several runs, see :func:`kft_cli.report.paper.comparable`."""
    return [_shares(runs), _movements(runs), _growth(runs)]


def _shares(runs: Sequence[Mapping[str, Any]]) -> Table:
    rows = [
        [run["name"], number(run["n"]), *(percent(run["shares"][category]["share"]) for category in CATEGORIES)]
        for run in runs
    ]
    return make_table(f"first detection | n > | {category_heads()}", rows)


def _movements(runs: Sequence[Mapping[str, Any]]) -> Table:
    """Upgraded and forgotten questions, by the levels that the paper's second detection has."""
    rows = [
        [
            run["name"],
            f"{stage['before']} → {stage['after']}",
            *(count_and_share(stage[key]) for key in ("greedy_upgraded", "forgotten", "never_right_any_more")),
        ]
        for run in runs
        for stage in run["stages"]
    ]
    caption = (
        "The paper's later detections are greedy only, so WeaklyKnown and Unknown count as one level here: a rise from "
        f"Unknown to WeaklyKnown is not *upgraded* in this table. {INTERVALS}"
    )
    return make_table("run | from → to | upgraded > | forgotten > | no greedy answer right >", rows, caption)


def _growth(runs: Sequence[Mapping[str, Any]]) -> Table:
    """The paper's headline number, called what it is."""
    rows = [
        [run["name"], " → ".join(number(count) for count in run["highly_known"]), change(run["growth_of_gain"])]
        for run in runs
        if len(run["highly_known"]) > 1
    ]
    caption = (
        "HighlyKnown training questions at each point. *Growth of the gain*: the gain after the last stage divided by "
        "the gain after the first, minus 1. This is the paper's headline of 24 %. It is not a growth in test accuracy."
    )
    return make_table("run | HighlyKnown > | growth of the gain >", rows, caption)
