"""Changes of test accuracy as the comparison tells them: under each reading, corrected, and with what decides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kft_cli.report.measures.readings import correct, to_be_tested
from kft_cli.stats.clusters import clustered_difference
from kft_cli.stats.groups import QuestionGroups, Reading
from kft_cli.stats.intervals import ALPHA, is_clear
from kft_cli.stats.power import detectable_over_seeds
from kft_cli.stats.seeds import seeds_change
from kft_cli.stats.spread import spread

INDEPENDENT = "independent questions"
"""In place of a reading, where no run says of what type and subject its test questions are."""

_ORDER = (Reading.TYPES_LIKE_THESE.value, Reading.THESE_TYPES.value, INDEPENDENT)


def measure_change(before: Sequence[float], after: Sequence[float], groups: QuestionGroups | None) -> dict[str, Any]:
    """The mean change of the same questions, under both readings.

    Args:
        before: share of right answers per question.
        after: the same questions in the same order.
        groups: their types and subjects; None takes the questions as independent.
    """
    clustered = {}
    for name, (reading, grouped) in _readings(groups, len(before)).items():
        found = clustered_difference(before, after, grouped, reading)
        clustered[name] = {**to_be_tested(found), "reading": name}
    first = next(iter(clustered.values()))
    return {
        "n": len(before),
        "gained": sum(two > one for one, two in zip(before, after, strict=True)),
        "lost": sum(two < one for one, two in zip(before, after, strict=True)),
        "difference": first["difference"],
        "clustered": clustered,
    }


def measure_seeds_change(changes: Sequence[Sequence[float]], groups: QuestionGroups | None) -> dict[str, Any]:
    """The mean change over seeds, under both readings; p is of the sign-flip test over seeds, which knows no questions.

    ``p`` is None where so few seeds cannot come out below 0.05.

    Args:
        changes: per seed and question.
        groups: types and subjects of the questions; None takes them as independent.
    """
    clustered, p, smallest = {}, None, 1.0
    for name, (reading, grouped) in _readings(groups, len(changes[0])).items():
        found = seeds_change(changes, grouped, reading)
        p, smallest = found.p, found.smallest_p
        values = {key: value for key, value in found.to_json().items() if key not in ("p", "smallest_p")}
        told = detectable_over_seeds(found).to_json()
        clustered[name] = {**values, "reading": name, "difference": found.mean, "detectable": told}
    per_seed = next(iter(clustered.values()))["per_seed"]
    return {
        "change": spread(per_seed).to_json(),
        "clustered": clustered,
        "smallest_p": smallest,
        "p": p if smallest < ALPHA else None,
        "holm_p": None,
    }


def correct_readings(rows: Sequence[Mapping[str, Any]]) -> None:
    """Write ``holm_p`` into the rows of :func:`measure_change`: corrected over these rows, each reading apart."""
    for name in _ORDER:
        correct([(row["clustered"][name], False) for row in rows if name in row["clustered"]])


def deciding(clustered: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The reading that decides: types like these, where there is more than one type; else these types."""
    found = [clustered[name] for name in _ORDER if name in clustered]
    return next((one for one in found if one["low"] is not None), None)


def outcome(clustered: Mapping[str, Any], holm_p: float | None = None) -> str:
    """``clear``, ``not clear`` or ``not tested``, by the reading that decides.

    Args:
        clustered: what was measured, by reading.
        holm_p: of a test that is the same for all readings; that of the reading where it is not given.
    """
    found = deciding(clustered)
    p = found.get("holm_p", holm_p) if found else None
    if found is None or p is None:
        return "not tested"
    return "clear" if is_clear(p, found["low"], found["high"]) else "not clear"


def _readings(groups: QuestionGroups | None, n: int) -> dict[str, tuple[Reading, QuestionGroups]]:
    if groups is None:
        apart = QuestionGroups([INDEPENDENT] * n, [str(number) for number in range(n)])
        return {INDEPENDENT: (Reading.THESE_TYPES, apart)}
    return {reading.value: (reading, groups) for reading in (Reading.TYPES_LIKE_THESE, Reading.THESE_TYPES)}
