"""The verdict at the top of a report: what a reader wants to know first, in words computed from numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kft_cli.display.tables import number, p_value, percent, points

Report = Mapping[str, Any]


def verdict(report: Report) -> str:
    """A headline and one paragraph."""
    sentences = [
        *_test_sentences(report),
        *_form_sentence(report),
        _validation_sentence(report),
        _movement_sentence(report),
    ]
    sentences.append(_control_sentence(report))
    return f"**{headline(report)}**\n\n" + " ".join(sentences)


def headline(report: Report) -> str:
    """One sentence: did the test accuracy rise, by number of exemplars in the prompt."""
    outcomes: dict[str, list[int]] = {}
    for row in report["verdict"]["test"]:
        outcomes.setdefault(row["outcome"], []).append(row["shots"])
    words = {"rose": "rose", "fell": "fell", "no clear change": "did not clearly change"}
    parts = [f"{words[name]} {_with_shots(shots)}" for name, shots in outcomes.items()]
    if len(outcomes) == 1:
        return f"Test accuracy {words[next(iter(outcomes))]} from the base model to {report['run']['points'][-1]}."
    return f"From the base model to {report['run']['points'][-1]}, test accuracy {', and '.join(parts)}."


def _with_shots(shots: Sequence[int]) -> str:
    return "with " + " and ".join(str(number) if number else "no" for number in shots) + " exemplars in the prompt"


def _test_sentences(report: Report) -> list[str]:
    last = report["run"]["points"][-1]
    sentences = []
    rows = [row for row in report["test"]["differences"] if (row["before"], row["after"]) == ("base", last)]
    for index, row in enumerate(rows):
        before, after = row["both"] + row["lost"], row["both"] + row["gained"]
        exemplars = f"{row['shots'] or 'no'} exemplars"
        gloss = " (worked examples) in the prompt" if index == 0 else ""
        interval = f"95 % interval {points(row['low'])} to {points(row['high'])}"
        notes = f"{interval}, Holm-corrected McNemar p {_p(row['holm_p'])}"
        sentences.append(
            f"With {exemplars}{gloss}, the base model answered {number(before)} of {number(row['n'])} test questions "
            f"right and the model after {last} {number(after)}: "
            f"{points(row['difference'])} percentage points ({notes})."
        )
    return sentences


def _form_sentence(report: Report) -> list[str]:
    """A warning where the untrained model fails without exemplars at questions that it answers with them."""
    outcomes = {row["shots"]: row["outcome"] for row in report["verdict"]["test"]}
    base = {row["shots"]: row for row in report["test"]["accuracy"] if row["point"] == "base"}
    most = max(base)
    if outcomes.get(0) != "rose" or most == 0 or base[0]["high"] >= base[most]["low"]:
        return []
    return [
        "Much of the gain without exemplars may be the form of an answer, and not knowledge: shown "
        f"{most} exemplars, the untrained model already answered {number(base[most]['count'])} of them right."
    ]


def _p(value: float) -> str:
    text = p_value(value)
    return text if text.startswith("<") else f"= {text}"


def _validation_sentence(report: Report) -> str:
    before, after = report["verdict"]["validation"]["before"], report["verdict"]["validation"]["after"]
    verb = "rose" if after["count"] > before["count"] else "did not rise"
    return (
        f"Validation accuracy {verb}: {percent(before['share'])} before training, {percent(after['share'])} at the end "
        f"(n = {number(after['n'])}; epochs were chosen by these questions, so that the number flatters)."
    )


def _movement_sentence(report: Report) -> str:
    moved = report["transitions"][-1]["movement"]
    up, forgotten = moved["upgraded"], moved["forgotten"]
    return (
        f"Of the {number(up['n'])} training questions that could rise, {number(up['count'])} ({percent(up['share'])}) "
        f"were upgraded, that is, got a better mastery category; of the {number(forgotten['n'])} HighlyKnown ones "
        f"(right with every prompt) {number(forgotten['count'])} ({percent(forgotten['share'])}) were forgotten, "
        "that is, are HighlyKnown no longer."
    )


def _control_sentence(report: Report) -> str:
    control, against = report["control"], report["transitions"][-1]["against_control"]
    if control is None or against is None:
        return "**No control was run**, so how much of this is noise of the detection is not known (see below)."
    moved = control["movement"]
    return (
        "Asking the untrained model once more, with other exemplars and samples, moves questions too, by chance: "
        f"{percent(moved['upgraded']['share'])} upgraded, {percent(moved['forgotten']['share'])} forgotten. "
        f"Compared with that on the same questions, training upgraded {_against(against['upgraded'])} "
        f"and forgot {_against(against['forgotten'])}."
    )


def _against(row: Mapping[str, Any]) -> str:
    if row["difference"] is None:
        return "nothing, for there was nothing to move"
    clear = row["holm_p"] < 0.05 and (row["low"] > 0 or row["high"] < 0)
    word = "not clearly more or less" if not clear else "more" if row["difference"] > 0 else "less"
    return f"{word} ({points(row['difference'])} points, 95 % interval {points(row['low'])} to {points(row['high'])})"
