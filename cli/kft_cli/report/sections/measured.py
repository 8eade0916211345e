"""Section "What changed": the training questions, measured on exemplars that no question was chosen by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

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
)
from kft_cli.report.sections.readings import MAIN, OUTCOMES, deciding, is_clear_change, unclear_words
from kft_cli.report.sections.words import Report, p_words
from kft_cli.stats.groups import Reading
from kft_cli.stats.intervals import ALPHA

Row = Mapping[str, Any]

_READINGS = (Reading.TYPES_LIKE_THESE.value, Reading.THESE_TYPES.value)
_CHANGES = "change, types like these > | change, these types >"


def what_changed(report: Report) -> list[Block]:
    """Nothing where some point was not measured, as in reports of older versions."""
    measured = report.get("measured")
    if not measured:
        return []
    blocks: list[Block] = [
        _intro(measured),
        "**Share of right answers**, by the category that the detection of the base model found:",
        change_rows(report),
        "**HighlyKnown questions** on the measurement, of the same questions:",
        _known_table(measured["changes"]),
        *_untrained(measured),
        "**Trained and other questions**, stage by stage, by the category in the detection that the stage started "
        "from. Stages are not added up, because a later stage chooses its questions by what an earlier one did:",
        *(_trained_table(span) for span in measured["trained"]),
    ]
    return [*blocks, *_against_control(measured)]


def change_rows(report: Report, groups: Sequence[str] | None = None) -> Table:
    """Changes of the share of right answers between all pairs of points, by category of the base detection.

    Args:
        groups: those to show; all where it is not given.
    """
    measured = report["measured"]
    caption = (
        f"*n*: number of questions. *Before*, *after*: mean share of right greedy answers over {_prompts(measured)}. "
        "*Change*: in percentage points, with its 95 % interval (jackknife over clusters, Student's t). *p, Holm*: "
        "signs of whole clusters flipped; corrected for all changes of the share of right answers under one reading, "
        f"{number(measured['tests'])} in this report: every pair of points, control and group, and the untrained "
        f"questions. {MAIN} Main here: all questions from first to last point, all against a control, and the "
        "untrained questions below HighlyKnown. It is for types like these, or for these types where there is one type "
        "only; so are the last two "
        "columns. *Would be seen*: a change of this size would have an interval without 0 in 80 % of repetitions, "
        f"before any correction.{_out_of_reach(measured)}"
    )
    return _change_table(measured["changes"], caption, groups)


def verdict_sentences(report: Report) -> list[str]:
    """What the measurement says about the training questions, one finding each, for the top of the report."""
    measured = report["measured"]
    span = measured["changes"][-1]
    before, after = plain(span["before"]), plain(span["after"])
    rows = {row["group"]: row for row in span["rows"]}
    everything = rows["all"]
    sentences = [
        f"{_how_many(measured)} training questions were also asked with exemplars that chose none of them. There, the "
        f"share of right answers went from {percent(everything['before'])} at {before} to "
        f"{percent(everything['after'])} after {after}: {_told(everything)}."
    ]
    if "HighlyKnown" in rows:
        row = rows["HighlyKnown"]
        known = row["highly_known"]
        sentences.append(
            f"Among the {number(row['n'])} questions that the detection found HighlyKnown at {before}, the measurement "
            f"found {number(known['before'])} HighlyKnown at {before} and {number(known['after'])} after {after} "
            f"({_interval(_with_interval(known))})."
        )
    if measured["untrained"]:
        sentences.append(_untrained_sentence(measured["untrained"]))
    return sentences + [_control_sentence(one) for one in measured["against_control"]]


def _intro(measured: Mapping[str, Any]) -> str:
    asked = "greedily only" if measured["greedy_only"] else "greedily and with samples"
    return (
        "Draw A, the detection, puts each question into its group and chooses what is trained on. Draw B, the "
        f"measurement, asks {_how_many(measured).lower()} training questions {asked} with other exemplars (seed "
        f"{measured['seed']}) at every point and chooses nothing, so luck on draw A cannot look like a change on draw "
        "B. Each change has two readings. *Types like these*: would other types show it too? A type comes or goes with "
        "all of its questions. *These types*: would other subjects of the same types show it?"
    )


def _how_many(measured: Mapping[str, Any]) -> str:
    if measured["n"] == measured["of"]:
        return f"All {number(measured['n'])}"
    return f"A random {number(measured['n'])} of the {number(measured['of'])}"


def _prompts(measured: Mapping[str, Any]) -> str:
    count = measured["exemplar_sets"]
    return f"{number(count)} prompts" if count > 1 else "one prompt"


def _out_of_reach(measured: Mapping[str, Any]) -> str:
    """A sentence where the test has too few clusters for any p to survive the correction; else ""."""
    spans = [*measured["changes"], *measured["against_control"], measured["untrained"] or {"rows": ()}]
    main = measured["main_tests"]
    found = [
        (_test_of(row), main if row["main"] else measured["tests"] - main) for span in spans for row in span["rows"]
    ]
    reached = [one["smallest_p"] * 2 * shared for one, shared in found if one]
    if reached and min(reached) < ALPHA:
        return ""
    return (
        " **So few clusters changed that no p in this table can be below 0.05 after correction.** The intervals say "
        "more."
    )


def _change_table(spans: Sequence[Mapping[str, Any]], caption: str, groups: Sequence[str] | None = None) -> Table:
    rows = [
        [
            f"{span['before']} → {span['after']}",
            row["group"],
            number(row["n"]),
            percent(row["before"]),
            percent(row["after"]),
            *_both_readings(row),
            p_value((_test_of(row) or {}).get("holm_p")),
            _seen_cell(row),
            _clear_cell(row),
        ]
        for span in spans
        for row in span["rows"]
        if groups is None or row["group"] in groups
    ]
    heads = f"from → to | group | n > | before > | after > | {_CHANGES} | p, Holm > | would be seen > | clear?"
    return make_table(heads, rows, caption)


def _both_readings(row: Row) -> list[str]:
    """The change with its interval, for types like these and for these types; without one where there is none."""
    return [
        difference(found) if (found := row["clustered"][reading])["low"] is not None else points(found["difference"])
        for reading in _READINGS
    ]


def _test_of(row: Row) -> Row | None:
    """The reading whose p decides, or None where neither has one."""
    tested = any(found["holm_p"] is not None for found in row["clustered"].values())
    return deciding(row) if tested else None


def _seen_cell(row: Row) -> str:
    found = _test_of(row)
    effect = found["detectable"]["effect"] if found else None
    return NONE if effect is None else f"±{100 * effect:.1f}"


def _clear_cell(row: Row) -> str:
    found = _test_of(row)
    if found is None:
        return f"not tested. {row['clustered'][_READINGS[1]]['reason']}"
    if is_clear_change(row):
        return "clear"
    beyond = f": p cannot go below {found['smallest_p']:.2g}" if found["smallest_p"] >= ALPHA else ""
    return f"not clear{beyond}"


def _known_table(spans: Sequence[Mapping[str, Any]]) -> Table:
    rows = [
        [
            f"{span['before']} → {span['after']}",
            row["group"],
            number(row["n"]),
            number(row["highly_known"]["before"]),
            number(row["highly_known"]["after"]),
            *_both_readings(row["highly_known"]),
        ]
        for span in spans
        for row in span["rows"]
    ]
    caption = (
        "*Before*, *after*: how many had every greedy answer right on draw B. In the group HighlyKnown a fall is what "
        "was forgotten; in the other groups a rise is what became HighlyKnown. Changes of the share in percentage "
        "points, with 95 % intervals; not tested."
    )
    return make_table(f"from → to | group | n > | before > | after > | {_CHANGES}", rows, caption)


def _untrained(measured: Mapping[str, Any]) -> list[Block]:
    span = measured["untrained"]
    if span is None:
        stage = plain(measured["changes"][0]["after"])
        return [
            f"**Untrained questions:** there are none, because {stage} trained on all questions that were measured."
        ]
    words = (
        "The paper's claim is that training on MaybeKnown questions also lifts questions that are not trained on. "
        f"{_untrained_sentence(span)}"
    )
    caption = "Questions outside the mixture, by the category in the detection of the base model. Columns as above."
    return [f"**Untrained questions.** {words}", _change_table([span], caption)]


def _untrained_sentence(span: Mapping[str, Any]) -> str:
    """About the questions that could rise, where there are any."""
    rows = span["rows"]
    row = next((row for row in rows if row["main"]), rows[0])
    which = "" if row["group"] == "all" else f" and that were below HighlyKnown at {plain(span['before'])}"
    return (
        f"Among the {number(row['n'])} questions that {plain(span['after'])} did not train on{which}, the share of "
        f"right answers {OUTCOMES[row['outcome']]}, from {percent(row['before'])} to {percent(row['after'])}: "
        f"{_told(row)}."
    )


def _trained_table(span: Mapping[str, Any]) -> Table:
    rows = [
        [
            "trained" if row["trained"] else "not trained",
            row["group"],
            number(row["n"]),
            percent(row["before"]),
            percent(row["after"]),
            *_both_readings(row),
        ]
        for row in span["rows"]
    ]
    caption = (
        f"{plain(span['before'])} → {plain(span['after'])}: mean share of right answers on draw B, and its change in "
        "percentage points with 95 % intervals; not tested."
    )
    return make_table(f"questions | category before | n > | before > | after > | {_CHANGES}", rows, caption)


def _against_control(measured: Mapping[str, Any]) -> list[Block]:
    spans = measured["against_control"]
    if not spans:
        return []
    words = (
        "**Against the control.** The control trains the stage before further, on its own questions and for as many "
        f"steps as the stage took. {' '.join(_control_sentence(span) for span in spans)}"
    )
    caption = "*Before*: the control. *After*: the stage. The same questions; other columns as above."
    return [words, _change_table(spans, caption), _known_table(spans)]


def _control_sentence(span: Mapping[str, Any]) -> str:
    row = next(row for row in span["rows"] if row["group"] == "all")
    return (
        f"After {plain(span['after'])} the share of right answers was {percent(row['after'])}, against "
        f"{percent(row['before'])} after as much further training without it ({plain(span['before'])}): {_told(row)}."
    )


def _told(row: Row) -> str:
    """Change, interval and whether it is clear, by the reading that decides; what would have been seen if it is not."""
    found = _test_of(row)
    if found is None:
        return f"{points(row['after'] - row['before'])} percentage points, not tested"
    words = f"{_interval(found)}, Holm-corrected p {p_words(found['holm_p'])}"
    return f"{words}, clear" if is_clear_change(row) else f"{words}, not clear: {unclear_words(found)}"


def _with_interval(row: Row) -> Row:
    """The reading that would decide: types like these where they have an interval, else these types."""
    like_these, these = (row["clustered"][reading] for reading in _READINGS)
    chosen: Row = like_these if like_these["low"] is not None else these
    return chosen


def _interval(found: Row) -> str:
    change = f"{points(found['difference'])} percentage points"
    if found["low"] is None:
        return change
    return f"{change}, 95 % interval {points(found['low'])} to {points(found['high'])} for {found['reading']}"
