"""The figure of ``kft certainty``, in the colours and style of the report's figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from kft_cli.display.drawing import category_legend, horizontal_grid, new_figure, save_figure, stack_categories

_SERIES = (  # colour, marker, line: by number of exemplar sets, fewest first
    ("#999999", "x", ":"),
    ("#CC79A7", "D", "-."),
    ("#009E73", "^", "--"),
    ("#D55E00", "s", "-."),
    ("#56B4E9", "v", "--"),
    ("#0072B2", "o", "-"),
)


def write_certainty_figure(data: Mapping[str, Any], path: Path) -> None:
    """Draw the JSON values of a :class:`kft_tasks.certainty.measure.Certainty` into a PNG file.

    Top: expected categories with fewer exemplar sets (all samples) and with fewer samples (all sets).
    Bottom: share of questions that keep their category, against the generations that lazy detection needs.
    """
    save_figure(partial(draw_certainty, data), path)


def draw_certainty(data: Mapping[str, Any]) -> Any:
    """Draw the three panels."""
    cells, protocol = data["grid"], data["protocol"]
    by_sets = [cell for cell in cells if cell["samples"] == protocol["samples"]]
    by_samples = [cell for cell in cells if cell["sets"] == protocol["exemplar_sets"]]
    figure = new_figure(10, 3.6 + 0.42 * max(len(by_sets), len(by_samples)) + 1.2)
    height = 1.1 + 0.42 * max(len(by_sets), len(by_samples))
    grid = figure.add_gridspec(2, 2, height_ratios=(height, 3.4))
    left, right, below = figure.add_subplot(grid[0, 0]), figure.add_subplot(grid[0, 1]), figure.add_subplot(grid[1, :])
    _bars(left, by_sets, "sets", data["questions"])
    left.set_title(f"fewer exemplar sets (samples per set: {protocol['samples']})")
    left.set_ylabel("exemplar sets")
    _bars(right, by_samples, "samples", data["questions"])
    right.set_title(f"fewer samples (exemplar sets: {protocol['exemplar_sets']})")
    right.set_ylabel("samples per set")
    _price(below, cells, data)
    category_legend(figure)
    return figure


def _bars(axes: Any, cells: Sequence[Mapping[str, Any]], key: str, questions: int) -> None:
    for position, cell in enumerate(cells):
        counts = {name: {"share": count / questions, "count": round(count)} for name, count in cell["counts"].items()}
        stack_categories(axes, position, counts)
    axes.set_yticks(range(len(cells)), [str(cell[key]) for cell in cells])
    axes.set_xlim(0, 100)
    axes.set_xlabel(f"expected share of the {questions:,} questions, %")


def _price(axes: Any, cells: Sequence[Mapping[str, Any]], data: Mapping[str, Any]) -> None:
    sets = sorted({cell["sets"] for cell in cells})
    for place, number in enumerate(sets):
        row = [cell for cell in cells if cell["sets"] == number]
        colour, marker, line = _SERIES[(place - len(sets)) % len(_SERIES)]
        label = f"{number} exemplar set{'s' if number > 1 else ''}"
        across = [cell["lazy_generations"] for cell in row]
        up = [100 * cell["agreement"] for cell in row]
        axes.plot(across, up, color=colour, marker=marker, linestyle=line, markersize=5, label=label)
    for cell in cells:
        if cell["sets"] == sets[-1]:
            point = (cell["lazy_generations"], 100 * cell["agreement"])
            axes.annotate(
                str(cell["samples"]), point, textcoords="offset points", xytext=(0, 7), ha="center", fontsize=8
            )
    axes.set_xscale("log")
    ticks = [tick for tick in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000) if tick <= cells[-1]["generations"]]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set_ylim(min(100 * cell["agreement"] for cell in cells) - 4, 104)
    axes.set_xlabel("expected generations per question, lazy detection (log scale; numbers at points: samples per set)")
    axes.set_ylabel("same category as the\nfull protocol, % of questions")
    axes.set_title("what a cheaper protocol keeps")
    horizontal_grid(axes)
    axes.legend(frameon=False, loc="lower right")
