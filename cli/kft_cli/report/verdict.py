"""The verdict at the top of a report: what a reader wants to know first, in words computed from numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kft_cli.display.tables import number, p_value, percent, points
from kft_cli.report.sections.measured import verdict_sentences
from kft_cli.report.sections.readings import deciding, is_clear_change, unclear_words
from kft_cli.report.sections.words import Report, exemplars

_OUTCOMES = {"rose": "rose", "fell": "fell", "no clear change": "did not clearly change"}

EMPTY_SHARE = 0.1
"""From this share of empty answers of the base model on, a gain is said to be of form."""


def verdict(report: Report) -> str:
    """A headline, then what the test says, what validation was for, and how the training questions moved."""
    paragraphs = (
        f"**{headline(report)}**",
        " ".join(_test_sentences(report)),
        _validation_sentence(report),
        f"{_movement_sentences(report)} {_retest_sentences(report)}",
    )
    return "\n\n".join(paragraphs)


def headline(report: Report) -> str:
    """Whether test accuracy rose, for each number of exemplars in the prompt; a gain of form is called one."""
    formal = [shots for shots in report["test"]["shots"] if _form_sentence(report, shots)]
    outcomes: dict[str, list[int]] = {}
    for row in report["verdict"]["test"]:
        if row["shots"] not in formal:
            outcomes.setdefault(row["outcome"], []).append(row["shots"])
    sentences = [_outcome_sentence(report, outcomes, everywhere=not formal)] if outcomes else []
    return " ".join([*sentences, *(_form_sentence(report, shots) for shots in formal)])


def _outcome_sentence(report: Report, outcomes: Mapping[str, Sequence[int]], *, everywhere: bool) -> str:
    span = f"from the base model to {report['run']['points'][-1]}"
    if everywhere and len(outcomes) == 1:
        return f"Test accuracy {_OUTCOMES[next(iter(outcomes))]} {span}."
    parts = [f"{_OUTCOMES[name]} {_with_shots(shots)}" for name, shots in outcomes.items()]
    return f"F{span[1:]}, test accuracy {' and '.join(parts)}."


def _with_shots(shots: Sequence[int]) -> str:
    if len(shots) == 1:
        return f"with {exemplars(shots[0])}" + (" in the prompt" if shots[0] else "")
    return "with " + " and ".join(str(count) if count else "no" for count in shots) + " exemplars in the prompt"


def _last_differences(report: Report) -> list[Mapping[str, Any]]:
    """Changes from the base model to the last stage, one for each number of exemplars."""
    last = report["run"]["points"][-1]
    return [row for row in report["test"]["differences"] if (row["before"], row["after"]) == ("base", last)]


def _test_sentences(report: Report) -> list[str]:
    last = report["run"]["points"][-1]
    sentences = []
    for index, row in enumerate(_last_differences(report)):
        before, after = row["both"] + row["lost"], row["both"] + row["gained"]
        gloss = " (worked examples) in the prompt" if index == 0 else ""
        sentences.append(
            f"With {exemplars(row['shots'])}{gloss}, the base model answered {number(before)} of {number(row['n'])} "
            f"test questions right; after {last} it answered {number(after)}: {points(row['difference'])} "
            f"percentage points ({_tested(row)}).{_unclear_sentence(row)}"
        )
    return sentences


def _tested(row: Mapping[str, Any]) -> str:
    """Interval and corrected p by the reading that decides, which is named."""
    found = deciding(row)
    reading, test = ("", "McNemar ") if found is row else (f"for {found['reading']}: ", "")
    interval = f"95 % interval {points(found['low'])} to {points(found['high'])}"
    return f"{reading}{interval}, Holm-corrected {test}p {_p(found['holm_p'])}"


def _unclear_sentence(row: Mapping[str, Any]) -> str:
    found = deciding(row)
    if found is row or is_clear_change(row):
        return ""
    return f" This is not clear: {unclear_words(found)}."


def _form_sentence(report: Report, shots: int) -> str:
    """Why a gain may be the form of the answers and no knowledge; "" where there is no gain or no sign of that.

    Two signs: the base model often answered nothing at all; or, where a report did not count that, it failed without
    exemplars on questions that it answers with them.
    """
    outcomes = {row["shots"]: row["outcome"] for row in report["verdict"]["test"]}
    base = {row["shots"]: row for row in report["test"]["accuracy"] if row["point"] == "base"}
    if outcomes.get(shots) != "rose":
        return ""
    own, most = base[shots], base[max(base)]
    gain = f"The gain with {exemplars(shots)}"
    if own.get("empty", 0) >= EMPTY_SHARE * own["n"]:
        return (
            f"{gain} is {_how_much_is_form(report, shots)} the form of the answers: {number(own['empty'])} of "
            f"{number(own['n'])} answers of the base model were empty."
        )
    if shots == 0 and own["high"] < most["low"]:
        return (
            f"{gain} may be the form of the answers rather than knowledge: the base model answered "
            f"{number(own['count'])} of {number(own['n'])} right without exemplars and already "
            f"{number(most['count'])} with {most['shots']}."
        )
    return ""


def _how_much_is_form(report: Report, shots: int) -> str:
    """By how many of the questions gained had an empty answer before."""
    row = next(row for row in _last_differences(report) if row["shots"] == shots)
    return "mostly" if 2 * row["gained_from_empty"] > row["gained"] else "in part"


def _p(value: float) -> str:
    text = p_value(value)
    return text if text.startswith("<") else f"= {text}"


def _validation_sentence(report: Report) -> str:
    """What the validation split did, and nothing about how it scored: the best of several epochs rises by itself."""
    n = number(report["run"]["questions"]["validation"])
    return f"Epochs were chosen on {n} validation questions; the scores there are not evidence."


def _movement_sentences(report: Report) -> str:
    if report.get("measured"):
        return verdict_sentences(report)
    moved = report["transitions"][-1]["movement"]
    up, forgotten = moved["upgraded"], moved["forgotten"]
    return (
        f"Of the {number(up['n'])} training questions whose mastery category could rise, {number(up['count'])} "
        f"({percent(up['share'])}) were upgraded. Of the {number(forgotten['n'])} HighlyKnown questions, which the "
        f"base model got right with every prompt, {number(forgotten['count'])} ({percent(forgotten['share'])}) were "
        "forgotten: they are no longer HighlyKnown."
    )


def _retest_sentences(report: Report) -> str:
    """How often a category changes by measurement alone: a description, no yardstick for training."""
    control = report["control"]
    if control is None:
        return (
            "**The base model was detected only once**, so it is unknown how often a category changes by measurement "
            "alone (see below)."
        )
    moved = control["movement"]
    if report.get("measured"):
        changed = moved["n"] - moved["unchanged"]["count"]
        return (
            f"Asked with these other exemplars, {number(changed)} of {number(moved['n'])} categories of the untrained "
            "model came out different: that much is measurement alone."
        )
    return (
        "Categories also change by measurement alone: when the untrained model was asked again with other exemplars "
        f"and samples, {percent(moved['upgraded']['share'])} were upgraded and {percent(moved['forgotten']['share'])} "
        "forgotten. A fair comparison with training would need independent draws at every point, which this run does "
        "not have."
    )
