"""Cells of the tables of an experiment: levels, differences and numbers of seeds."""

from __future__ import annotations

from kft_cli.display.tables import NONE, number, percent, points
from kft_cli.experiment.hypothesis import Measure
from kft_cli.experiment.record import ChangeRecord, LevelRecord, SpreadRecord
from kft_cli.report.run_layout import BASE
from kft_cli.report.sections.elsewhere import signed

NAMES: dict[Measure, str] = {
    "test_accuracy": "test accuracy",
    "train_accuracy": "right answers to training questions",
    "highly_known": "HighlyKnown",
    "kept": "HighlyKnown kept",
    "upgraded": "upgraded",
    "growth_of_gain": "growth of the gain in HighlyKnown",
    "held_out_types": "test accuracy, held-out types",
    "text_loss": "loss of held-out text",
    "also": "further task",
}
"""What a quantity is called in a table."""


def quantity_cell(measure: Measure, shots: int | None, questions: str | None, task: str | None) -> str:
    """The quantity with what it depends on: ``test accuracy, 4 exemplars``."""
    name = task or NAMES[measure]
    more = []
    if shots is not None:
        more.append(f"{shots} exemplars")
    if questions not in (None, "all"):
        more.append(f"{questions} questions")
    return ", ".join((name, *more))


def place_cells(arm: str, point: str) -> tuple[str, str]:
    """An arm and a point of it; the base model is that of all arms."""
    return ("(all)" if point == BASE else arm), point


def level_cell(level: LevelRecord) -> str:
    """A share with its interval: 41.8 % (35.0–48.9)."""
    if level.low is None or level.high is None:
        return percent(level.mean)
    return f"{percent(level.mean)} ({100 * level.low:.1f}–{100 * level.high:.1f})"


def change_cell(measure: Measure, change: ChangeRecord | None) -> str:
    """A difference with its interval: in points; in nats per token, or in parts of 1, where it is no share."""
    if change is None or change.difference is None:
        return NONE
    if change.low is None or change.high is None:
        return value_cell(measure, change.difference)
    low, high = (value_cell(measure, value) for value in (change.low, change.high))
    return f"{value_cell(measure, change.difference)} ({low} to {high})"


def value_cell(measure: Measure, value: float | None) -> str:
    """A difference: points, or with three decimals for a loss and a further task."""
    if value is None:
        return NONE
    return signed(value) if measure in ("text_loss", "also") else points(value)


def mean_cell(measure: Measure, value: float | None) -> str:
    """The quantity itself."""
    if value is None:
        return NONE
    if measure in ("text_loss", "also"):
        return f"{value:.3f}"
    return percent(value)


def size_cell(measure: Measure, value: float | None) -> str:
    """A size without a sign: what would have been seen."""
    if value is None:
        return NONE
    return f"{value:.3f}" if measure in ("text_loss", "also") else f"{100 * value:.1f}"


def spread_cell(spread: SpreadRecord) -> str:
    """A number of each seed: its mean, and extremes where seeds differ."""
    if spread.least == spread.most:
        return number(spread.mean)
    return f"{number(round(spread.mean, 1))} ({number(spread.least)}–{number(spread.most)})"


def count_cell(value: float) -> str:
    """A mean number of questions."""
    return number(round(value, 1))
