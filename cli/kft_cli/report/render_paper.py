"""Tables that hold a run beside the paper's counts; shared by report and comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kft_cli.display.tables import Block, Table, change, count_and_share, make_table, number, percent
from kft_tasks.categories.category import KnowledgeCategory

CATEGORIES = [category.value for category in KnowledgeCategory]
_INTERVALS = "In brackets: 95 % intervals."


def comparable_shares(runs: Sequence[Mapping[str, Any]]) -> Table:
    """Categories of the first detection, of runs and of the paper's."""
    rows = [
        [run["name"], number(run["n"]), *(percent(run["shares"][category]["share"]) for category in CATEGORIES)]
        for run in runs
    ]
    heads = "first detection | n > | " + " | ".join(f"{name} >" for name in CATEGORIES)
    return make_table(heads, rows)


def comparable_movements(runs: Sequence[Mapping[str, Any]]) -> Table:
    """Upgraded and forgotten by the levels that the paper's re-detection knows."""
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
        "As the paper detects again with greedy answers only, WeaklyKnown and Unknown are one level here, so that "
        f"*upgraded* is a little less than above. Shares in %. {_INTERVALS}"
    )
    return make_table("run | from → to | upgraded > | forgotten > | never right any more >", rows, caption)


def growth_words(runs: Sequence[Mapping[str, Any]]) -> list[Block]:
    """The paper's headline number, said as what it is."""
    rows = [
        [
            run["name"],
            " → ".join(number(count) for count in run["highly_known"]),
            change(run["growth_of_gain"]),
        ]
        for run in runs
        if len(run["highly_known"]) > 1
    ]
    caption = (
        "HighlyKnown training questions at each point. *Growth of the gain*: gain after the last stage over the gain "
        "after the first, less 1. It is the paper's headline of 24 %, and not a growth in test accuracy."
    )
    return [make_table("run | HighlyKnown > | growth of the gain >", rows, caption)]
