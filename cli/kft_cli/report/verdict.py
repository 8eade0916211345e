"""The verdict at the top of a report: what a reader wants to know first, in words computed from numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kft_cli.display.tables import number, percent, plain, points
from kft_cli.report.sections.measured import verdict_sentences
from kft_cli.report.sections.readings import OUTCOMES, deciding, is_clear_change, outcome, unclear_words
from kft_cli.report.sections.words import Report, asking_words, exemplars, no_other_type, p_words

EMPTY_SHARE = 0.1
"""From this share of empty answers of the base model on, a gain is said to be of form."""


def verdict(report: Report) -> str:
    """A headline, then what the test says, what validation was for, and how the training questions moved."""
    if not report.get("measured"):
        paragraphs = (
            f"**{headline(report)}**",
            " ".join(_test_sentences(report)),
            _validation_sentence(report),
            f"{_movement_sentences(report)} {_retest_sentences(report)}",
        )
        return "\n\n".join(paragraphs)
    return "\n\n".join(
        (
            f"**{headline(report)}**",
            "On the test questions:",
            _bullets(_test_sentences(report)),
            "On the training questions:",
            _bullets(verdict_sentences(report)),
            f"{_validation_sentence(report)} {_retest_sentences(report)}",
        )
    )


def _bullets(sentences: Sequence[str]) -> str:
    return "\n".join(f"- {sentence}" for sentence in sentences)


def headline(report: Report) -> str:
    """What the run was made to find out: the main comparisons, clear ones first; a gain of form is called one.

    Reports of older versions, without a measurement, say whether test accuracy rose for each number of exemplars.
    """
    formal = [shots for shots in report["test"]["shots"] if _form_sentence(report, shots)]
    if report.get("measured"):
        found = _main_findings(report, formal)
        span = f"From the base model to {report['run']['points'][-1]}"
        sentence = f"{span}, {_listed([words for _, words in sorted(found, key=lambda one: not one[0])])}."
        return " ".join([sentence, *(_form_sentence(report, shots) for shots in formal)])
    outcomes: dict[str, list[int]] = {}
    for row in report["verdict"]["test"]:
        if row["shots"] not in formal:
            outcomes.setdefault(row["outcome"], []).append(row["shots"])
    sentences = [_outcome_sentence(report, outcomes, everywhere=not formal)] if outcomes else []
    return " ".join([*sentences, *(_form_sentence(report, shots) for shots in formal)])


def _main_findings(report: Report, formal: Sequence[int]) -> list[tuple[bool, str]]:
    """The main comparisons of the test and of the training questions: whether each is clear, and what it came to."""
    named = [
        (f"test accuracy {_in_way(row)}", row, _means(row))
        for row in _last_differences(report)
        if (not formal if row.get("other_type") else row["shots"] not in formal)
    ]
    everything = next(row for row in report["measured"]["changes"][-1]["rows"] if row["group"] == "all")
    named.append(("the share of right answers to the training questions", everything, everything))
    return [(is_clear_change(row), f"{name} {_came_to(row, means)}") for name, row, means in named]


def _means(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Shares of right answers before and after; from the counts where each question has one answer."""
    counted: Mapping[str, Any] = row.get("mean") or {
        "before": (row["both"] + row["lost"]) / row["n"],
        "after": (row["both"] + row["gained"]) / row["n"],
    }
    return counted


def _in_way(row: Mapping[str, Any]) -> str:
    if row.get("other_type"):
        return f"with {exemplars(row['shots'])} of another type in the prompt"
    return _with_shots([row["shots"]])


def _came_to(row: Mapping[str, Any], means: Mapping[str, Any]) -> str:
    """Such as "rose (36.4 % -> 46.4 %, +10.0 points)"; where it is not clear, with what would have been seen."""
    span = f"{percent(means['before'])} → {percent(means['after'])}, {points(deciding(row)['difference'])} points"
    seen = deciding(row).get("detectable", {}).get("effect") if not is_clear_change(row) else None
    needed = "" if seen is None else f"; a change of {100 * seen:.1f} would have been seen 80 % of the time"
    return f"{OUTCOMES[outcome(row)]} ({span}{needed})"


def _listed(parts: Sequence[str]) -> str:
    return f"{', '.join(parts[:-1])}, and {parts[-1]}" if len(parts) > 1 else parts[0]


def _outcome_sentence(report: Report, outcomes: Mapping[str, Sequence[int]], *, everywhere: bool) -> str:
    span = f"from the base model to {plain(report['run']['points'][-1])}"
    if everywhere and len(outcomes) == 1:
        return f"Test accuracy {OUTCOMES[next(iter(outcomes))]} {span}."
    parts = [f"{OUTCOMES[name]} {_with_shots(shots)}" for name, shots in outcomes.items()]
    return f"F{span[1:]}, test accuracy {' and '.join(parts)}."


def _with_shots(shots: Sequence[int]) -> str:
    if len(shots) == 1:
        return f"with {exemplars(shots[0])}" + (" in the prompt" if shots[0] else "")
    return "with " + " and ".join(str(count) if count else "no" for count in shots) + " exemplars in the prompt"


def _last_differences(report: Report) -> list[Mapping[str, Any]]:
    """Changes from the base model to the last stage, one for each way of asking."""
    last = report["run"]["points"][-1]
    return [row for row in report["test"]["differences"] if (row["before"], row["after"]) == ("base", last)]


def _test_sentences(report: Report) -> list[str]:
    last = plain(report["run"]["points"][-1])
    sentences = []
    for index, row in enumerate(_last_differences(report)):
        gloss = " (worked examples) in the prompt" if index == 0 and row["shots"] else ""
        before, after = _right_words(row)
        way = asking_words(row)
        sentences.append(
            f"{way[0].upper()}{way[1:]}{gloss}, the base model answered {before} right; after {last} it answered "
            f"{after}: {points(row['difference'])} percentage points ({_tested(row)}).{_unclear_sentence(row)}"
        )
    return sentences


def _right_words(row: Mapping[str, Any]) -> tuple[str, str]:
    """Right answers before and after: counts of questions, or mean shares where a question has several answers."""
    if "both" in row:  # one answer per question
        before, after = row["both"] + row["lost"], row["both"] + row["gained"]
        return f"{number(before)} of {number(row['n'])} test questions", number(after)
    before, after = percent(row["mean"]["before"]), percent(row["mean"]["after"])
    return f"{before} of {number(row['n'])} test questions (mean over {row['sets']} exemplar sets)", after


def _tested(row: Mapping[str, Any]) -> str:
    """Interval and corrected p by the reading that decides, which is named."""
    found = deciding(row)
    if found["holm_p"] is None:
        return "not tested: one subject only cannot show how subjects differ"
    reading, test = ("", "McNemar ") if found is row else (f"for {found['reading']}: ", "")
    interval = f"95 % interval {points(found['low'])} to {points(found['high'])}"
    return f"{reading}{interval}, Holm-corrected {test}p {p_words(found['holm_p'])}"


def _unclear_sentence(row: Mapping[str, Any]) -> str:
    found = deciding(row)
    if found is row or is_clear_change(row):
        return ""
    return f" This is not clear: {unclear_words(found)}."


def _form_sentence(report: Report, shots: int) -> str:
    """Why a gain may be the form of the answers and no knowledge; "" where there is no gain or no sign of that.

    Two signs: the base model often answered nothing at all; or it failed without exemplars on questions that it
    answers with them.
    """
    outcomes = {row["shots"]: row["outcome"] for row in report["verdict"]["test"]}
    rows = [row for row in report["test"]["accuracy"] if row["point"] == "base" and not row.get("other_type")]
    base = {row["shots"]: row for row in rows}
    if outcomes.get(shots) != "rose":
        return ""
    own, most = base[shots], base[max(base)]
    gain = f"The gain with {exemplars(shots)}"
    answers = own["n"] * own.get("sets", 1)
    if own.get("empty", 0) >= EMPTY_SHARE * answers:
        return (
            f"{gain} is {_how_much_is_form(report, shots)} the form of the answers: {number(own['empty'])} of "
            f"{number(answers)} answers of the base model were empty.{_beyond_form(report)}"
        )
    if shots == 0 and _is_below(own, most):
        return (
            f"{gain} may be the form of the answers rather than knowledge: the base model answered "
            f"{percent(own['share'])} of {number(own['n'])} questions right without exemplars and already "
            f"{percent(most['share'])} with {most['shots']}.{_beyond_form(report)}"
        )
    return ""


def _is_below(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether the intervals of two shares do not meet."""
    return one["high"] is not None and other["low"] is not None and bool(one["high"] < other["low"])


def _how_much_is_form(report: Report, shots: int) -> str:
    """By how many of the answers gained had been empty."""
    row = next(row for row in _last_differences(report) if row["shots"] == shots and not row.get("other_type"))
    gained = row.get("answers_gained", row["gained"])  # equal where each question has one answer, as in older reports
    return "mostly" if 2 * row["gained_from_empty"] > gained else "in part"


def _beyond_form(report: Report) -> str:
    """What the answers say where exemplars of another type show the form, and so take it out of the comparison."""
    row = next((row for row in _last_differences(report) if row.get("other_type")), None)
    if row is None:
        return f" Whether the model learned more than the form cannot be told: {no_other_type(report)}."
    found = deciding(row)
    before, after = percent(row["mean"]["before"]), percent(row["mean"]["after"])
    interval = f"95 % interval {points(found['low'])} to {points(found['high'])}"
    span = f"({before} → {after}, {points(row['difference'])} points, {interval})"
    shown = f" With the form shown by {row['shots']} exemplars of another type"
    if not is_clear_change(row):
        return f"{shown}, no change is clear {span}, so the whole gain may be form."
    if row["difference"] < 0:
        return f"{shown}, accuracy fell {span}, so the gain is one of form."
    return f"{shown}, accuracy rose too {span}, so part of the gain may be knowledge."


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
            f"Asked with other exemplars, {number(changed)} of {number(moved['n'])} categories of the untrained "
            "model came out different: that much is measurement alone."
        )
    return (
        "Categories also change by measurement alone: when the untrained model was asked again with other exemplars "
        f"and samples, {percent(moved['upgraded']['share'])} were upgraded and {percent(moved['forgotten']['share'])} "
        "forgotten. A fair comparison with training would need independent draws at every point, which this run does "
        "not have."
    )
