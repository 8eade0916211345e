"""How many seeds an experiment needs: the chance that each hypothesis is seen, from the runs that are finished."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, variance
from typing import Any

from kft_cli.display.tables import Section, make_table, number, percent, points
from kft_cli.experiment.differences import Difference, Place, Quantity, Runs, share_values
from kft_cli.experiment.hypothesis import Hypothesis
from kft_cli.experiment.verdicts import difference_of
from kft_cli.stats.clusters import clustered_difference
from kft_cli.stats.power import minimum_detectable_effect, power_of
from kft_cli.stats.seeds import SeedsChange, seeds_needed
from kft_tasks.errors import DataError

SEEDS = (3, 6, 10, 20)
"""Numbers of seeds that the plan is made for."""

MOST_SEEDS = 200
GOAL = 0.8


@dataclass(frozen=True)
class PlannedSeeds:
    """What one hypothesis needs.

    Attributes:
        pilot_seeds: that are finished in both arms.
        effect: difference of the pilot, by its own unit; None where nothing was compared.
        discordance: share of questions that one seed answers differently at the two places; None for what is no share.
        design_effect: variance of the mean difference under one seed, by that of independent questions.
        deviation: of the difference over seeds.
        power: chance that the 95 % interval excludes 0, by number of seeds, if the true difference is the pilot's.
        detectable: difference that would be seen 80 % of the time, by number of seeds.
        needed: seeds for a chance of 80 %; None if even :data:`MOST_SEEDS` are too few.
        reason: why nothing can be said; "" where it can.
    """

    name: str
    pilot_seeds: int
    effect: float | None = None
    discordance: float | None = None
    design_effect: float | None = None
    deviation: float | None = None
    power: dict[int, float] | None = None
    detectable: dict[int, float] | None = None
    needed: int | None = None
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """The record as JSON values."""
        return asdict(self)


def plan_seeds(hypotheses: Sequence[Hypothesis], runs: Runs) -> list[PlannedSeeds]:
    """The chance of seeing each hypothesis with some numbers of seeds.

    Seeds and clusters of questions cross. The variance of the mean difference is that between seeds, which falls with
    their number, and that of the clusters, which all seeds share and more seeds do not lower.

    Args:
        runs: finished ones, by arm and seed.

    Raises:
        DataError: there are no hypotheses.
    """
    if not hypotheses:
        raise DataError("The experiment has no hypotheses to plan for. Write some into its file.")
    return [_plan(one, runs) for one in hypotheses]


def _plan(hypothesis: Hypothesis, runs: Runs) -> PlannedSeeds:
    difference = difference_of(hypothesis, runs)
    change, seeds = difference.deciding, len(difference.seeds)
    if change is None or change.mean is None:
        return PlannedSeeds(hypothesis.name, seeds, reason=difference.reason or "Nothing was compared.")
    if change.standard_error is None or seeds < 2:
        reason = change.reason or "Two finished seeds are needed."
        return PlannedSeeds(hypothesis.name, seeds, effect=change.mean, reason=reason)
    between = variance(change.per_seed)
    shared = max(0.0, change.standard_error**2 - between / seeds)
    discordance, design_effect = _questions(hypothesis, difference, runs, change)

    def error_of(count: int) -> tuple[float, float]:
        return _error(between, shared, count, change.clusters)

    return PlannedSeeds(
        name=hypothesis.name,
        pilot_seeds=seeds,
        effect=change.mean,
        discordance=discordance,
        design_effect=design_effect,
        deviation=math.sqrt(between),
        power={count: power_of(change.mean, *error_of(count)) for count in SEEDS},
        detectable={count: minimum_detectable_effect(*error_of(count)) for count in SEEDS},
        needed=next(
            (count for count in range(2, MOST_SEEDS + 1) if power_of(change.mean, *error_of(count)) >= GOAL), None
        ),
    )


def _error(between: float, shared: float, seeds: int, clusters: int) -> tuple[float, float]:
    """Standard error with some number of seeds, and its degrees of freedom (Satterthwaite, as in stats.seeds)."""
    of_seeds = between / seeds
    total = of_seeds + shared
    below = of_seeds**2 / (seeds - 1) + shared**2 / max(1, clusters - 1)
    return math.sqrt(total), max(1.0, total**2 / below)


def _questions(
    hypothesis: Hypothesis, difference: Difference, runs: Runs, change: SeedsChange
) -> tuple[float | None, float | None]:
    """Discordance and design effect of one seed, means over seeds; of a share of all questions only."""
    quantity, against = Quantity.of(hypothesis), hypothesis.against
    if (
        not quantity.is_share
        or quantity.questions != "all"
        or quantity.measure not in ("test_accuracy", "train_accuracy")
    ):
        return None, None
    assert against is not None
    one, other = Place(hypothesis.arm, hypothesis.point), Place(against.arm or hypothesis.arm, against.point)
    discordant, effects = [], []
    for seed in difference.seeds:
        first, second = runs[one.arm, seed], runs[other.arm, seed]
        before, after = share_values(quantity, second, other.at(second)), share_values(quantity, first, one.at(first))
        train = first.train
        groups = first.test.groups if quantity.measure == "test_accuracy" or train is None else train.groups
        discordant.append(float((before != after).mean()))
        found = clustered_difference(before, after, groups, change.reading, flips=1).design_effect
        effects += [] if found is None else [found]
    return fmean(discordant), fmean(effects) if effects else None


def power_section(planned: Sequence[PlannedSeeds]) -> Section:
    """The plan as a table."""
    heads = "Hypothesis | Pilot seeds > | Difference > | Discordance > | Design effect > | SD over seeds >"
    heads += "".join(f" | {count} seeds >" for count in SEEDS) + " | Seeds for 80 % >"
    rows = [_row(one) for one in planned]
    caption = (
        "Under a number of seeds: the chance that the 95 % interval over seeds and clusters excludes 0 if the true "
        "difference is the pilot's, then the difference that would be seen 80 % of the time. Without correction for "
        f"several hypotheses. A sign-flip test over seeds needs {seeds_needed()} of them for one hypothesis."
    )
    notes = [f"{one.name}: {one.reason}" for one in planned if one.reason]
    return Section("Seeds", (make_table(heads, rows, caption), *notes))


def _row(one: PlannedSeeds) -> list[str]:
    cells = [one.name, number(one.pilot_seeds), points(one.effect), percent(one.discordance)]
    cells += [_plain(one.design_effect), _points(one.deviation)]
    cells += [_chance(one, count) for count in SEEDS]
    return [*cells, number(one.needed) if one.needed else (f"over {MOST_SEEDS}" if one.power else "–")]


def _plain(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


def _points(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"


def _chance(one: PlannedSeeds, count: int) -> str:
    if one.power is None or one.detectable is None:
        return "–"
    return f"{100 * one.power[count]:.0f} % (±{100 * one.detectable[count]:.1f})"
