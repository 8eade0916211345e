"""How changes in test accuracy are told: which reading decides, and what would have been seen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kft_cli.display.tables import Table, difference, make_table, number, p_value, plain
from kft_cli.report.sections.words import asking_cell
from kft_cli.stats.groups import Reading
from kft_cli.stats.intervals import ALPHA, is_clear
from kft_cli.stats.power import Detectable

INTRO = (
    "Questions of one type share their exemplars, so they are not independent, and each change has two readings. "
    "*These types*: would other questions of the same types show it? *Types like these*: would other types show it "
    "too? There, a type comes or goes with all of its questions and its exemplars. The verdict calls a change clear if "
    "it is clear for types like these: its corrected p is below 0.05 and its interval does not contain 0. A run with "
    "one type only is judged by that type."
)

GAINED = "*Gained*: questions with more right answers after than before. *Lost*: with fewer."
SEEN = "*Seen*: the 95 % interval would not have contained 0, before any correction."

MAIN = "Half of the 5 % is for the main rows, decided before the run, half for all others."


def deciding(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """What says whether a change is clear: types like these, where the run has more than one; else these types.

    A change without such a test is given back itself: reports made before there were readings tested it with questions
    taken as independent, later ones (``holm_p`` is None) not at all.
    """
    for reading in (Reading.TYPES_LIKE_THESE, Reading.THESE_TYPES):
        found: Mapping[str, Any] = row.get("clustered", {}).get(reading.value, {})
        if found.get("holm_p") is not None:
            return found
    return row


def is_clear_change(row: Mapping[str, Any]) -> bool:
    """Whether a change is called clear, by the reading that decides."""
    found = deciding(row)
    return found.get("holm_p") is not None and is_clear(found["holm_p"], found["low"], found["high"])


def outcome(row: Mapping[str, Any]) -> str:
    """What a change came to: a key of :data:`OUTCOMES`."""
    if not is_clear_change(row):
        return "no clear change"
    return "rose" if deciding(row)["difference"] > 0 else "fell"


OUTCOMES = {"rose": "rose", "fell": "fell", "no clear change": "did not clearly change"}
"""How an outcome is said of a quantity."""


def unclear_words(found: Mapping[str, Any]) -> str:
    """What stands beside "not clear" for a reading: what would have been seen, and whether p could be small at all."""
    told = Detectable(**found["detectable"])
    if told.effect is None:
        words = plain(told.sentence().rstrip("."))
    else:
        words = f"a change of {100 * told.effect:.1f} points would have been seen {100 * told.power:.0f} % of the time"
    if found["changed"] and found["smallest_p"] >= ALPHA:
        words += f"; so few {cluster_word(found)} changed that p could not go below {found['smallest_p']:.2g}"
    elif found.get("low") is not None and (found["low"] > 0 or found["high"] < 0):
        words += (
            f"; the interval does not contain 0, but p is {p_value(found['p'])} before and {p_value(found['holm_p'])} "
            "after the correction for all comparisons"
        )
    return words


def cluster_word(found: Mapping[str, Any]) -> str:
    """What the clusters of a reading are: types, subjects or single questions."""
    if found["reading"] == Reading.TYPES_LIKE_THESE.value:
        return "types"
    return "questions" if found["clusters"] == found["n"] else "subjects"


def reading_table(test: Mapping[str, Any]) -> Table:
    """Every change under both readings, with its design effect and whether it is clear."""
    rows = [
        [
            asking_cell(row),
            f"{row['before']} → {row['after']}",
            number(row["gained"]),
            number(row["lost"]),
            f"{found['reading']} ({number(found['clusters'])} {cluster_word(found)})",
            difference(found),
            p_value(found["p"]),
            p_value(found["holm_p"]),
            number(None) if found["design_effect"] is None else f"{found['design_effect']:.1f}",
            clear_cell(found),
        ]
        for row in test["differences"]
        for found in row["clustered"].values()
    ]
    caption = (
        f"The same questions before and after. {GAINED} "
        "*Change*: in percentage points, with its 95 % interval (jackknife over clusters, Student's t). *p*: how often "
        "chance alone would give a change this large (signs of whole clusters flipped). *p, Holm*: corrected for all "
        f"rows of the same reading in this table. {MAIN} Main here: from first to last point, and against a control. "
        f"*Design effect*: the variance, in multiples of that of as many independent questions. {SEEN}"
    )
    heads = "exemplars | from → to | gained > | lost > | reading | change, points > | p > | p, Holm > | design effect >"
    return make_table(f"{heads} | clear for this reading?", rows, caption)


def clear_cell(found: Mapping[str, Any]) -> str:
    """Whether a change is clear for a reading, and what would have been seen where it is not."""
    if found["holm_p"] is None:
        return f"not tested. {found['reason']}"
    if is_clear(found["holm_p"], found["low"], found["high"]):
        return "clear"
    return f"not clear: {unclear_words(found)}"


def short_clear_cell(row: Mapping[str, Any]) -> str:
    """As :func:`clear_cell` in few words, by the reading that decides: what would have been seen stands in brackets."""
    found = deciding(row)
    if found is row:
        return f"not tested. {next(iter(row['clustered'].values()))['reason']}"
    if is_clear_change(row):
        return "clear"
    effect = found["detectable"]["effect"]
    few = f"; too few {cluster_word(found)} changed" if found["changed"] and found["smallest_p"] >= ALPHA else ""
    return f"not clear ({'unknown' if effect is None else f'{100 * effect:.1f}'}{few})"


SHORT_SEEN = (
    "*Not clear*: in brackets the change, in points, that would have been seen 80 % of the time (its 95 % interval "
    "would not have contained 0, before any correction)."
)
