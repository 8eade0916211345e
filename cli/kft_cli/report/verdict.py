"""The verdict at the top of a report: what a reader wants to know first, in words computed from numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kft_cli.display.tables import number, p_value, percent, points
from kft_cli.report.sections.words import Report, exemplars
from kft_cli.stats.intervals import is_clear

_OUTCOMES = {"rose": "rose", "fell": "fell", "no clear change": "did not clearly change"}


def verdict(report: Report) -> str:
    """A headline, then what the test says, what validation was for, and how the training questions moved."""
    paragraphs = (
        f"**{headline(report)}**",
        " ".join([*_test_sentences(report), *_form_sentence(report)]),
        _validation_sentence(report),
        f"{_movement_sentences(report)} {_control_sentences(report)}",
    )
    return "\n\n".join(paragraphs)


def headline(report: Report) -> str:
    """One sentence: whether test accuracy rose, for each number of exemplars in the prompt."""
    outcomes: dict[str, list[int]] = {}
    for row in report["verdict"]["test"]:
        outcomes.setdefault(row["outcome"], []).append(row["shots"])
    span = f"from the base model to {report['run']['points'][-1]}"
    if len(outcomes) == 1:
        return f"Test accuracy {_OUTCOMES[next(iter(outcomes))]} {span}."
    parts = [f"{_OUTCOMES[name]} {_with_shots(shots)}" for name, shots in outcomes.items()]
    return f"F{span[1:]}, test accuracy {' and '.join(parts)}."


def _with_shots(shots: Sequence[int]) -> str:
    if len(shots) == 1:
        return f"with {exemplars(shots[0])}" + (" in the prompt" if shots[0] else "")
    return "with " + " and ".join(str(count) if count else "no" for count in shots) + " exemplars in the prompt"


def _test_sentences(report: Report) -> list[str]:
    last = report["run"]["points"][-1]
    sentences = []
    rows = [row for row in report["test"]["differences"] if (row["before"], row["after"]) == ("base", last)]
    for index, row in enumerate(rows):
        before, after = row["both"] + row["lost"], row["both"] + row["gained"]
        gloss = " (worked examples) in the prompt" if index == 0 else ""
        sentences.append(
            f"With {exemplars(row['shots'])}{gloss}, the base model answered {number(before)} of {number(row['n'])} "
            f"test questions right; after {last} it answered {number(after)}: {points(row['difference'])} "
            f"percentage points ({_interval(row)}, Holm-corrected McNemar p {_p(row['holm_p'])})."
        )
    return sentences


def _interval(row: Mapping[str, Any]) -> str:
    return f"95 % interval {points(row['low'])} to {points(row['high'])}"


def _form_sentence(report: Report) -> list[str]:
    """A warning where the untrained model fails without exemplars on questions that it answers with them."""
    outcomes = {row["shots"]: row["outcome"] for row in report["verdict"]["test"]}
    base = {row["shots"]: row for row in report["test"]["accuracy"] if row["point"] == "base"}
    shots = max(base)
    if outcomes.get(0) != "rose" or shots == 0 or base[0]["high"] >= base[shots]["low"]:
        return []
    return [
        "Much of the gain without exemplars may be the form of the answers rather than knowledge: with "
        f"{exemplars(shots)}, the untrained model already answered {number(base[shots]['count'])} right."
    ]


def _p(value: float) -> str:
    text = p_value(value)
    return text if text.startswith("<") else f"= {text}"


def _validation_sentence(report: Report) -> str:
    """What the validation split did, and nothing about how it scored: the best of several epochs rises by itself."""
    n = number(report["run"]["questions"]["validation"])
    return f"Epochs were chosen on {n} validation questions; the scores there are not evidence."


def _movement_sentences(report: Report) -> str:
    moved = report["transitions"][-1]["movement"]
    up, forgotten = moved["upgraded"], moved["forgotten"]
    return (
        f"Of the {number(up['n'])} training questions whose mastery category could rise, {number(up['count'])} "
        f"({percent(up['share'])}) were upgraded. Of the {number(forgotten['n'])} HighlyKnown questions, which the "
        f"base model got right with every prompt, {number(forgotten['count'])} ({percent(forgotten['share'])}) were "
        "forgotten: they are no longer HighlyKnown."
    )


def _control_sentences(report: Report) -> str:
    control, against = report["control"], report["transitions"][-1]["against_control"]
    if control is None or against is None:
        return "**No control was run**, so it is unknown how much of this is noise of the detection (see below)."
    moved = control["movement"]
    return (
        "Questions also move by chance: when the untrained model was asked again with other exemplars and samples, "
        f"{percent(moved['upgraded']['share'])} were upgraded and {percent(moved['forgotten']['share'])} forgotten. "
        f"Compared with this control on the same questions, training upgraded {_against(against['upgraded'])} and "
        f"forgot {_against(against['forgotten'])}."
    )


def _against(row: Mapping[str, Any]) -> str:
    if row["difference"] is None:
        return "none, because there was nothing to move"
    word = "neither clearly more nor clearly fewer"
    if is_clear(row["holm_p"], row["low"], row["high"]):
        word = "more" if row["difference"] > 0 else "fewer"
    return f"{word} ({points(row['difference'])} points, {_interval(row)})"
