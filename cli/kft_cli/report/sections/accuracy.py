"""Section "Test accuracy"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kft_cli.display.tables import (
    Block,
    Code,
    Figure,
    Table,
    difference,
    make_table,
    number,
    p_value,
    percent,
    plain,
    share,
    visible,
)
from kft_cli.report.sections.readings import INTRO, deciding, reading_table
from kft_cli.report.sections.words import INTERVALS, Report, exemplars, shots_cell


def test_accuracy(report: Report) -> list[Block]:
    """Accuracy at each point, its changes, and both by first category and by type of question."""
    n = number(report["test"]["n"])
    intro = (
        f"Each of the {n} test questions is asked once, greedily. No stage trained on them and no epoch was chosen by "
        "them. Accuracy is the share of right answers."
    )
    figure = Figure("figures/test_accuracy.png", f"Test accuracy at each point, n = {n}, with 95 % intervals.")
    blocks: list[Block] = [intro, accuracy_table(report), *_changes(report["test"]), figure]
    return [*blocks, *_by_category(report), *_by_type(report)]


def accuracy_table(report: Report) -> Table:
    """Accuracy and empty answers at each point, a row each for each number of exemplars."""
    test, points = report["test"], report["run"]["points"]
    found = {(row["point"], row["shots"]): row for row in test["accuracy"]}
    rows = []
    for shots in test["shots"]:
        cells = [found[point, shots] for point in points]
        rows.append([shots_cell(shots), "right", *(share(cell) for cell in cells)])
        if all("empty" in cell for cell in cells):  # reports made before empty answers were counted do not know
            rows.append([shots_cell(shots), "empty", *(_empty_cell(cell) for cell in cells)])
    heads = "exemplars in the prompt | answers | " + " | ".join(f"{point} >" for point in points)
    caption = (
        f"Test accuracy, n = {number(test['n'])} at each point. {INTERVALS} They take the questions as independent. "
        "*Empty*: nothing but spaces, which counts as wrong whatever the model knows."
    )
    if not any("empty" in row for row in test["accuracy"]):
        caption += " How many answers were empty was not counted in this run."
    return make_table(heads, rows, caption)


def _empty_cell(row: Mapping[str, Any]) -> str:
    return f"{number(row['empty'])} of {number(row['n'])}: {percent(row['empty'] / row['n'])}"


def _changes(test: Mapping[str, Any]) -> list[Block]:
    if all("clustered" in row for row in test["differences"]):
        return [INTRO, reading_table(test)]
    return [
        change_table(test),
        "**This report was made before kft knew that questions come in types.** Its intervals and p values take the "
        "questions as independent. Questions of one type share their exemplars, so the intervals are too narrow where "
        "types differ.",
    ]


def change_table(test: Mapping[str, Any]) -> Table:
    """Changes in accuracy between all pairs of points, on the same questions, by the reading that decides."""
    rows = []
    for row in test["differences"]:
        found = deciding(row)
        rows.append(
            [
                shots_cell(row["shots"]),
                f"{row['before']} → {row['after']}",
                number(row["gained"]),
                number(row["lost"]),
                difference(found),
                p_value(found["p"] if found is not row else row["mcnemar_p"]),
                p_value(found["holm_p"]),
            ]
        )
    caption = (
        "The same questions before and after. *Gained*: wrong before, right after. *Lost*: right before, wrong after. "
        f"*Change*: in percentage points, with its 95 % interval. {_tested_words(test)} *p, Holm*: corrected for all "
        "rows of this table."
    )
    return make_table("exemplars | from → to | gained > | lost > | change, points > | p > | p, Holm >", rows, caption)


def _tested_words(test: Mapping[str, Any]) -> str:
    readings = {str(found["reading"]) for found in map(deciding, test["differences"]) if "reading" in found}
    if readings:
        return f"Interval and p are for {' and '.join(sorted(readings))}: they know that questions come in clusters."
    return (
        "The interval is Newcombe's, for paired answers. *p*: how often chance alone would make gains and losses this "
        "unequal (McNemar's exact test)."
    )


def _by_category(report: Report) -> list[Block]:
    groups = report["test"]["by_category"]
    if groups is None:
        return [
            "**By first category: unknown.** The base model's categories of the test questions were not detected. This "
            "command detects them:",
            Code(f"{report['repeat']['command']} --set evaluation.first_categories=true", "sh"),
        ]
    words = (
        "**By first category**: the base model's category of each test question. These are shares only. With the "
        "exemplars of the detection, a HighlyKnown question was right by definition and can only get worse; a "
        "WeaklyKnown or Unknown question was wrong and can only get better. So any change of the answers, also a "
        "random one, moves the groups towards the middle, and no change is tested here. A test would need categories "
        "from other exemplars and samples than those that measure the change."
    )
    return [words, _group_table(report, "first category", report["test"]["shots"], groups, tested=False)]


def _by_type(report: Report) -> list[Block]:
    shots = report["test"]["shots"]
    words = f"**By type of question**, with {exemplars(shots[0])}:"
    groups = sorted(report["test"]["by_type"], key=lambda row: (-row["n"], row["group"]))
    rest = ", ".join(f"with {exemplars(count)}" for count in shots[1:])
    note = [f"The same table {rest} is in report.json under `test.by_type`."] if rest else []
    return [words, _group_table(report, "type", shots[:1], groups), *note]


def _group_table(
    report: Report, what: str, shots: Sequence[int], groups: Sequence[Mapping[str, Any]], *, tested: bool = True
) -> Table:
    points = report["run"]["points"]
    rows = [
        [
            *([shots_cell(row["shots"])] if len(shots) > 1 else []),
            visible(row["group"], 60),
            number(row["n"]),
            *(percent(row["accuracy"][point]["share"]) for point in points),
            *([difference(row), p_value(row["holm_p"])] if tested else []),
        ]
        for row in groups
        if row["shots"] in shots
    ]
    first = "exemplars | " if len(shots) > 1 else ""
    heads = f"{first}{what} | n > | " + " | ".join(f"{point} >" for point in points)
    if not tested:
        return make_table(heads, rows, "Accuracy at each point.")
    caption = (
        f"Accuracy at each point, and the change from {plain(points[0])} to {plain(points[-1])} in percentage points "
        "with its 95 % interval (Newcombe's). The p values of McNemar's test are corrected (Holm) for all types and "
        "numbers of exemplars, apart from the other tables."
    )
    return make_table(f"{heads} | change, points > | p, Holm >", rows, caption)
