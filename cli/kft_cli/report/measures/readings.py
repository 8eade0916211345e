"""Changes in test accuracy under two readings: other questions of these types, and other types like these."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kft_cli.report.sections.readings import deciding
from kft_cli.stats.clusters import ClusteredDifference, ClusteredMean, clustered_difference, clustered_mean
from kft_cli.stats.groups import QuestionGroups, Reading
from kft_cli.stats.intervals import holm, paired_difference
from kft_cli.stats.power import detectable
from kft_tasks.evaluation.evaluate import TestQuestion

BOTH = (Reading.TYPES_LIKE_THESE, Reading.THESE_TYPES)


def question_groups(answered: Sequence[TestQuestion]) -> QuestionGroups:
    """Type and subject of each question; a question of no known subject is a subject of its own."""
    return QuestionGroups([item.type for item in answered], [item.subject or item.id for item in answered])


def measure_share(answered: Sequence[TestQuestion]) -> dict[str, Any]:
    """Mean share of right answers, with the interval for types like these, or for these types where there is one type.

    Returns:
        ``sets`` (answers per question), ``n`` (questions), ``count`` (right answers of n x sets), ``share``, ``low``,
        ``high`` (None where no interval exists), ``reading`` of the interval, and both readings under ``clustered``.
    """
    groups, values = question_groups(answered), [item.value for item in answered]
    found = {reading: clustered_mean(values, groups, reading) for reading in BOTH}
    chosen = _with_interval(found[Reading.TYPES_LIKE_THESE], found[Reading.THESE_TYPES])
    return {
        "sets": sets_of(answered),
        "n": chosen.n,
        "count": sum(sum(item.right) for item in answered),
        "share": chosen.mean,
        "low": chosen.low,
        "high": chosen.high,
        "reading": chosen.reading.value,
        "clustered": {reading.value: one.to_json() for reading, one in found.items()},
    }


def _with_interval(first: ClusteredMean, other: ClusteredMean) -> ClusteredMean:
    return other if first.low is None and other.low is not None else first


def sets_of(answered: Sequence[TestQuestion]) -> int:
    """Answers per question; the reader of a run has checked that all questions have equally many."""
    return len(answered[0].right) if answered else 1


def measure_change(
    before: Sequence[TestQuestion], after: Sequence[TestQuestion], readings: Sequence[Reading] = BOTH
) -> dict[str, Any]:
    """The change of the share of right answers over the same questions, under some readings.

    Returns:
        ``sets``, ``n``, ``gained`` and ``lost`` (questions whose share of right answers rose or fell),
        ``answers_gained`` (answers wrong before and right after), ``gained_from_empty`` (those of them that were empty
        before), ``before``, ``after`` and ``difference`` under ``mean``; by reading under ``clustered`` interval, p,
        design effect and minimum detectable effect. With one exemplar set also the four cells and McNemar's p, which
        takes questions as independent and decides nothing.
    """
    groups = question_groups(before)
    one, two = [item.value for item in before], [item.value for item in after]
    found = {reading: clustered_difference(one, two, groups, reading) for reading in readings}
    first = next(iter(found.values()))
    answers = [
        (given, now)
        for old, new in zip(before, after, strict=True)
        for given, was, now in zip(old.given, old.right, new.right, strict=True)
        if now and not was
    ]
    row: dict[str, Any] = {
        "sets": sets_of(before),
        "n": first.n,
        "gained": sum(b > a for a, b in zip(one, two, strict=True)),
        "lost": sum(b < a for a, b in zip(one, two, strict=True)),
        "answers_gained": len(answers),
        "gained_from_empty": sum(not given.strip() for given, _ in answers),
        "mean": {"before": first.before, "after": first.after},
        "difference": first.difference,
    }
    if row["sets"] == 1:
        cells = paired_difference([value == 1 for value in one], [value == 1 for value in two])
        row |= {"both": cells.both, "neither": cells.neither, "mcnemar_p": cells.mcnemar_p}
    row["clustered"] = {reading.value: to_be_tested(one) for reading, one in found.items()}
    return row


def to_be_tested(change: ClusteredDifference) -> dict[str, Any]:
    """A change under one reading with what would have been seen; :func:`correct` fills in ``holm_p``."""
    return {**change.to_json(), "detectable": detectable(change).to_json(), "holm_p": None}


def corrected(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of one table with Holm's p over all of them under the same reading; half the error is for ``main`` rows.

    Each row also gets ``reading``, ``low``, ``high``, ``p`` and ``holm_p`` of the reading that decides; None where no
    reading has a test.
    """
    for reading in BOTH:
        correct(
            [
                (row["clustered"][reading.value], row.get("main", False))
                for row in rows
                if reading.value in row["clustered"]
            ]
        )
    return [{**row, **_deciding_values(row)} for row in rows]


def correct(found: Sequence[tuple[dict[str, Any], bool]]) -> None:
    """Write ``holm_p`` into the tested changes of one family; each comes with whether it is a main one."""
    tested = [(one, main) for one, main in found if one["p"] is not None]
    corrected = holm([one["p"] for one, _ in tested], [main for _, main in tested])
    for (one, _), p in zip(tested, corrected, strict=True):
        one["holm_p"] = p


def _deciding_values(row: dict[str, Any]) -> dict[str, Any]:
    found = deciding(row)
    return {key: None if found is row else found[key] for key in ("reading", "low", "high", "p", "holm_p")}
