"""A quantity of one arm at one point, over its seeds; and its change from the base model."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, stdev
from typing import TYPE_CHECKING

from kft_cli.experiment.differences import (
    Difference,
    Place,
    Quantity,
    Runs,
    compare,
    counted_questions,
    deciding_change,
    groups_of,
    share_values,
)
from kft_cli.experiment.record import ChangeRecord, LevelRecord, SpreadRecord
from kft_cli.experiment.values import RunValues
from kft_cli.report.run_layout import BASE
from kft_cli.stats.groups import QuestionGroups
from kft_cli.stats.power import detectable_over_seeds
from kft_cli.stats.seeds import SeedsChange, t_test_p
from kft_cli.stats.sign_flips import sign_flip_test

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Flags = NDArray[np.bool_]


def runs_of(runs: Runs, arm: str) -> list[RunValues]:
    """The runs of an arm, in the order of their seeds."""
    return [runs[key] for key in sorted(runs) if key[0] == arm]


def spread_of(values: Sequence[float]) -> SpreadRecord:
    """Mean and extremes."""
    return SpreadRecord(mean=fmean(values), least=min(values), most=max(values))


def level_of_shares(quantity: Quantity, chosen: Sequence[RunValues], point: str) -> LevelRecord | None:
    """A share of questions over the seeds of an arm; None where no question counts under some seed."""
    import numpy as np

    masks = [counted_questions(quantity, run, point) for run in chosen]
    groups = groups_of(quantity, chosen[0])
    if not all(mask.any() for mask in masks):
        return None
    if any(len(mask) != len(groups) for mask in masks):
        return plain_level([_mean(quantity, run, point) for run in chosen])
    rows = np.stack([share_values(quantity, run, point) for run in chosen])
    return _level(rows, np.stack(masks), groups)


def _mean(quantity: Quantity, run: RunValues, point: str) -> float:
    return float(share_values(quantity, run, point)[counted_questions(quantity, run, point)].mean())


def _level(rows: Floats, asked: Flags, groups: QuestionGroups) -> LevelRecord:
    found = list(deciding_change(rows, groups, asked).values())
    best = found[-1] if found[-1].low is not None else found[0]
    level = plain_level(best.per_seed)
    if best.low is None or best.high is None or best.standard_error is None:
        return level
    return level.model_copy(update={"low": max(0.0, best.low), "high": min(1.0, best.high)})


def plain_level(per_seed: Sequence[float]) -> LevelRecord:
    """Mean and standard deviation over seeds, without an interval."""
    deviation = stdev(per_seed) if len(per_seed) > 1 else None
    return LevelRecord(mean=fmean(per_seed), low=None, high=None, deviation=deviation, seeds=len(per_seed))


def from_base(quantity: Quantity, runs: Runs, arm: str, point: str) -> ChangeRecord | None:
    """The change from the base model; None at the base model itself."""
    if point == BASE:
        return None
    return change_record(compare(quantity, runs, Place(arm, point), Place(arm, BASE)))


def change_record(difference: Difference) -> ChangeRecord:
    """A difference as it is recorded."""
    change = difference.deciding
    if change is None:
        known = [one for one in difference.per_seed if one is not None]
        mean = fmean(known) if known and difference.means else None
        return _record(difference, None, mean, difference.reason)
    return _record(difference, change, change.mean, difference.reason or change.reason)


def _record(difference: Difference, change: SeedsChange | None, mean: float | None, reason: str | None) -> ChangeRecord:
    shifted = difference.shifted(0.0)
    return ChangeRecord(
        difference=mean,
        low=None if change is None else change.low,
        high=None if change is None else change.high,
        per_seed=list(difference.per_seed),
        reading=None if change is None else change.reading.value,
        clusters=0 if change is None else change.clusters,
        standard_error=None if change is None else change.standard_error,
        degrees_of_freedom=None if change is None else change.degrees_of_freedom,
        p_sign_flips=sign_flip_test(shifted).p if len(shifted) > 1 else None,
        p_crossed_t=None if change is None or change.mean is None else t_test_p(change.mean, change),
        detectable=None if change is None else detectable_over_seeds(change).effect,
        reason=reason,
    )
