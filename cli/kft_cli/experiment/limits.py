"""Limits on what a run may have forgotten, for people's CI."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from kft_cli.experiment.differences import Quantity, counted_questions, groups_of, share_values
from kft_cli.experiment.values import RunValues
from kft_cli.report.measures.elsewhere import metric_change
from kft_cli.report.run_layout import BASE
from kft_cli.stats.clusters import clustered_difference
from kft_cli.stats.estimates import weighted_mean
from kft_cli.stats.groups import Reading
from kft_tasks.errors import DataError, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Limits:
    """What is allowed; None where it does not matter.

    Attributes:
        forgotten: fall of the share of base-HighlyKnown questions that are HighlyKnown, in percentage points.
        drop: fall of test accuracy, of that of held-out types, and of further tasks, in percentage points.
        text: rise of the loss of the held-out text, in nats per token.
        confident: a limit counts as passed only where the whole 95 % interval is beyond it, not the estimate alone.
    """

    forgotten: float | None = None
    drop: float | None = None
    text: float | None = None
    confident: bool = False


@dataclass(frozen=True)
class Checked:
    """One quantity against its limit; all numbers are losses: above 0 is worse than the base model.

    Attributes:
        unit: "points" or "nats per token".
        low, high: 95 % interval of the loss; None where there is none.
    """

    what: str
    before: float
    after: float
    loss: float
    low: float | None
    high: float | None
    limit: float
    unit: str
    passed: bool

    def to_json(self) -> dict[str, Any]:
        """The record as JSON values."""
        return asdict(self)


def check_limits(run: RunValues, limits: Limits) -> list[Checked]:
    """Compare the last point of a run with the base model.

    Raises:
        UsageError: no limit is given.
        DataError: something with a limit was not measured: what is not known is not within a limit.
    """
    if limits.forgotten is limits.drop is limits.text is None:
        raise UsageError("There is no limit to check. Give --max-forgotten, --also-drop or --max-text-rise.")
    if run.last == BASE:
        raise DataError("The run has no stage, so nothing can be forgotten. Check a run that trained.")
    return list(_checks(run, limits))


def _checks(run: RunValues, limits: Limits) -> Iterator[Checked]:
    if limits.forgotten is not None:
        if run.train is None:
            raise DataError(
                "--max-forgotten: the run did not measure its training questions on a draw of their own. Run it with "
                "evaluation.measurement: true."
            )
        if not counted_questions(Quantity("kept"), run, run.last).any():
            raise DataError(
                "--max-forgotten: the base model has no HighlyKnown question, so none can be forgotten. "
                "Leave the limit out."
            )
        yield _share(run, Quantity("kept"), "HighlyKnown questions kept", limits.forgotten, limits.confident)
    if limits.drop is not None:
        for asking in run.test.sets:
            if not asking.other_type:
                name = f"test accuracy, {asking.shots} exemplars"
                yield _share(run, Quantity("test_accuracy", asking.shots), name, limits.drop, limits.confident)
                if run.test.held_out.any():
                    held = Quantity("held_out_types", asking.shots)
                    yield _share(run, held, f"{name}, held-out types", limits.drop, limits.confident)
        yield from _tasks(run, limits.drop, limits.confident)
    if limits.text is not None:
        if run.text is None:
            raise DataError(
                "--max-text-rise: the run did not measure held-out text. Run it with evaluation.text: true."
            )
        yield _text(run, limits.text, limits.confident)


def _share(run: RunValues, quantity: Quantity, name: str, limit: float, confident: bool) -> Checked:
    """The fall of a share, by the reading that decides: types like these, or these types where there is one only."""
    mask = counted_questions(quantity, run, run.last)
    groups = groups_of(quantity, run).subset([int(index) for index in mask.nonzero()[0]])
    before, after = (share_values(quantity, run, point)[mask] for point in (BASE, run.last))
    found = [clustered_difference(before, after, groups, reading, flips=1) for reading in _READINGS]
    best = next((one for one in found if one.low is not None), found[0])
    low, high = (None, None) if best.low is None or best.high is None else (-100 * best.high, -100 * best.low)
    loss = -100 * float(after.mean() - before.mean())
    passed = _passed(loss, low, limit, confident)
    return Checked(name, float(before.mean()), float(after.mean()), loss, low, high, limit, "points", passed)


_READINGS = (Reading.TYPES_LIKE_THESE, Reading.THESE_TYPES)


def _tasks(run: RunValues, limit: float, confident: bool) -> Iterator[Checked]:
    for name in (key for key in run.tasks.get(BASE, {}) if "/" not in key):
        before, after = run.tasks[BASE][name], run.tasks[run.last][name]
        sign = -100.0 if before.higher_is_better is False else 100.0
        found = metric_change(before, after)
        loss = -sign * found["difference"]
        ends = [-sign * found[key] for key in ("low", "high") if found[key] is not None]
        low, high = (min(ends), max(ends)) if ends else (None, None)
        what = f"{name}, {before.metric}"
        passed = _passed(loss, low, limit, confident)
        yield Checked(what, before.value, after.value, loss, low, high, limit, "points", passed)


def _text(run: RunValues, limit: float, confident: bool) -> Checked:
    text = run.text
    assert text is not None  # checked before
    before, after = (float(text.nats[point].sum() / text.tokens.sum()) for point in (BASE, run.last))
    changes = (text.nats[run.last] - text.nats[BASE]) / text.tokens
    found = weighted_mean(changes, text.tokens, text.groups, Reading.THESE_TYPES)
    passed = _passed(found.mean, found.low, limit, confident)
    return Checked("held-out text", before, after, found.mean, found.low, found.high, limit, "nats per token", passed)


def _passed(loss: float, low: float | None, limit: float, confident: bool) -> bool:
    """Whether the limit is passed; without an interval nothing is certain."""
    if confident:
        return low is not None and low > limit
    return loss > limit + 1e-9
