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
)
from kft_cli.report.sections.readings import (
    GAINED,
    INTRO,
    SEEN,
    SHORT_SEEN,
    clear_cell,
    cluster_word,
    deciding,
    reading_table,
    short_clear_cell,
)
from kft_cli.report.sections.words import INTERVALS, Report, asking_cell, asking_words, no_other_type
from kft_tasks.visible_text import visible


def test_accuracy(report: Report) -> list[Block]:
    """Accuracy at each point, its changes, and both by first category and by type of question."""
    n = number(report["test"]["n"])
    figure = Figure("figures/test_accuracy.svg", f"Test accuracy at each point, n = {n} questions, 95 % intervals.")
    blocks: list[Block] = [_intro(report), accuracy_table(report), *_changes(report["test"]), figure]
    return [*blocks, _form(report), *_leaks(report), *_by_category(report), *_by_type(report)]


def _intro(report: Report) -> str:
    test = report["test"]
    first = [row for row in test["accuracy"] if row["point"] == "base"]
    ways = "; ".join(f"{asking_words(row)}, {_times(row.get('sets', 1))}" for row in first)
    several = any(row.get("sets", 1) > 1 for row in first)
    accuracy = "the mean of the questions' shares of right answers" if several else "the share of right answers"
    return (
        f"Each of the {number(test['n'])} test questions is answered greedily: {ways}. No stage trained on these "
        f"questions and no epoch was chosen by them. Accuracy is {accuracy}.{_other_draw(report)}"
    )


def _times(sets: int) -> str:
    return "once" if sets == 1 else f"once under each of {sets} exemplar sets"


def _other_draw(report: Report) -> str:
    seeds = report["repeat"]["seeds"]
    if seeds.get("test", seeds["protocol"]) == seeds["protocol"]:
        return ""
    return (
        f" The exemplars are drawn with seed {seeds['test']}; those that chose the training questions were drawn with "
        f"seed {seeds['protocol']}."
    )


def accuracy_table(report: Report) -> Table:
    """Accuracy and empty answers at each point, controls last, a row each for each way of asking."""
    test = report["test"]
    points = list(dict.fromkeys(row["point"] for row in test["accuracy"]))
    by_way: dict[tuple[int, bool], list[Mapping[str, Any]]] = {}
    for row in test["accuracy"]:
        by_way.setdefault((row["shots"], bool(row.get("other_type"))), []).append(row)
    rows = []
    for cells in by_way.values():
        rows.append([asking_cell(cells[0]), "right", *(share(cell) for cell in cells)])
        if all("empty" in cell for cell in cells):  # reports made before empty answers were counted do not know
            rows.append([asking_cell(cells[0]), "empty", *(_empty_cell(cell) for cell in cells)])
    heads = ["exemplars in the prompt", "answers", *(f"{point} >" for point in points)]
    return make_table(heads, rows, _accuracy_caption(test))


def _accuracy_caption(test: Mapping[str, Any]) -> str:
    rows = test["accuracy"]
    sets = sorted({row.get("sets", 1) for row in rows} - {1})
    mean = f", mean over {' or '.join(map(str, sets))} exemplar sets where the first column says so" if sets else ""
    caption = (
        f"*Right*: share of {number(test['n'])} questions at each point{mean}. {INTERVALS} {_interval_words(rows)}"
    )
    if not any("empty" in row for row in rows):
        return caption + " How many answers were empty was not counted in this run."
    return caption + " *Empty*: answers of nothing but spaces, which count as wrong whatever the model knows."


def _interval_words(rows: Sequence[Mapping[str, Any]]) -> str:
    readings = sorted({row["reading"] for row in rows if "reading" in row})
    if not readings:
        return "They take the questions as independent."
    return f"They are for {' or '.join(readings)} (jackknife over clusters, Student's t)."


def _empty_cell(row: Mapping[str, Any]) -> str:
    answers = row["n"] * row.get("sets", 1)
    return f"{number(row['empty'])} of {number(answers)}: {percent(row['empty'] / answers)}"


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
                asking_cell(row),
                f"{row['before']} → {row['after']}",
                number(row["gained"]),
                number(row["lost"]),
                difference(found),
                p_value(found["p"] if "p" in found else row["mcnemar_p"]),
                p_value(found["holm_p"]),
            ]
        )
    caption = (
        f"The same questions before and after. {GAINED} "
        f"*Change*: in percentage points, with its 95 % interval. {_tested_words(test)} *p, Holm*: corrected for all "
        "rows of this table."
    )
    return make_table("exemplars | from → to | gained > | lost > | change, points > | p > | p, Holm >", rows, caption)


def _tested_words(test: Mapping[str, Any]) -> str:
    readings = {str(found["reading"]) for found in map(deciding, test["differences"]) if found.get("reading")}
    if readings:
        return f"Interval and p are for {' and '.join(sorted(readings))}: they know that questions come in clusters."
    return (
        "The interval is Newcombe's, for paired answers. *p*: how often chance alone would make gains and losses this "
        "unequal (McNemar's exact test)."
    )


def _form(report: Report) -> str:
    missing = no_other_type(report)
    if missing:
        return f"**Form and knowledge**: a gain of form cannot be told from one of knowledge here, because {missing}."
    return (
        "**Form and knowledge**: exemplars of another type show how short an answer is and where it ends, and nothing "
        "about the type that is asked. A model that gains without exemplars, but not with exemplars of another type, "
        "has learned the form of an answer. A gain with exemplars of another type is more than learning to give short "
        "answers; it can still be learning what kind of answer a type of question has."
    )


def _leaks(report: Report) -> list[Block]:
    found = report["test"].get("trained_on")
    if found is None:  # an older report, which did not look
        return []
    unknown = found["n"] - found["with_subject"]
    only_text = f" The subject of {number(unknown)} test questions is unknown; only their text was compared."
    note = only_text if unknown else ""
    if not found["either"]:
        words = (
            "**Test questions that were trained on**: none. No training question has the text of a test question, or "
            f"its type and subject.{note}"
        )
        return [words]
    words = (
        f"**Test questions that were trained on**: {number(found['either'])} of {number(found['n'])} "
        f"({percent(found['either'] / found['n'])}). {number(found['by_text'])} have the text of a training question "
        f"(apart from letter case, spacing and the last mark), {number(found['by_subject'])} its type and subject; "
        f"some may have both. All other tables include them.{note}"
    )
    return [words, _leak_table(found["rows"])]


def _leak_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    cells = [
        [
            asking_cell(row),
            "trained on" if row["trained_on"] else "not trained on",
            number(row["n"]),
            percent(row["mean"]["before"]),
            percent(row["mean"]["after"]),
            f"{found['reading']} ({number(found['clusters'])} {cluster_word(found)})",
            difference(found),
            p_value(found["holm_p"]),
            clear_cell(found),
        ]
        for row in rows
        for found in row["clustered"].values()
    ]
    caption = (
        "Accuracy of the base model and after the last stage, without and with the questions that were trained on. "
        f"*Change*: in points, with its 95 % interval. *p, Holm*: corrected for all rows of the same reading in this "
        f"table. {SEEN}"
    )
    heads = "exemplars | test questions | n > | before > | after > | reading | change, points > | p, Holm >"
    return make_table(f"{heads} | clear for this reading?", cells, caption)


def _by_category(report: Report) -> list[Block]:
    groups = report["test"]["by_category"]
    if groups is None:
        return [
            "**By first category: unknown.** The base model's categories of the test questions were not detected. This "
            "command detects them:",
            Code(f"{report['repeat']['command']} --set evaluation.first_categories=true", "sh"),
        ]
    ways = list(dict.fromkeys(asking_cell(row) for row in groups))
    if groups and all("clustered" in row for row in groups):
        words = (
            "**By first category**: the base model's category of each test question. The categories come from other "
            "exemplars than the answers tested here, so a group does not move towards the middle by chance alone, and "
            "its change is tested."
        )
        return [words, _group_table(report, "first category", ways, groups, family="first categories")]
    words = (
        "**By first category**: the base model's category of each test question. These are shares only. With the "
        "exemplars of the detection, a HighlyKnown question was right by definition and can only get worse; a "
        "WeaklyKnown or Unknown question was wrong and can only get better. So any change of the answers, also a "
        "random one, moves the groups towards the middle, and no change is tested here. A test would need categories "
        "from other exemplars and samples than those that measure the change."
    )
    return [words, _group_table(report, "first category", ways, groups, family=None)]


def _by_type(report: Report) -> list[Block]:
    groups = sorted(report["test"]["by_type"], key=lambda row: (-row["n"], row["group"]))
    ways = {asking_cell(row): asking_words(row) for row in report["test"]["accuracy"]}
    shown, *others = ways
    rest = ", ".join(ways[way] for way in others)
    note = [f"The same table {rest} is in report.json under `test.by_type`."] if rest else []
    words = f"**By type of question**, {ways[shown]}:"
    return [words, _group_table(report, "type", [shown], groups, family="types"), *note]


def _group_table(
    report: Report, what: str, ways: Sequence[str], groups: Sequence[Mapping[str, Any]], *, family: str | None
) -> Table:
    """Accuracy of groups of questions at each point, and the tested change from the first to the last.

    Args:
        ways: the ways of asking to show.
        family: what p is corrected over, besides all ways of asking; None where nothing is tested.
    """
    points = report["run"]["points"]
    clustered = bool(groups) and all("clustered" in row for row in groups)
    rows = [
        [
            *([asking_cell(row)] if len(ways) > 1 else []),
            visible(row["group"], 60),
            number(row["n"]),
            *(percent(row["accuracy"][point]["share"]) for point in points),
            *([difference(row), p_value(row["holm_p"])] if family else []),
            *([short_clear_cell(row)] if family and clustered else []),
        ]
        for row in groups
        if asking_cell(row) in ways
    ]
    first = ["exemplars"] if len(ways) > 1 else []
    heads = [*first, what, "n >", *(f"{point} >" for point in points)]
    if family is None:
        return make_table(heads, rows, "Accuracy at each point.")
    span = f"Accuracy at each point, and the change from {plain(points[0])} to {plain(points[-1])} in percentage points"
    heads += ["change, points >", "p, Holm >"]
    if not clustered:  # a report of an older version
        caption = (
            f"{span} with its 95 % interval (Newcombe's). The p values of McNemar's test are corrected (Holm) for all "
            f"{family} and numbers of exemplars, apart from the other tables."
        )
        return make_table(heads, rows, caption)
    readings = " or ".join(sorted({row["reading"] for row in groups if row["reading"]}))
    caption = (
        f"{span} with its 95 % interval for {readings or 'no reading'}. p (signs of whole clusters flipped) is "
        f"corrected (Holm) for all {family} and ways of asking, apart from the other tables. {SHORT_SEEN}"
    )
    return make_table([*heads, "clear?"], rows, caption)
