"""The parts of a comparison that tell test accuracy: each run, pairs of runs, and several seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kft_cli.comparison.changes import INDEPENDENT
from kft_cli.comparison.comparability import Difference, listed
from kft_cli.display.tables import (
    NONE,
    Block,
    Table,
    difference,
    make_table,
    number,
    p_value,
    percent,
    plain,
    points,
    share,
)
from kft_cli.report.sections.readings import cluster_word
from kft_cli.stats.intervals import ALPHA, is_clear
from kft_cli.stats.power import POWER, Detectable

MARK = "†"
_READINGS = (
    "*Types like these*: would other types of questions show it too? There, a type comes or goes with all of its "
    "questions. *These types*: would other questions of the same types show it? A difference is called clear if it is "
    "clear for types like these, or for these types where there is only one: p is below 0.05 after correction and the "
    "interval does not contain 0."
)
_NO_GROUPS = (
    "*Independent questions*: none of these reports says of what type and subject a question is, so interval and test "
    "take questions as independent. They are too optimistic where questions of one type rise and fall together. Give a "
    "run folder, or a report written by this version of kft."
)
_SEEN = (
    f"*Not clear* comes with the difference that would have been seen {100 * POWER:.0f} % of the time, before any "
    "correction."
)
_SETS = " Under several exemplar sets, a question counts by its share of right answers."
_UNGROUPED_CHANGE = f" {MARK} The report takes questions as independent, which is too optimistic."


def accuracy_blocks(comparison: Mapping[str, Any]) -> list[Block]:
    """Test accuracy of each run, and every run against the first."""
    rows = [
        [
            row["run"],
            asking_cell(row),
            row["scorer"],
            number(row["last"]["n"]),
            _share(row["base"]),
            _share(row["last"]),
            _change_cell(row["change"]),
        ]
        for row in comparison["test"]
    ]
    caption = (
        "Accuracy with its 95 % interval. The change is on the same questions, in percentage points with its interval."
    )
    if any(row["sets"] > 1 for row in comparison["test"]):
        caption += _SETS
    if any(row["change"] and row["change"]["reading"] == INDEPENDENT for row in comparison["test"]):
        caption += _UNGROUPED_CHANGE
    heads = "run | exemplars | scored by | n > | base > | last stage > | change >"
    return [make_table(heads, rows, caption), *_scored_again(comparison), *_paired_blocks(comparison)]


def asking_cell(row: Mapping[str, Any]) -> str:
    """How the questions of a row were asked: "4", "4 (10 sets)", "4 of another type"."""
    if row["other_type"]:
        return f"{row['shots']} of another type"
    sets = row.get("sets", 1)
    return f"{row['shots']} ({sets} sets)" if sets > 1 else str(row["shots"])


def _share(values: Mapping[str, Any]) -> str:
    return percent(values["share"]) if values["low"] is None else share(values)


def _change_cell(change: Mapping[str, Any] | None) -> str:
    if change is None:
        return NONE
    return _difference(change) + (f" {MARK}" if change["reading"] == INDEPENDENT else "")


def _difference(values: Mapping[str, Any]) -> str:
    return points(values["difference"]) if values["low"] is None else difference(values)


def _scored_again(comparison: Mapping[str, Any]) -> list[Block]:
    """Runs whose answers are not scored by their own rule, and those that keep it because nothing else is possible."""
    rule = comparison["scorer"]
    own = {row["run"]: row["own_scorer"] for row in comparison["test"] if row["scorer"] != row["own_scorer"]}
    kept = {row["run"]: row["scorer"] for row in comparison["test"] if row["scorer"] != rule}
    blocks: list[Block] = []
    if own:
        runs = ", ".join(f"{plain(name)} ({plain(scorer)})" for name, scorer in own.items())
        blocks.append(
            f"*Scored again* by {plain(rule)}, in brackets the run's own rule: {runs}. The run's own rule still "
            "decided the categories, the mixtures and the epochs."
        )
    if kept:
        runs = ", ".join(f"{plain(name)} ({plain(scorer)})" for name, scorer in kept.items())
        blocks.append(
            f"*Not scored* by {plain(rule)}, because a report holds no answers to score again: {runs}. Do not compare "
            "their accuracy with that of the other runs."
        )
    return blocks


def _paired_blocks(comparison: Mapping[str, Any]) -> list[Block]:
    pairs = comparison["paired"]
    if not pairs:
        return []
    tested = [row for row in pairs if row["paired"]]
    caption = (
        "Every run against the first, after their last stages, question by question. *Gained* and *lost*: questions "
        "with a larger and with a smaller share of right answers. *Difference*: percentage points with its 95 % "
        "interval (jackknife over clusters). *p*: sign flips of whole clusters. "
        f"{_family(len(tested))} {_reading_words(tested)}This compares these runs only. Whether the recipes differ, "
        "only several seeds can show."
    )
    if len(tested) < len(pairs):
        caption += (
            " *Not tested*: a difference could come from how the questions were asked or scored, whatever the training "
            "did. Such rows have no p and are not in the family."
        )
    heads = "from → to | exemplars | n > | gained > | lost > | reading | difference > | p, Holm > | clear?"
    table = make_table(heads, [cells for row in pairs for cells in _paired_rows(row)], caption)
    return ["**Compared with the first run**", table, *_named_differences(tested)]


def _reading_words(tested: Sequence[Mapping[str, Any]]) -> str:
    """What the readings in a table are, and what stands beside "not clear"; nothing where nothing was tested."""
    if not tested:
        return ""
    return f"{_NO_GROUPS if any(INDEPENDENT in row['clustered'] for row in tested) else _READINGS} {_SEEN} "


def _family(tests: int, *, readings: bool = True) -> str:
    """Which tests the Holm correction covers."""
    if tests == 0:
        return "No test was possible, so there is nothing to correct."
    apart = ", for each reading apart" if readings else ""
    if tests == 1:
        return f"Holm's correction covers the tests of this table{apart}; there is only one, so its p is not changed."
    return f"Holm's correction covers the {tests} tests of this table and no others{apart}."


def _paired_rows(row: Mapping[str, Any]) -> list[list[str]]:
    start = [f"{row['from']} → {row['to']}", asking_cell(row)]
    if not row["paired"]:
        return [[*start, NONE, NONE, NONE, NONE, row["reason"], NONE, NONE]]
    counts = [number(row[key]) for key in ("n", "gained", "lost")]
    return [
        [*start, *counts, _reading_cell(found), _difference(found), p_value(found["holm_p"]), _clear_cell(found)]
        for found in row["clustered"].values()
    ]


def _reading_cell(found: Mapping[str, Any]) -> str:
    if found["reading"] == INDEPENDENT:
        return INDEPENDENT
    return f"{found['reading']} ({number(found['clusters'])} {cluster_word(found)})"


def _clear_cell(found: Mapping[str, Any]) -> str:
    """Whether a difference is clear under a reading, and what would have been seen where it is not."""
    if found["holm_p"] is None:
        return f"not tested. {found['reason']}"
    if is_clear(found["holm_p"], found["low"], found["high"]):
        return "clear"
    words = f"not clear: {_seen(found)}"
    if found["changed"] and found["smallest_p"] >= ALPHA:
        words += f"; so few {cluster_word(found)} changed that p could not go below {found['smallest_p']:.2g}"
    return words


def _seen(found: Mapping[str, Any]) -> str:
    told = Detectable(**found["detectable"])
    if told.effect is None:
        return f"what would have been seen is unknown. {told.reason}"
    return f"{100 * told.effect:.1f} points would have been seen"


def _named_differences(tested: Sequence[Mapping[str, Any]]) -> list[Block]:
    """What else differs between runs that were tested against each other."""
    lines = {
        row["to"]: f"- {plain(row['to'])}: {plain(listed([Difference(**one) for one in row['differs']]))}"
        for row in tested
        if row["differs"]
    }
    if not lines:
        return []
    intro = "Tested although these differ too. The test shows that the runs differ, not which of this is the reason:"
    return ["\n".join([intro, "", *lines.values()])]


def seed_blocks(comparison: Mapping[str, Any]) -> list[Block]:
    """Runs that differ only in their seed, and one group of seeds against another."""
    return [*([_seed_table(comparison["seeds"])] if comparison["seeds"] else []), *_arm_blocks(comparison["arms"])]


def _seed_table(seeds: Sequence[Mapping[str, Any]]) -> Table:
    rows = [
        [
            ", ".join(row["runs"]),
            asking_cell(row),
            number(row["accuracy"]["n"]),
            _mean(row["accuracy"], f"{100 * row['accuracy']['mean']:.1f}"),
            *cells,
        ]
        for row in seeds
        for cells in _change_cells(row)
    ]
    caption = (
        "Runs that differ only in their seed. Mean ± sample standard deviation over seeds; the change from the base "
        f"model to the last stage is in percentage points. {_seed_words(seeds)}"
    )
    heads = "runs | exemplars | seeds > | last stage, % > | change > | smallest to largest >"
    return make_table(f"{heads} | reading | interval of the mean > | p, Holm > | clear?", rows, caption)


def _arm_blocks(arms: Sequence[Mapping[str, Any]]) -> list[Block]:
    if not arms:
        return []
    rows = []
    for row in arms:
        start = [f"{', '.join(row['from'])} → {', '.join(row['to'])}", asking_cell(row), number(len(row["seeds"]))]
        if row["paired"]:
            rows += [[*start, *cells] for cells in _change_cells(row)]
        else:
            rows.append([*start, NONE, NONE, NONE, row["reason"], NONE, NONE])
    tested = [row for row in arms if row["paired"]]
    caption = (
        "The first group of seeds against every other one, after the last stage: percentage points, paired by seed and "
        f"question. {_seed_words(tested)}"
    )
    if left := dict.fromkeys(plain(name) for row in tested for name in row["left_out"]):
        caption += f" Left out, because the other group has no run of the same seed: {', '.join(left)}."
    heads = "from → to | exemplars | pairs of seeds > | difference > | smallest to largest > | reading"
    table = make_table(f"{heads} | interval of the mean > | p, Holm > | clear?", rows, caption)
    return ["**One group of seeds against another**", table]


def _seed_words(rows: Sequence[Mapping[str, Any]]) -> str:
    """What interval and p over seeds are, and what the numbers of seeds in a table can and cannot show."""
    if not rows:
        return _family(0)
    reach = " ".join(dict.fromkeys(row["reach"] for row in rows))
    if any(row["p"] is None for row in rows):
        reach += " Where p is out of reach, none is shown."
    words = (
        "The 95 % interval is for other seeds and other clusters of questions together (seeds and clusters cross). "
        f"*p*: two-sided sign-flip test over seeds, the same for both readings. {reach}"
    )
    if tests := sum(row["p"] is not None for row in rows):
        words += f" {_family(tests, readings=False)}"
    return f"{words} {_reading_words(rows)}".strip()


def _change_cells(row: Mapping[str, Any]) -> list[list[str]]:
    """Change, range, reading, interval, p and whether it is clear: one line for each reading."""
    change = row["change"]
    start = [_mean(change, points(change["mean"])), f"{points(change['least'])} to {points(change['most'])}"]
    return [
        [*start, _reading_cell(found), _interval(found), p_value(row["holm_p"]), _seeds_clear_cell(row, found)]
        for found in row["clustered"].values()
    ]


def _seeds_clear_cell(row: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    if found["low"] is None:
        return f"no interval. {found['reason']}"
    if row["holm_p"] is not None and is_clear(row["holm_p"], found["low"], found["high"]):
        return "clear"
    if row["holm_p"] is None and not found["low"] <= 0 <= found["high"]:
        return "not tested: too few seeds for p, though the interval does not contain 0"
    verdict = "not tested: too few seeds for p" if row["holm_p"] is None else "not clear"
    return f"{verdict}; {_seen(found)}"


def _interval(values: Mapping[str, Any]) -> str:
    return NONE if values["low"] is None else f"{points(values['low'])} to {points(values['high'])}"


def _mean(values: Mapping[str, Any], mean: str) -> str:
    return mean if values["deviation"] is None else f"{mean} ± {100 * values['deviation']:.1f}"
