"""The figure of ``kft certainty``, in the colours and style of the report's figures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kft_cli.display.svg import LINES, Attributes, Canvas, Drawing, points_of, ticks
from kft_cli.display.tables import make_table, number, percent
from kft_tasks.categories.category import KnowledgeCategory

NAME = "certainty"
_CAPTION = (
    "Top: expected categories with fewer exemplar sets, and with fewer samples. Bottom: how many questions keep their "
    "category, by the generations that lazy detection needs."
)
_NAMES = {category.value: category.value for category in KnowledgeCategory}
_WIDTH, _ROW = 900.0, 30.0
_TICKS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


def write_certainty_figure(data: Mapping[str, Any], folder: Path) -> Path:
    """Draw the JSON values of a :class:`kft_tasks.certainty.measure.Certainty` into ``certainty.svg``.

    Top: expected categories with fewer exemplar sets (all samples) and with fewer samples (all sets).
    Bottom: share of questions that keep their category, against the generations that lazy detection needs.
    """
    return draw_certainty(data).save(folder)


def draw_certainty(data: Mapping[str, Any]) -> Drawing:
    """Draw the three panels."""
    cells, protocol = data["grid"], data["protocol"]
    by_sets = [cell for cell in cells if cell["samples"] == protocol["samples"]]
    by_samples = [cell for cell in cells if cell["sets"] == protocol["exemplar_sets"]]
    below = 84 + _ROW * max(len(by_sets), len(by_samples)) + 70
    canvas = Canvas(NAME, _WIDTH, below + 330, "The price of certainty", _CAPTION)
    canvas.legend(60, 20, _NAMES)
    title = f"fewer exemplar sets (samples per set: {protocol['samples']})"
    _bars(canvas, 60, title, by_sets, "sets", data["questions"])
    title = f"fewer samples (exemplar sets: {protocol['exemplar_sets']})"
    _bars(canvas, 510, title, by_samples, "samples", data["questions"])
    _price(canvas, below, cells)
    rows = [[number(cell["sets"]), number(cell["samples"]), percent(cell["agreement"])] for cell in cells]
    return canvas.done(_CAPTION, make_table("sets > | samples > | same category >", rows))


def _bars(
    canvas: Canvas, left: float, title: str, cells: Sequence[Mapping[str, Any]], key: str, questions: int
) -> None:
    wide, top = 370.0, 62.0
    canvas.text(left, 48, title, font_weight="600")
    for place, cell in enumerate(cells):
        x, y = left, top + _ROW * place
        canvas.text(left - 8, y + 16, number(cell[key]), "end")
        for category, count in cell["counts"].items():
            part = wide * count / questions
            canvas.category(category, x, y, part, 22, number(round(count)))
            x += part
    base = top + _ROW * len(cells) + 4
    for tick in ticks(0, 100):
        canvas.text(left + wide * tick / 100, base + 12, str(tick), "middle", font_size=11)
    words = f"expected share of the {number(questions)} questions, %"
    canvas.text(left + wide / 2, base + 30, words, "middle", font_size=12)


def _price(canvas: Canvas, top: float, cells: Sequence[Mapping[str, Any]]) -> None:
    left, right, high = 60.0, _WIDTH - 20, 240.0
    most: float = max(cell["generations"] for cell in cells)
    low: float = min(100 * cell["agreement"] for cell in cells) - 4
    least: float = min(cell["lazy_generations"] for cell in cells)

    def across(generations: float) -> float:
        span = math.log(most * 1.1) - math.log(least * 0.9)
        return left + (right - left) * (math.log(generations) - math.log(least * 0.9)) / span

    def up(agreement: float) -> float:
        return top + high * (1 - (100 * agreement - low) / (103 - low))

    canvas.text(left, top - 14, "what a cheaper protocol keeps", font_weight="600")
    for tick in ticks(low, 100):
        canvas.line(left, up(tick / 100), right, up(tick / 100))
        canvas.text(left - 8, up(tick / 100) + 4.5, str(tick), "end", font_size=11)
    for tick in (tick for tick in _TICKS if least * 0.9 <= tick <= most):
        canvas.text(across(tick), top + high + 18, str(tick), "middle", font_size=11)
    words = "generations per question, lazy detection (log scale)"
    canvas.text((left + right) / 2, top + high + 38, words, "middle", font_size=12)
    middle = top + high / 2
    turned = f"rotate(-90 16 {middle:.0f})"
    canvas.text(16, middle, "same category as the full protocol, %", "middle", font_size=12, transform=turned)
    sets = sorted({cell["sets"] for cell in cells})
    for place, count in enumerate(sets):
        colour, marker, dashes = LINES[place % len(LINES)]
        row = [cell for cell in cells if cell["sets"] == count]
        spots = [(across(cell["lazy_generations"]), up(cell["agreement"])) for cell in row]
        stroke: Attributes = {"stroke": colour, "stroke_width": 1.8, "stroke_dasharray": dashes}
        canvas.add("polyline", points=points_of(spots), fill="none", **stroke)
        for x, y in spots:
            canvas.marker(marker, x, y, colour, 3.5)
        x, y = spots[-1]
        canvas.text(x + 7, y + 4, f"{count} set{'s' if count > 1 else ''}", font_size=11)
