"""What changed in the training questions, measured on a draw of exemplars that no question was chosen by.

The detection (draw A) puts a question into its group, and chooses what a stage trains on. The measurement (draw B,
other exemplars) tells what changed. A question that looked better or worse than it is on draw A is as good as it is on
draw B at every point, so a group does not move by itself when the model stays the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

from kft_cli.report.measures.readings import correct, to_be_tested
from kft_cli.report.run_data import Detection, RunData, Stage
from kft_cli.report.run_layout import BASE
from kft_cli.report.sections.readings import outcome
from kft_cli.stats.clusters import ClusteredDifference, clustered_difference
from kft_cli.stats.groups import QuestionGroups, Reading
from kft_cli.stats.sign_flips import SIGN_FLIPS
from kft_tasks.categories.category import KnowledgeCategory, Tally
from kft_tasks.errors import DataError
from kft_train.data.mixture import selects

ALL = "all"
BELOW = "all below HighlyKnown"
NEVER_RIGHT = "WeaklyKnown and Unknown"

_NEVER = (KnowledgeCategory.WEAKLY_KNOWN, KnowledgeCategory.UNKNOWN)
_LOWER = (KnowledgeCategory.MAYBE_KNOWN, *_NEVER)
_GROUPS: Mapping[str, Sequence[KnowledgeCategory]] = {
    ALL: tuple(KnowledgeCategory),
    **{category.value: (category,) for category in KnowledgeCategory},
    BELOW: _LOWER,
}


def measure_measured(data: RunData, *, flips: int = SIGN_FLIPS) -> dict[str, Any] | None:
    """Everything that draw B tells; None where some point was not measured.

    - ``changes``: for every pair of points, rows by category of the base detection;
    - ``against_control``: the same from each control to its stage;
    - ``untrained``: questions that the first stage did not train on, from the base model to that stage;
    - ``trained``: for each stage, rows of the questions it trained on and of the others, by category of the detection
      that the stage started from. These have intervals and no test.

    Three questions are ``main``: all questions from the base model to the last stage, all against each control, and the
    untrained questions that could rise. They share half of the error of the correction, all other rows the other half.

    P_correct is the share of right greedy answers of a question, ``before`` and ``after`` its means. ``holm_p`` is
    corrected over the changes of P_correct in all rows of the first three, apart for each reading.

    Args:
        data: the run.
        flips: number of random sign flips of each test.

    Raises:
        DataError: a measurement left out greedy answers, so that P_correct is not known.
    """
    if not data.measured:
        return None
    _check_all_asked(data)
    base = data.measurements[BASE]
    protocol = base.header.protocol
    changes = [_span(data, before, after, flips) for before, after in data.pairs]
    against = [_span(data, control, stage, flips) for control, stage in data.control_pairs]
    untrained = _untrained(data, flips)
    tested = [row for span in (*changes, *against, *([untrained] if untrained else [])) for row in span["rows"]]
    for row in (changes[-1]["rows"][0], *(span["rows"][0] for span in against)):
        row["main"] = True
    if untrained:
        claim_of(untrained["rows"])["main"] = True
    for reading in Reading:
        correct([(row["clustered"][reading.value], row["main"]) for row in tested])
    if untrained:
        untrained["rows"] = [{**row, "outcome": outcome(row)} for row in untrained["rows"]]
    return {
        "seed": protocol.seed,
        "n": len(base.categories),
        "of": len(data.base.categories),
        "greedy_only": protocol.samples == 0,
        "exemplar_sets": protocol.exemplar_sets,
        "tests": len(tested),
        "main_tests": sum(row["main"] for row in tested),
        "changes": changes,
        "against_control": against,
        "untrained": untrained,
        "trained": [_trained(data, stage) for stage in data.stages],
    }


def claim_of(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Of the untrained questions, the row of those that could rise: the first group below all, where there is one."""
    return rows[1] if len(rows) > 1 else rows[0]


def trained_ids(data: RunData, stage: Stage) -> set[str]:
    """Questions that some epoch of a stage may have trained on.

    A part that is redrawn in every epoch draws from all questions that it selects, which the mixture's file leaves out.
    """
    index = data.points.index(stage.before)
    now = data.detections[stage.before].categories
    before = data.detections[data.points[index - 1]].categories if index else None
    settings = next(one for one in data.recipe.stages if one.name == stage.name)
    ids = {item.question.id for item in stage.mixture.all_items}
    held_out = data.recipe.questions.held_out_types
    for part in settings.mixture:
        if part.redraw:
            ids |= {
                id_
                for id_, category in now.items()
                if data.detections[stage.before].groups[id_][0] not in held_out
                and selects(part, category, before[id_] if before is not None else None)
            }
    return ids


def _check_all_asked(data: RunData) -> None:
    for point, measurement in data.measurements.items():
        sets = measurement.header.protocol.exemplar_sets
        for id_, tally in measurement.greedy.items():
            if tally.asked != sets:
                raise DataError(
                    f"{measurement.path}: question {id_!r} has {tally.asked} of {sets} greedy answers, so its share of "
                    f"right ones is not known. Remove the folder of this step ({point}) and resume the run."
                )


def _span(data: RunData, before: str, after: str, flips: int) -> dict[str, Any]:
    """Rows by category of the base detection."""
    one, two = data.measurements[before], data.measurements[after]
    found = _grouped(data.base, list(one.categories), _GROUPS)
    return {"before": before, "after": after, "rows": [_tested_row(name, one, two, ids, flips) for name, ids in found]}


def _grouped(
    detection: Detection, ids: Sequence[str], groups: Mapping[str, Sequence[KnowledgeCategory]]
) -> Iterator[tuple[str, list[str]]]:
    """Some questions by their category in a detection, without empty groups and without one group under two names."""
    seen: list[list[str]] = []
    for name, members in groups.items():
        chosen = [id_ for id_ in ids if detection.categories[id_] in members]
        if chosen and not (name in (BELOW, NEVER_RIGHT) and chosen in seen):
            seen.append(chosen)
            yield name, chosen


def _row(group: str, one: Detection, two: Detection, ids: Sequence[str]) -> dict[str, Any]:
    first, second = _values(one, ids), _values(two, ids)
    return {"group": group, "n": len(ids), "before": fmean(first), "after": fmean(second)}


def _tested_row(group: str, one: Detection, two: Detection, ids: Sequence[str], flips: int) -> dict[str, Any]:
    """A row whose change of P_correct is tested; how many were HighlyKnown on draw B comes with intervals only."""
    groups = one.question_groups(ids)
    first, second = _values(one, ids), _values(two, ids)
    found = {reading: clustered_difference(first, second, groups, reading, flips=flips) for reading in Reading}
    known = [_highly_known(point, ids) for point in (one, two)]
    return {
        **_row(group, one, two, ids),
        "main": False,
        "clustered": {reading.value: to_be_tested(change) for reading, change in found.items()},
        "highly_known": {
            "before": round(sum(known[0])),
            "after": round(sum(known[1])),
            "clustered": _intervals(known[0], known[1], groups),
        },
    }


def _intervals(first: Sequence[float], second: Sequence[float], groups: QuestionGroups) -> dict[str, Any]:
    """A change under both readings without its test."""
    return {
        reading.value: _without_test(clustered_difference(first, second, groups, reading, flips=1))
        for reading in Reading
    }


def _without_test(change: ClusteredDifference) -> dict[str, Any]:
    return {key: value for key, value in change.to_json().items() if key not in ("p", "smallest_p")}


def _untrained(data: RunData, flips: int) -> dict[str, Any] | None:
    """Questions that the first stage did not train on; None if it trained on all that were measured."""
    stage = data.stages[0]
    one, two = data.measurements[stage.before], data.measurements[stage.after]
    trained = trained_ids(data, stage)
    ids = [id_ for id_ in one.categories if id_ not in trained]
    if not ids:
        return None
    wanted = {ALL: _GROUPS[ALL], BELOW: _LOWER, NEVER_RIGHT: _NEVER}
    rows = [_tested_row(name, one, two, chosen, flips) for name, chosen in _grouped(data.base, ids, wanted)]
    return {"before": stage.before, "after": stage.after, "rows": rows}


def _trained(data: RunData, stage: Stage) -> dict[str, Any]:
    one, two = data.measurements[stage.before], data.measurements[stage.after]
    chosen = trained_ids(data, stage)
    rows = []
    for inside in (True, False):
        ids = [id_ for id_ in one.categories if (id_ in chosen) is inside]
        for name, members in _grouped(data.detections[stage.before], ids, _GROUPS):
            row = _row(name, one, two, members)
            change = _intervals(_values(one, members), _values(two, members), one.question_groups(members))
            rows.append({"trained": inside, **row, "clustered": change})
    return {"before": stage.before, "after": stage.after, "rows": rows}


def _values(detection: Detection, ids: Sequence[str]) -> list[float]:
    return [_p_correct(detection.greedy[id_]) for id_ in ids]


def _p_correct(tally: Tally) -> float:
    return tally.right / tally.asked


def _highly_known(detection: Detection, ids: Sequence[str]) -> list[float]:
    return [float(detection.categories[id_] is KnowledgeCategory.HIGHLY_KNOWN) for id_ in ids]
