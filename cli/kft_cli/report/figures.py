"""The figures of a report, drawn from its JSON values. The same report gives the same bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kft_cli.display.svg import CATEGORY_COLOURS, LINES, Attributes, Canvas, Drawing, points_of, ticks
from kft_cli.display.tables import make_table, number, share
from kft_cli.report.sections.mastery import category_bars, flow_caption, levels
from kft_cli.report.sections.words import exemplars

Report = Mapping[str, Any]

FIGURES = ("flow.svg", "categories.svg", "transitions.svg", "test_accuracy.svg", "validation.svg")
OLD_FIGURES = ("categories.png", "transitions.png", "test_accuracy.png", "validation.png")
"""Of reports of earlier versions."""


def draw_figures(report: Report, folder: Path) -> list[Path]:
    """Draw all figures of a report into ``folder``."""
    return [drawing.save(folder) for drawing in drawings(report)]


def drawings(report: Report) -> list[Drawing]:
    """All figures of a report, in the order of :data:`FIGURES`."""
    makers: tuple[Callable[[Report], Drawing], ...] = (
        draw_flow,
        draw_categories,
        draw_transitions,
        draw_test_accuracy,
        draw_validation,
    )
    return [make(report) for make in makers]


def flow_steps(report: Report) -> list[Mapping[str, Any]]:
    """The transitions from each point to the next."""
    return list(report["transitions"][: len(report["run"]["points"]) - 1])


def draw_flow(report: Report) -> Drawing:
    """How questions flow through the categories from point to point: an alluvial diagram.

    Every band carries its categories and points as ``data-`` attributes: a page that holds the questions can filter
    them by it.
    """
    steps, names = flow_steps(report), levels(report)
    n = steps[0]["movement"]["n"]
    columns = [steps[0]["before"], *(step["after"] for step in steps)]
    caption = flow_caption(report)
    width, top, height, gap, node = 860.0, 44.0, 290.0, 12.0, 16.0
    left, right = 138.0, 138.0
    canvas = Canvas("flow", width, top + height + 3 * gap + 12, "Categories from point to point", caption)
    scale = height / max(1, n)
    places = [left + index * (width - left - right - node) / (len(columns) - 1) for index in range(len(columns))]
    tops = [_column_tops(steps, index, names, top, scale, gap) for index in range(len(columns))]
    rows = []
    for index, step in enumerate(steps):
        rows += _bands(canvas, step, names, (places[index] + node, places[index + 1]), tops[index : index + 2], scale)
    for index, (point, x) in enumerate(zip(columns, places, strict=True)):
        last = index == len(columns) - 1
        canvas.text(x + node / 2, 20, point, "middle", font_weight="600")
        for category, label in names.items():
            count, y = tops[index][category]
            canvas.category(category, x, y, node, max(1.0, count * scale))
            middle = y + count * scale / 2 + 4.5
            if index == 0:
                canvas.text(x - 8, middle, f"{label} {number(count)}", "end")
            else:
                canvas.text(x + node + 8, middle, f"{label} {number(count)}" if last else number(count))
    heads = "from → to | before | after | questions >"
    return canvas.done(caption, make_table(heads, rows))


Tops = dict[str, tuple[int, float]]


def _column_tops(
    steps: Sequence[Mapping[str, Any]], index: int, names: Mapping[str, str], top: float, scale: float, gap: float
) -> Tops:
    """Count and upper edge of each category's box at a point; boxes are at least 14 pixels apart for their labels."""
    found: Tops = {}
    y = top
    for category in names:
        if index == 0:
            count = sum(steps[0]["matrix"][category].values())
        else:
            count = sum(line[category] for line in steps[index - 1]["matrix"].values())
        found[category] = (count, y)
        y += max(count * scale, 6.0) + gap
    return found


def _bands(
    canvas: Canvas,
    step: Mapping[str, Any],
    names: Mapping[str, str],
    edges: tuple[float, float],
    tops: Sequence[Tops],
    scale: float,
) -> list[list[str]]:
    """Draw what moved in one step; the values as rows of the table."""
    rows = []
    x1, x2 = edges
    bend = (x2 - x1) / 2
    starts = {category: y for category, (_, y) in tops[0].items()}
    ends = {category: y for category, (_, y) in tops[1].items()}
    for before in names:
        for after in names:
            count = step["matrix"][before][after]
            if not count:
                continue
            y1, y2, thick = starts[before], ends[after], count * scale
            starts[before] += thick
            ends[after] += thick
            outline = (
                f"M{x1:.1f} {y1:.1f}C{x1 + bend:.1f} {y1:.1f} {x2 - bend:.1f} {y2:.1f} {x2:.1f} {y2:.1f}"
                f"V{y2 + thick:.1f}C{x2 - bend:.1f} {y2 + thick:.1f} {x1 + bend:.1f} {y1 + thick:.1f} "
                f"{x1:.1f} {y1 + thick:.1f}Z"
            )
            band = canvas.add("path", d=outline, fill=CATEGORY_COLOURS[before], fill_opacity=0.42, class_="band")
            for key, value in (("before", before), ("after", after)):
                band.set(f"data-{key}", value)
                band.set(f"data-{key}-point", str(step[key]))
            words = f"{number(count)} from {names[before]} at {step['before']} to {names[after]} at {step['after']}"
            canvas.add("title", band).text = words
            rows.append([f"{step['before']} → {step['after']}", names[before], names[after], number(count)])
    return rows


def draw_categories(report: Report) -> Drawing:
    """Stacked bars: categories of the training questions at each point, and of the base model asked twice."""
    bars, names = category_bars(report), levels(report)
    n = sum(entry["count"] for entry in bars[0][1].values())
    caption = f"Categories of the {number(n)} training questions at each point; counts in the bars."
    left, right, top, row = 170.0, 700.0, 40.0, 38.0
    canvas = Canvas("categories", 740, top + row * len(bars) + 46, "Categories at each point", caption)
    canvas.legend(left, 20, names)
    for index, (point, shares) in enumerate(bars):
        y, x = top + row * index, left
        canvas.text(left - 10, y + 18, point, "end")
        for category in names:
            wide = (right - left) * (shares[category]["share"] or 0)
            canvas.category(category, x, y, wide, 26, number(shares[category]["count"]))
            x += wide
    base = top + row * len(bars)
    for tick in ticks(0, 100):
        x = left + (right - left) * tick / 100
        canvas.line(x, base - 6, x, base)
        canvas.text(x, base + 16, str(tick), "middle", font_size=12)
    canvas.text((left + right) / 2, base + 36, "share of the questions, %", "middle", font_size=12)
    rows = [[point, *(f"{number(one[key]['count'])}: {share(one[key])}" for key in names)] for point, one in bars]
    return canvas.done(caption, make_table("point | " + " | ".join(f"{name} >" for name in names.values()), rows))


def draw_transitions(report: Report) -> Drawing:
    """Heat maps: category before x category after, shaded by the share of the row, with counts."""
    maps = [(f"{step['before']} → {step['after']}", step["matrix"]) for step in report["transitions"]]
    if report["control"]:
        title = "base → base, other exemplars" if report.get("measured") else "retest: base → base again"
        maps.append((title, report["control"]["matrix"]))
    names = levels(report)
    across, cell, high = min(2, len(maps)), 78.0, 46.0
    box = (132 + cell * len(names), 62 + high * len(names))
    caption = "Category before (rows) and after (columns); the shading is the share of the row."
    width, height = across * (box[0] + 24), -(-len(maps) // across) * (box[1] + 12)
    canvas = Canvas("transitions", width, height, "What moved between points", caption)
    rows = []
    for index, (title, matrix) in enumerate(maps):
        corner = ((index % across) * (box[0] + 24), (index // across) * (box[1] + 12))
        _heat_map(canvas, corner, title, matrix, names, (cell, high))
        for row, shown in names.items():
            rows.append([title, shown, *(number(matrix[row][column]) for column in names)])
    heads = "from → to | before | " + " | ".join(f"{name} after >" for name in names.values())
    return canvas.done(caption, make_table(heads, rows))


def _heat_map(
    canvas: Canvas,
    corner: tuple[float, float],
    title: str,
    matrix: Mapping[str, Mapping[str, int]],
    names: Mapping[str, str],
    size: tuple[float, float],
) -> None:
    (x, y), (wide, high) = corner, size
    left, top = x + 124, y + 44
    canvas.text(x + 4, y + 16, title, font_weight="600")
    for column, shown in enumerate(names.values()):
        canvas.text(left + wide * (column + 0.5), top - 8, shown, "middle", font_size=11)
    for line, (row, shown) in enumerate(names.items()):
        total = sum(matrix[row].values())
        canvas.text(left - 8, top + high * line + 21, shown, "end", font_size=12)
        canvas.text(left - 8, top + high * line + 35, f"n = {number(total)}", "end", font_size=11, fill_opacity=0.75)
        for column, after in enumerate(names):
            part = matrix[row][after] / total if total else 0.0
            at = (left + wide * column + 1, top + high * line + 1)
            canvas.add("rect", x=at[0], y=at[1], width=wide - 2, height=high - 2, fill="#ffffff")
            canvas.add("rect", x=at[0], y=at[1], width=wide - 2, height=high - 2, fill="#0072B2", fill_opacity=part)
            ink = "#ffffff" if part > 0.93 else "#000000"  # where white becomes the one that is read more easily
            label = number(matrix[row][after])
            canvas.text(at[0] + wide / 2 - 1, at[1] + high / 2 + 4, label, "middle", fill=ink)


def draw_test_accuracy(report: Report) -> Drawing:
    """Test accuracy at each point with its interval, one line for each way of asking; controls stand apart."""
    test, points = report["test"], report["run"]["points"]
    controls = [point for point in dict.fromkeys(row["point"] for row in test["accuracy"]) if point not in points]
    ways = list(dict.fromkeys((row["shots"], bool(row.get("other_type"))) for row in test["accuracy"]))
    columns = [*points, *controls]
    caption = f"Test accuracy at each point, n = {number(test['n'])} questions; bars are 95 % intervals."
    axis = _PercentAxis(test["accuracy"], top=24.0 + 22 * len(ways), height=260.0, left=56.0)
    width = axis.left + 150.0 * len(columns) + 20
    canvas = Canvas("test_accuracy", width, axis.bottom + 50, "Test accuracy", caption)
    axis.draw(canvas, width - 10, "right answers, %")
    for place, point in enumerate(columns):
        canvas.text(axis.left + 150 * (place + 0.5), axis.bottom + 20, point, "middle")
        if point in controls:
            canvas.text(axis.left + 150 * (place + 0.5), axis.bottom + 36, "(control)", "middle", font_size=12)
    if controls:
        x = axis.left + 150 * len(points)
        canvas.line(x, axis.top, x, axis.bottom, stroke_opacity=0.5, stroke_dasharray="2 4")
    rows = []
    for index, way in enumerate(ways):
        found = {row["point"]: row for row in test["accuracy"] if (row["shots"], bool(row.get("other_type"))) == way}
        label = _way_label(*way, sets=found[points[0]].get("sets", 1))
        shift = 32 * (index - (len(ways) - 1) / 2)  # so that the intervals do not overlap
        spots = [axis.left + 150 * (place + 0.5) + shift for place in range(len(columns))]
        axis.series(canvas, index, [(x, found[one]) for x, one in zip(spots, points, strict=False)], label)
        axis.series(canvas, index, [(x, found[one]) for x, one in zip(spots[len(points) :], controls, strict=True)])
        rows.append([label, *(share(found[point]) for point in columns)])
    return canvas.done(caption, make_table(["asked with", *(f"{point} >" for point in columns)], rows))


def _way_label(shots: int, other_type: bool, *, sets: int) -> str:
    if other_type:
        return f"{exemplars(shots)} of another type"
    return f"{exemplars(shots)}, mean of {sets} sets" if sets > 1 else f"{exemplars(shots)} in the prompt"


def draw_validation(report: Report) -> Drawing:
    """Validation accuracy by epoch, one panel for each stage, with the chosen epoch marked."""
    stages = report["stages"]
    caption = "Validation accuracy by epoch; epoch 0 is before training. Bars: 95 % intervals. Circle: the epoch kept."
    rows = [row for stage in stages for row in stage["epochs"]]
    axis = _PercentAxis(rows, top=52.0, height=220.0, left=56.0)
    panel = max(180.0, 44.0 * max(len(stage["epochs"]) for stage in stages))
    width = axis.left + panel * len(stages) + 10
    canvas = Canvas("validation", width, axis.bottom + 44, "Validation accuracy by epoch", caption)
    axis.draw(canvas, width - 10, f"{stages[0]['scorer']} on validation, %")
    cells = []
    for index, stage in enumerate(stages):
        left = axis.left + panel * index
        canvas.text(left + panel / 2, 40, stage["name"], "middle", font_weight="600")
        canvas.text(left + panel / 2, axis.bottom + 38, f"epoch (n = {number(stage['epochs'][0]['n'])})", "middle")
        step = panel / len(stage["epochs"])
        spots = [(left + step * (place + 0.5), row) for place, row in enumerate(stage["epochs"])]
        start = axis.y(stage["epochs"][0]["share"])
        canvas.line(left + 6, start, left + panel - 6, start, stroke_opacity=0.5, stroke_dasharray="2 4")
        axis.series(canvas, 0, spots)
        for x, row in spots:
            canvas.text(x, axis.bottom + 18, str(row["epoch"]), "middle")
            if kept := row["epoch"] == stage["chosen_epoch"]:
                ring: Attributes = {"fill": "none", "stroke": "#D55E00", "stroke_width": 2.5}
                canvas.add("circle", cx=x, cy=axis.y(row["share"]), r=10, **ring)
            cells.append([stage["name"], f"{row['epoch']}{' (kept)' if kept else ''}", share(row)])
    return canvas.done(caption, make_table("stage | epoch | right >", cells))


class _PercentAxis:
    """A vertical axis of percentages that fits some shares with their intervals."""

    def __init__(self, rows: Sequence[Mapping[str, Any]], *, top: float, height: float, left: float) -> None:
        low = min(100 * _bound(row, "low") for row in rows)
        high = max(100 * _bound(row, "high") for row in rows)
        self.low, self.high = max(0.0, low - 4), min(100.0, high + 6)
        self.top, self.height, self.left = top, height, left

    @property
    def bottom(self) -> float:
        return self.top + self.height

    def y(self, part: float) -> float:
        return self.bottom - self.height * (100 * part - self.low) / (self.high - self.low or 1)

    def draw(self, canvas: Canvas, right: float, label: str) -> None:
        for tick in ticks(self.low, self.high):
            canvas.line(self.left, self.y(tick / 100), right, self.y(tick / 100))
            canvas.text(self.left - 8, self.y(tick / 100) + 4.5, str(tick), "end", font_size=12)
        middle = self.top + self.height / 2
        canvas.text(14, middle, label, "middle", font_size=12, transform=f"rotate(-90 14 {middle:.0f})")

    def series(
        self, canvas: Canvas, index: int, spots: Sequence[tuple[float, Mapping[str, Any]]], label: str = ""
    ) -> None:
        """Shares with their intervals as a line; a share without an interval gets no bar."""
        colour, marker, dashes = LINES[index % len(LINES)]
        stroke: Attributes = {"stroke": colour, "stroke_width": 2, "stroke_dasharray": dashes}
        if label:
            y = 14.0 + 22 * index
            canvas.add("line", x1=self.left, y1=y, x2=self.left + 34, y2=y, **stroke)
            canvas.marker(marker, self.left + 17, y, colour)
            canvas.text(self.left + 44, y + 4.5, label)
        places = [(x, self.y(row["share"])) for x, row in spots]
        canvas.add("polyline", points=points_of(places), fill="none", **stroke)
        for (x, y), (_, row) in zip(places, spots, strict=True):
            low, high = self.y(_bound(row, "low")), self.y(_bound(row, "high"))
            bar: Attributes = {"stroke": colour, "stroke_opacity": 1.0, "stroke_width": 1.5}
            canvas.line(x, low, x, high, **bar)
            for end in (low, high):
                canvas.line(x - 4, end, x + 4, end, **bar)
            canvas.marker(marker, x, y, colour)
            canvas.text(x, high - 6, f"{100 * row['share']:.1f}", "middle", font_size=11)


def _bound(row: Mapping[str, Any], key: str) -> float:
    return float(row["share"] if row[key] is None else row[key])
