"""The figures of a report, drawn from its JSON values. The same report gives the same bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from kft_cli.display.drawing import (
    category_legend,
    horizontal_grid,
    new_figure,
    save_figure,
    stack_categories,
)
from kft_cli.report.sections.mastery import category_bars, levels
from kft_cli.report.sections.words import exemplars

_SERIES = (("#0072B2", "o", "-"), ("#D55E00", "s", "--"), ("#009E73", "^", "-."), ("#CC79A7", "D", ":"))

FIGURES = ("categories.png", "transitions.png", "test_accuracy.png", "validation.png")


def draw_figures(report: Mapping[str, Any], folder: Path) -> list[Path]:
    """Draw all figures of a report into ``folder``."""
    drawings: tuple[Callable[[Mapping[str, Any]], Any], ...] = (
        draw_categories,
        draw_transitions,
        draw_test_accuracy,
        draw_validation,
    )
    paths = [folder / name for name in FIGURES]
    for path, draw in zip(paths, drawings, strict=True):
        save_figure(partial(draw, report), path)
    return paths


def draw_categories(report: Mapping[str, Any]) -> Any:
    """Stacked bars: categories of the training questions at each point, and of the base model asked twice."""
    bars = [(name.replace(" (", "\n("), shares) for name, shares in category_bars(report)]
    figure = new_figure(8, 1.3 + 0.62 * len(bars))
    axes = figure.subplots()
    for position, (_, shares) in enumerate(bars):
        stack_categories(axes, position, shares)
    n = sum(entry["count"] for entry in bars[0][1].values())
    axes.set_yticks(range(len(bars)), [name for name, _ in bars])
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel(f"share of the {n:,} training questions, % (counts in the bars)")
    category_legend(figure, levels(report))
    return figure


def draw_transitions(report: Mapping[str, Any]) -> Any:
    """Heat maps: category before x category after, shaded by the share of the row, with counts."""
    maps = [(f"{step['before']} → {step['after']}", step["matrix"]) for step in report["transitions"]]
    if report["control"]:
        title = "base → base, other exemplars" if report.get("measured") else "retest: base → base again"
        maps.append((title, report["control"]["matrix"]))
    columns = min(2, len(maps))
    rows = -(-len(maps) // columns)
    figure = new_figure(4.5 * columns + 0.6, 3.7 * rows)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat[len(maps) :]:
        axes.set_visible(False)
    image = None
    for axes, (title, matrix) in zip(grid.flat, maps, strict=False):
        image = _heat_map(axes, title, matrix, levels(report))
    figure.colorbar(image, ax=grid, label="% of the row", shrink=0.6)
    return figure


def _heat_map(axes: Any, title: str, matrix: Mapping[str, Mapping[str, int]], labels: Mapping[str, str]) -> Any:
    names = list(labels)
    totals = {row: sum(matrix[row].values()) for row in names}
    shares = [[100 * matrix[row][column] / totals[row] if totals[row] else 0.0 for column in names] for row in names]
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    for y, row in enumerate(names):
        for x, column in enumerate(names):
            colour = "white" if shares[y][x] > 55 else "black"
            axes.text(x, y, f"{matrix[row][column]:,}", ha="center", va="center", color=colour)
    places = range(len(names))
    axes.set_xticks(places, list(labels.values()), rotation=20, ha="right", rotation_mode="anchor")
    axes.set_yticks(places, [f"{labels[row]}\n(n = {totals[row]:,})" for row in names])
    axes.set_xlabel("after")
    axes.set_ylabel("before")
    axes.set_title(title)
    axes.spines[:].set_visible(False)
    return image


def draw_test_accuracy(report: Mapping[str, Any]) -> Any:
    """Test accuracy at each point with its interval, one line for each way of asking; controls stand apart."""
    test, points = report["test"], report["run"]["points"]
    controls = [point for point in dict.fromkeys(row["point"] for row in test["accuracy"]) if point not in points]
    ways = list(dict.fromkeys((row["shots"], bool(row.get("other_type"))) for row in test["accuracy"]))
    figure = new_figure(6.4 + 1.5 * len(controls), 4.2)
    axes = figure.subplots()
    for index, way in enumerate(ways):
        rows = {row["point"]: row for row in test["accuracy"] if (row["shots"], bool(row.get("other_type"))) == way}
        shift = 0.09 * (index - (len(ways) - 1) / 2)  # so that the intervals do not overlap
        label = _way_label(*way, sets=rows[points[0]].get("sets", 1))
        _error_bars(axes, [place + shift for place in range(len(points))], [rows[one] for one in points], index, label)
        for place, control in enumerate(controls, start=len(points)):
            _error_bars(axes, [place + shift], [rows[control]], index, None)
    if controls:
        axes.axvline(len(points) - 0.5, color="#888888", linewidth=1, linestyle=":")
    places = [*points, *(control.replace("-continued", "\ncontinued\n(control)") for control in controls)]
    axes.set_xticks(range(len(places)), places)
    axes.set_xlim(-0.4, len(places) - 0.6)
    axes.set_ylabel("right answers, %")
    axes.set_xlabel(f"point of the run (n = {test['n']:,} test questions at each; bars: 95 % interval)")
    _percent_axis(axes, test["accuracy"])
    figure.legend(loc="outside upper center", ncols=min(2, len(ways)), frameon=False)
    return figure


def _way_label(shots: int, other_type: bool, *, sets: int) -> str:
    if other_type:
        return f"{exemplars(shots)} of another type"
    return f"{exemplars(shots)}, mean of {sets} sets" if sets > 1 else f"{exemplars(shots)} in the prompt"


def _error_bars(
    axes: Any, places: Sequence[float], rows: Sequence[Mapping[str, Any]], index: int, label: str | None
) -> None:
    """Shares with their intervals as a line; a share without an interval gets no bar."""
    colour, marker, line = _SERIES[index % len(_SERIES)]
    shares = [100 * row["share"] for row in rows]
    below = [share - 100 * _bound(row, "low") for share, row in zip(shares, rows, strict=True)]
    above = [100 * _bound(row, "high") - share for share, row in zip(shares, rows, strict=True)]
    errors = [[max(0.0, value) for value in below], [max(0.0, value) for value in above]]
    axes.errorbar(
        places, shares, yerr=errors, color=colour, marker=marker, linestyle=line, capsize=3, markersize=6, label=label
    )


def _bound(row: Mapping[str, Any], key: str) -> float:
    return float(row["share"] if row[key] is None else row[key])


def _percent_axis(axes: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    low, high = min(100 * _bound(row, "low") for row in rows), max(100 * _bound(row, "high") for row in rows)
    axes.set_ylim(max(0, low - 6), min(100, high + 6) if high < 94 else 102)
    horizontal_grid(axes)


def draw_validation(report: Mapping[str, Any]) -> Any:
    """Validation accuracy by epoch, one panel for each stage, with the chosen epoch marked."""
    stages = report["stages"]
    figure = new_figure(2 + 3.1 * max(len(stages), 2), 3.8)
    panels = figure.subplots(1, len(stages), squeeze=False, sharey=True)[0]
    for axes, stage in zip(panels, stages, strict=True):
        _validation_panel(axes, stage)
    _percent_axis(panels[0], [row for stage in stages for row in stage["epochs"]])
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False)
    panels[0].set_ylabel(f"{stages[0]['scorer']} on validation, %")
    return figure


def _validation_panel(axes: Any, stage: Mapping[str, Any]) -> None:
    rows = stage["epochs"]
    epochs = [row["epoch"] for row in rows]
    _error_bars(axes, epochs, rows, 0, "after the epoch, with 95 % interval")
    chosen = next(row for row in rows if row["epoch"] == stage["chosen_epoch"])
    axes.plot(
        chosen["epoch"],
        100 * chosen["share"],
        marker="o",
        markersize=13,
        markerfacecolor="none",
        markeredgecolor="#D55E00",
        markeredgewidth=2,
        linestyle="none",
        label="chosen epoch",
    )
    axes.axhline(100 * rows[0]["share"], color="#888888", linewidth=1, linestyle=":", label="starting point")
    axes.set_xticks(epochs)
    axes.set_title(stage["name"])
    axes.set_xlabel(f"epoch (n = {rows[0]['n']:,} questions)")
    horizontal_grid(axes)
