"""The figures of an experiment, drawn from its record. The same record gives the same bytes."""

from __future__ import annotations

from collections.abc import Sequence

from kft_cli.display.svg import LINES, Attributes, Canvas, Drawing, ticks
from kft_cli.display.tables import make_table, percent
from kft_cli.experiment.cells import change_cell, level_cell
from kft_cli.experiment.record import AccuracyRecord, ExperimentRecord, HypothesisRecord
from kft_cli.report.sections.words import exemplars

HYPOTHESES = "figures/hypotheses.svg"
ACCURACY = "figures/arms.svg"
_NO_POINTS = ("text_loss", "also", "growth_of_gain")
"""Measures that are not in percentage points."""
_MARKERS = {"supported": "circle", "contradicted": "square", "not settled": "diamond"}
_COLOURS = {"supported": "#009E73", "contradicted": "#D55E00", "not settled": "#808080"}
_ROW = 34.0


def experiment_drawings(record: ExperimentRecord) -> dict[str, Drawing]:
    """All figures of an experiment, by the path that a document names."""
    found = {}
    if rows := shown_hypotheses(record):
        found[HYPOTHESES] = _draw_hypotheses(rows)
    if accuracy := last_accuracy(record):
        found[ACCURACY] = _draw_accuracy(accuracy)
    return found


def shown_hypotheses(record: ExperimentRecord) -> list[HypothesisRecord]:
    """Hypotheses with a difference in percentage points."""
    return [
        row
        for row in record.hypotheses
        if row.hypothesis.measure not in _NO_POINTS and row.change.difference is not None
    ]


def _draw_hypotheses(rows: Sequence[HypothesisRecord]) -> Drawing:
    """One line for each hypothesis: the difference with its interval, 0, and the smallest difference of interest."""
    caption = (
        "The difference that each hypothesis is about, in percentage points, with its 95 % interval. Tick below the "
        "line: the smallest difference of interest. Sign and colour: the verdict."
    )
    values = [0.0]
    for row in rows:
        change = row.change
        values += [100 * value for value in (change.difference, change.low, change.high) if value is not None]
        values.append(_interest(row))
    low, high = min(values) - 1, max(values) + 1
    left, right, top = 230.0, 700.0, 34.0
    bottom = top + _ROW * len(rows)
    canvas = Canvas("hypotheses", 860, bottom + 46, "Hypotheses", caption)

    def across(value: float) -> float:
        return left + (right - left) * (value - low) / (high - low)

    for tick in ticks(low, high):
        canvas.line(across(tick), top - 6, across(tick), bottom, stroke_opacity=0.7 if tick == 0 else 0.18)
        canvas.text(across(tick), bottom + 18, f"{tick:+d}".replace("-", "−") if tick else "0", "middle", font_size=12)
    canvas.text((left + right) / 2, bottom + 38, "difference, percentage points", "middle", font_size=12)
    for place, row in enumerate(rows):
        y = top + _ROW * (place + 0.5)
        colour = _COLOURS[row.verdict]
        canvas.text(left - 12, y + 4.5, row.hypothesis.name, "end")
        change = row.change
        if change.low is not None and change.high is not None:
            bar: Attributes = {"stroke": colour, "stroke_opacity": 1.0, "stroke_width": 2}
            canvas.line(across(100 * change.low), y, across(100 * change.high), y, **bar)
        if row.hypothesis.smallest:
            x = across(_interest(row))
            canvas.line(x, y + 3, x, y + 11, stroke_opacity=0.9, stroke_width=1.5)
        canvas.marker(_MARKERS[row.verdict], across(100 * (change.difference or 0)), y, colour)
        canvas.text(right + 14, y + 4.5, row.verdict)
    cells = [[row.hypothesis.name, row.verdict, change_cell(row.hypothesis.measure, row.change)] for row in rows]
    return canvas.done(caption, make_table("hypothesis | verdict | difference >", cells))


def _interest(row: HypothesisRecord) -> float:
    """The smallest difference of interest in percentage points, with its sign."""
    return row.hypothesis.smallest * (1 if row.hypothesis.direction == "higher" else -1)


def last_accuracy(record: ExperimentRecord) -> list[AccuracyRecord]:
    """Test accuracy of each arm at its last point, in each way of asking all test questions."""
    last = {arm.name: arm.points[-1] for arm in record.arms}
    return [row for row in record.accuracy if not row.held_out_types and row.point == last.get(row.arm)]


def _draw_accuracy(rows: Sequence[AccuracyRecord]) -> Drawing:
    """A line for each arm and a mark for each way of asking."""
    caption = "Test accuracy of each arm at its last point, mean over seeds; bars are 95 % intervals."
    arms = list(dict.fromkeys(row.arm for row in rows))
    ways = list(dict.fromkeys((row.shots, row.other_type) for row in rows))
    levels = [value for row in rows for value in (row.level.mean, row.level.low, row.level.high) if value is not None]
    low, high = max(0.0, 100 * min(levels) - 3), min(100.0, 100 * max(levels) + 3)
    left, right, top = 170.0, 780.0, 20.0 + 22 * len(ways)
    high_row = 14.0 + 16 * len(ways)
    bottom = top + high_row * len(arms)
    canvas = Canvas("arms", 860, bottom + 46, "Test accuracy by arm", caption)

    def across(value: float) -> float:
        return left + (right - left) * (value - low) / (high - low or 1)

    for tick in ticks(low, high):
        canvas.line(across(tick), top, across(tick), bottom)
        canvas.text(across(tick), bottom + 18, str(tick), "middle", font_size=12)
    canvas.text((left + right) / 2, bottom + 38, "right answers, %", "middle", font_size=12)
    for index, (shots, other) in enumerate(ways):
        colour, marker, _ = LINES[index % len(LINES)]
        canvas.marker(marker, left + 8, 10.0 + 22 * index, colour)
        canvas.text(left + 22, 14.5 + 22 * index, _asked(shots, other))
    for place, arm in enumerate(arms):
        y = top + high_row * place
        canvas.text(left - 12, y + high_row / 2 + 4.5, arm, "end")
        canvas.line(left - 6, y + high_row, right, y + high_row, stroke_opacity=0.1)
        for row in (row for row in rows if row.arm == arm):
            index = ways.index((row.shots, row.other_type))
            colour, marker, _ = LINES[index % len(LINES)]
            spot = y + high_row / 2 + 16 * (index - (len(ways) - 1) / 2)
            if row.level.low is not None and row.level.high is not None:
                bar: Attributes = {"stroke": colour, "stroke_opacity": 1.0, "stroke_width": 2}
                canvas.line(across(100 * row.level.low), spot, across(100 * row.level.high), spot, **bar)
            canvas.marker(marker, across(100 * row.level.mean), spot, colour, 4.5)
            end = row.level.mean if row.level.high is None else row.level.high
            canvas.text(across(100 * end) + 6, spot + 4, percent(row.level.mean), font_size=11)
    cells = [[row.arm, row.point, _asked(row.shots, row.other_type), level_cell(row.level)] for row in rows]
    return canvas.done(caption, make_table("arm | point | asked with | accuracy >", cells))


def _asked(shots: int, other_type: bool) -> str:
    return exemplars(shots) + (" of another type" if other_type else "")
