"""Figures as SVG: sharp, small and readable by screen readers. The same data give the same bytes.

A figure inherits its text colour (``currentColor``), so that it follows a light and a dark page; as a file of its own
it is dark on white. Nothing is said by colour alone: categories also have a pattern, and every value is written out.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kft_cli.display.tables import Table
from kft_tasks.files import atomic_write
from kft_tasks.visible_text import visible

CATEGORY_COLOURS = {"HighlyKnown": "#0072B2", "MaybeKnown": "#56B4E9", "WeaklyKnown": "#F0C04A", "Unknown": "#B8B8B8"}
"""Colours of Okabe and Ito, or near them: people with colour blindness can tell them apart."""
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"
INK = "#1d1f22"
ON_COLOUR = {"HighlyKnown": "#ffffff", "MaybeKnown": "#111111", "WeaklyKnown": "#111111", "Unknown": "#111111"}
LINES = (
    ("#0072B2", "circle", "none"),
    ("#D55E00", "square", "7 4"),
    ("#009E73", "triangle", "2 4"),
    ("#CC79A7", "diamond", "9 3 2 3"),
)
"""Colour, marker and dashes of the first, second ... line; colours are Okabe and Ito's."""

Attributes = dict[str, str | float]
_LONGEST = 60  # characters of a label
_PATTERNS = {"MaybeKnown": "M0 6L6 0", "WeaklyKnown": "M0 3H6", "Unknown": "M3 2.4V3.6"}


@dataclass(frozen=True)
class Drawing:
    """A finished figure.

    Attributes:
        name: of its file, without ending.
        caption: what it shows, in words.
        table: the same values, for readers who cannot see it.
    """

    name: str
    root: ET.Element
    caption: str
    table: Table

    def inline(self) -> str:
        """The ``<svg>`` element as part of a page."""
        return ET.tostring(self.root, encoding="unicode")

    def file(self) -> str:
        """The figure as a file of its own, dark on white."""
        root = ET.fromstring(self.inline())
        root.set("xmlns", "http://www.w3.org/2000/svg")
        root.set("color", INK)
        root.insert(2, ET.Element("rect", {"width": "100%", "height": "100%", "fill": "#ffffff"}))
        return ET.tostring(root, encoding="unicode") + "\n"

    def save(self, folder: Path) -> Path:
        """Write that file."""
        path = folder / f"{self.name}.svg"
        with atomic_write(path) as stream:
            stream.write(self.file())
        return path


class Canvas:
    """An SVG element that is being filled. Lengths are in pixels, text is plain text from anywhere."""

    def __init__(self, name: str, width: float, height: float, title: str, description: str) -> None:
        self.name = name
        self.width, self.height = width, height
        self.root = ET.Element(
            "svg",
            {
                "viewBox": f"0 0 {_number(width)} {_number(height)}",
                "width": _number(width),
                "height": _number(height),
                "role": "img",
                "aria-labelledby": f"{name}-title {name}-description",
                "font-family": FONT,
                "font-size": "13",
                "fill": "currentColor",
            },
        )
        for part, text in (("title", title), ("desc", description)):
            label = "title" if part == "title" else "description"
            ET.SubElement(self.root, part, {"id": f"{name}-{label}"}).text = visible(text)

    def add(self, tag: str, parent: ET.Element | None = None, /, **attributes: str | float) -> ET.Element:
        """An element; ``stroke_width`` becomes ``stroke-width``, ``class_`` becomes ``class``."""
        values = {
            key.rstrip("_").replace("_", "-"): value if isinstance(value, str) else _number(value)
            for key, value in attributes.items()
        }
        return ET.SubElement(self.root if parent is None else parent, tag, values)

    def text(self, x: float, y: float, text: str, anchor: str = "start", **attributes: str | float) -> ET.Element:
        """A line of text with its baseline at ``y``; what would push the figure aside is cut."""
        element = self.add("text", x=x, y=y, text_anchor=anchor, **attributes)
        shown = visible(text)
        element.text = shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 1]}…"
        return element

    def line(self, x1: float, y1: float, x2: float, y2: float, **attributes: str | float) -> None:
        """A thin line, faint where nothing else is said."""
        values: Attributes = {"stroke": "currentColor", "stroke_opacity": 0.18, **attributes}
        self.add("line", x1=x1, y1=y1, x2=x2, y2=y2, **values)

    def category(self, category: str, x: float, y: float, width: float, height: float, label: str = "") -> None:
        """A box in a category's colour with its pattern, and a number in it where there is room."""
        self.add("rect", x=x, y=y, width=width, height=height, fill=CATEGORY_COLOURS[category])
        if category in _PATTERNS:
            self._define(category)
            self.add("rect", x=x, y=y, width=width, height=height, fill=f"url(#{self.name}-{category})")
        if label and width >= 8 * len(label) + 6:
            self.text(x + width / 2, y + height / 2 + 4.5, label, "middle", fill=ON_COLOUR[category])

    def _define(self, category: str) -> None:
        id_ = f"{self.name}-{category}"
        if any(found.get("id") == id_ for found in self.root.iter("pattern")):
            return
        pattern = self.add("pattern", id=id_, width=6, height=6, patternUnits="userSpaceOnUse")
        stroke: Attributes = {"fill": "none", "stroke": "#000000", "stroke_opacity": 0.22, "stroke_width": 1.2}
        self.add("path", pattern, d=_PATTERNS[category], **stroke)

    def legend(self, x: float, y: float, labels: dict[str, str]) -> None:
        """The categories in one line."""
        for category, label in labels.items():
            self.category(category, x, y - 11, 14, 14)
            self.text(x + 20, y, label)
            x += 44 + 7.8 * len(label)

    def marker(self, kind: str, x: float, y: float, colour: str, size: float = 5) -> None:
        """A point of a line."""
        if kind == "circle":
            self.add("circle", cx=x, cy=y, r=size, fill=colour)
            return
        shapes = {
            "square": ((-1, -1), (1, -1), (1, 1), (-1, 1)),
            "triangle": ((0, -1.2), (1.2, 1), (-1.2, 1)),
            "diamond": ((0, -1.4), (1.4, 0), (0, 1.4), (-1.4, 0)),
        }
        corners = " ".join(f"{_number(x + size * dx)},{_number(y + size * dy)}" for dx, dy in shapes[kind])
        self.add("polygon", points=corners, fill=colour)

    def done(self, caption: str, table: Table) -> Drawing:
        """The finished figure."""
        return Drawing(self.name, self.root, caption, table)


def ticks(low: float, high: float) -> list[int]:
    """Round percentages from ``low`` to ``high``, at most eight."""
    step = next(step for step in (1, 2, 5, 10, 20, 25) if (high - low) / step <= 7)
    first = int(-(-low // step)) * step
    return list(range(first, int(high) + 1, step))


def points_of(places: Sequence[tuple[float, float]]) -> str:
    """The ``points`` of a polyline."""
    return " ".join(f"{_number(x)},{_number(y)}" for x, y in places)


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if value else "0"
