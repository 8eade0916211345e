"""The difference between two places of an experiment (an arm at a point), seed by seed and question by question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kft_cli.experiment.hypothesis import BASE, Hypothesis, Measure, Questions
from kft_cli.experiment.values import HIGHLY, RunValues, TrainValues
from kft_cli.stats.groups import QuestionGroups, Reading
from kft_cli.stats.seeds import SeedsChange, means_as_values, ratios_as_values, seeds_change, seeds_estimate
from kft_tasks.evaluation.evaluate import Asking

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Flags = NDArray[np.bool_]

Runs = Mapping[tuple[str, int], RunValues]
"""Finished runs by arm and seed."""

_DETECTED_HIGHLY = 3  # in values.CATEGORIES


@dataclass(frozen=True)
class Quantity:
    """What is measured, as in :class:`Hypothesis`."""

    measure: Measure
    shots: int | None = None
    questions: Questions = "all"
    task: str | None = None

    @classmethod
    def of(cls, hypothesis: Hypothesis) -> Quantity:
        """The quantity of a hypothesis."""
        return cls(hypothesis.measure, hypothesis.shots, hypothesis.questions or "all", hypothesis.task)

    @property
    def is_share(self) -> bool:
        """Whether it is a share of questions, so that differences are percentage points."""
        return self.measure not in ("text_loss", "growth_of_gain", "also")


@dataclass(frozen=True)
class Place:
    """An arm at a point; the arm's last point where none is given."""

    arm: str
    point: str | None = None

    def at(self, run: RunValues) -> str:
        """The point in a run."""
        return self.point or run.last


@dataclass(frozen=True)
class Difference:
    """One place less another.

    Attributes:
        seeds: that both have.
        means: the quantity itself at both places, over seeds; None where there is nothing to compare.
        change: by reading; empty where ``reason`` says why.
        per_seed: difference under each seed; of a ratio, that seed's own, None where its denominator is 0.
        shifted: per-seed differences less a value, for a test of that value.
    """

    seeds: tuple[int, ...]
    means: tuple[float, float] | None
    change: Mapping[Reading, SeedsChange]
    per_seed: tuple[float | None, ...]
    shifts: _Shifts | None = None
    reason: str | None = None

    @property
    def deciding(self) -> SeedsChange | None:
        """The reading that decides: types like these, where there is more than one type; else these types."""
        for reading in (Reading.TYPES_LIKE_THESE, Reading.THESE_TYPES):
            found = self.change.get(reading)
            if found is not None and found.low is not None:
                return found
        return next(iter(self.change.values()), None)

    def shifted(self, value: float) -> list[float]:
        """Per seed, what is 0 on average if the true difference is ``value``; for a sign-flip test."""
        return [] if self.shifts is None else self.shifts.less(value)


@dataclass(frozen=True)
class _Shifts:
    """Per seed, numerators and denominators of the difference; the denominators are 1 but for a ratio."""

    numerators: tuple[float, ...]
    denominators: tuple[float, ...]

    def less(self, value: float) -> list[float]:
        return [one - value * two for one, two in zip(self.numerators, self.denominators, strict=True)]


def compare(quantity: Quantity, runs: Runs, one: Place, other: Place) -> Difference:
    """``one`` less ``other``, paired by seed, and by question within a seed.

    Runs of one seed have the same exemplars. Where questions or protocols differ there is no difference but a reason.
    """
    seeds = sorted({seed for arm, seed in runs if arm == one.arm} & {seed for arm, seed in runs if arm == other.arm})
    pairs = [(runs[one.arm, seed], runs[other.arm, seed]) for seed in seeds]
    if not pairs:
        return _nothing(seeds, "The two arms have no seed in common.")
    for first, second in pairs:
        for place, run in ((one, first), (other, second)):
            if place.at(run) not in (*run.points, *run.controls):
                return _nothing(seeds, f"Arm {place.arm} has no point {place.at(run)}.")
    if reason := _not_comparable(quantity, pairs):
        return _nothing(seeds, reason)
    if quantity.measure == "text_loss":
        return _losses(seeds, pairs, one, other)
    if quantity.measure == "also":
        return _task(quantity, seeds, pairs, one, other)
    return _shares(quantity, seeds, pairs, one, other)


def growth_of_gain(runs: Runs, arm: str) -> Difference:
    """The gain in HighlyKnown after the last stage by that after the first, less 1: the paper's "24 %".

    The ratio of the means over seeds, since that of one seed may have a small denominator. It has no interval where the
    gain of the first stage is not clearly above 0.
    """
    import numpy as np

    seeds = sorted(seed for name, seed in runs if name == arm)
    chosen = [runs[arm, seed] for seed in seeds]
    trains = [run.train for run in chosen]
    if not chosen or any(train is None for train in trains):
        return _nothing(seeds, "The training questions were not measured on a draw of their own.")
    if any(len(run.points) < 3 for run in chosen):
        return _nothing(seeds, "The arm has fewer than two stages.")
    known = [train for train in trains if train is not None]
    if len({train.ids for train in known}) > 1:
        return _nothing(seeds, "The seeds measured different questions.")

    def gain(point: str, train: TrainValues) -> Floats:
        found: Floats = (train.level[point] == HIGHLY).astype(float) - (train.level[BASE] == HIGHLY)
        return found

    last = np.stack([gain(run.last, train) for run, train in zip(chosen, known, strict=True)])
    first = np.stack([gain(str(run.first_stage), train) for run, train in zip(chosen, known, strict=True)])
    per_seed = tuple(
        float(a / b - 1) if b else None for a, b in zip(last.mean(axis=1), first.mean(axis=1), strict=True)
    )
    groups = known[0].groups
    readings = {reading: seeds_change(first, groups, reading) for reading in Reading}
    sound = [found for found in readings.values() if found.low is not None]
    if not sound or any(found.low is None or found.low <= 0 for found in sound) or first.mean() <= 0:
        return Difference(
            tuple(seeds), None, {}, per_seed, None, "The gain of the first stage is not clearly above 0 itself."
        )
    change = {reading: seeds_estimate(ratios_as_values(last, first) - 1, groups, reading) for reading in Reading}
    shifts = _Shifts(tuple((last - first).mean(axis=1).tolist()), tuple(first.mean(axis=1).tolist()))
    means = float(last.mean()), float(first.mean())
    return Difference(tuple(seeds), means, change, per_seed, shifts)


def _nothing(seeds: Sequence[int], reason: str) -> Difference:
    return Difference(tuple(seeds), None, {}, (), None, reason)


def _not_comparable(quantity: Quantity, pairs: Sequence[tuple[RunValues, RunValues]]) -> str | None:
    """Why the quantity cannot be compared between these runs; None where it can."""
    runs = [run for pair in pairs for run in pair]
    measure = quantity.measure
    if measure in ("test_accuracy", "held_out_types"):
        asking = Asking(quantity.shots or 0)
        if any(asking not in run.test.sets for run in runs):
            return f"The test was not asked with {quantity.shots} exemplars."
        if measure == "held_out_types" and not all(run.test.held_out.any() for run in runs):
            return "No type was held out of training in both arms."
        same = all(a.test.digest == b.test.digest and a.scorer == b.scorer for a, b in pairs)
        return None if same else "The two arms were tested with different questions, exemplars or scorers."
    if measure == "text_loss":
        if any(run.text is None for run in runs):
            return "The held-out text was not measured."
        return None if len({run.text.digest for run in runs if run.text}) == 1 else "The texts differ."
    if measure == "also":
        known = all(quantity.task in metrics for run in runs for metrics in run.tasks.values())
        return None if known and all(run.tasks for run in runs) else f"Task {quantity.task} was not measured."
    if any(run.train is None for run in runs):
        return "The training questions were not measured on a draw of their own."
    same = all(a.train and b.train and a.train.digest == b.train.digest for a, b in pairs)
    return None if same else "The two arms were measured with different questions or exemplars."


def _shares(
    quantity: Quantity, seeds: Sequence[int], pairs: Sequence[tuple[RunValues, RunValues]], one: Place, other: Place
) -> Difference:
    import numpy as np

    masks = [_counted(quantity, [(first, one.at(first)), (second, other.at(second))]) for first, second in pairs]
    left_out = [seed for seed, mask in zip(seeds, masks, strict=True) if not mask.any()]
    kept = [index for index, mask in enumerate(masks) if mask.any()]
    if not kept:
        return _nothing(seeds, "No question is of this kind in both arms.")
    groups = _groups(quantity, pairs[0][0])
    if any(len(mask) != len(groups) or _groups(quantity, pairs[i][0]) != groups for i, mask in enumerate(masks)):
        return _nothing(seeds, "The seeds have different questions.")
    sides = [
        np.stack([share_values(quantity, pairs[i][side], place.at(pairs[i][side])) for i in kept])
        for side, place in enumerate((one, other))
    ]
    asked = np.stack([masks[i] for i in kept])
    means = [float(np.mean([row[mask].mean() for row, mask in zip(side, asked, strict=True)])) for side in sides]
    changes = sides[0] - sides[1]
    found = deciding_change(changes, groups, asked)
    per_seed = next(iter(found.values())).per_seed
    rest = tuple(seed for seed in seeds if seed not in left_out)
    return Difference(rest, (means[0], means[1]), found, per_seed, _Shifts(per_seed, (1.0,) * len(per_seed)))


def deciding_change(changes: Floats, groups: QuestionGroups, asked: Flags) -> dict[Reading, SeedsChange]:
    """The change for types like these; for these types too where the former has no interval."""
    found = {}
    for reading in (Reading.TYPES_LIKE_THESE, Reading.THESE_TYPES):
        found[reading] = seeds_change(changes, groups, reading, asked=asked)
        if found[reading].low is not None:
            break
    return found


def share_values(quantity: Quantity, run: RunValues, point: str) -> Floats:
    """The quantity of each question at a point: its mean over the questions that count is the quantity."""
    import numpy as np

    if quantity.measure in ("test_accuracy", "held_out_types"):
        return run.test.right[point, Asking(quantity.shots or 0)]
    train = run.train
    assert train is not None  # checked before
    if quantity.measure == "train_accuracy":
        return train.share[point]
    if quantity.measure == "upgraded":
        return np.asarray(train.level[point] > train.level[BASE], dtype=float)
    return np.asarray(train.level[point] == HIGHLY, dtype=float)


def _counted(quantity: Quantity, places: Sequence[tuple[RunValues, str]]) -> Flags:
    """The questions that count: trained at all places or at none; a place before any training has no say."""
    import numpy as np

    first = places[0][0]
    if quantity.measure == "test_accuracy":
        return np.ones(len(first.test.groups), dtype=bool)
    if quantity.measure == "held_out_types":
        return np.asarray(np.logical_and.reduce([run.test.held_out for run, _ in places]))
    train = first.train
    assert train is not None  # checked before
    if quantity.measure == "kept":
        return np.asarray(train.detected == _DETECTED_HIGHLY)
    if quantity.measure == "upgraded":
        return np.asarray(train.detected < _DETECTED_HIGHLY)
    trained = [run.train.trained_until(point) for run, point in places if run.train is not None and point != BASE]
    counted = np.full(len(train.ids), quantity.questions != "trained" or bool(trained))
    for one in trained if quantity.questions != "all" else ():
        counted &= one if quantity.questions == "trained" else ~one
    return counted


def counted_questions(quantity: Quantity, run: RunValues, point: str) -> Flags:
    """The questions that count at one place alone."""
    return _counted(quantity, [(run, point)])


def _groups(quantity: Quantity, run: RunValues) -> QuestionGroups:
    if quantity.measure in ("test_accuracy", "held_out_types"):
        return run.test.groups
    assert run.train is not None
    return run.train.groups


def groups_of(quantity: Quantity, run: RunValues) -> QuestionGroups:
    """Types and subjects of the questions of a share."""
    return _groups(quantity, run)


def _losses(seeds: Sequence[int], pairs: Sequence[tuple[RunValues, RunValues]], one: Place, other: Place) -> Difference:
    """Nats per token; passages are the clusters, of these kinds of text."""
    import numpy as np

    texts = [(first.text, second.text) for first, second in pairs]
    rows, means = [], []
    for (first, second), (run_one, run_other) in zip(texts, pairs, strict=True):
        assert first is not None
        assert second is not None
        ends = first.nats[one.at(run_one)], second.nats[other.at(run_other)]
        rows.append((ends[0] - ends[1]) / first.tokens)
        means.append([float(end.sum() / first.tokens.sum()) for end in ends])
    text = texts[0][0]
    assert text is not None
    values = means_as_values(np.stack(rows), np.tile(text.tokens, (len(rows), 1)))
    found = {Reading.THESE_TYPES: seeds_estimate(values, text.groups, Reading.THESE_TYPES)}
    per_seed = found[Reading.THESE_TYPES].per_seed
    both = float(np.mean([row[0] for row in means])), float(np.mean([row[1] for row in means]))
    return Difference(tuple(seeds), both, found, per_seed, _Shifts(per_seed, (1.0,) * len(per_seed)))


def _task(
    quantity: Quantity, seeds: Sequence[int], pairs: Sequence[tuple[RunValues, RunValues]], one: Place, other: Place
) -> Difference:
    """A further task, by document where the task says them; else seeds only, without an interval over documents."""
    import numpy as np

    task = str(quantity.task)
    ends = [(first.tasks[one.at(first)][task], second.tasks[other.at(second)][task]) for first, second in pairs]
    per_seed = tuple(a.value - b.value for a, b in ends)
    means = float(np.mean([a.value for a, _ in ends])), float(np.mean([b.value for _, b in ends]))
    shifts = _Shifts(per_seed, (1.0,) * len(per_seed))
    rows = [np.array(a.values) - np.array(b.values) for a, b in ends if a.values and b.values]
    if len(rows) < len(ends) or len({len(row) for row in rows}) > 1:
        return Difference(tuple(seeds), means, {}, per_seed, shifts, "The metric is no mean over documents.")
    names = [str(number) for number in range(len(rows[0]))]
    groups = QuestionGroups(["document"] * len(names), names)
    found = {Reading.THESE_TYPES: seeds_estimate(np.stack(rows), groups, Reading.THESE_TYPES)}
    return Difference(tuple(seeds), means, found, per_seed, shifts)
