"""How figures look, once: colours, style, and the file they are saved in. The same data give the same bytes.

Colours are Okabe and Ito's, which people with colour blindness can tell apart; nothing is said by colour alone.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from kft_tasks.visible_text import visible_lines

CATEGORY_COLOURS = {"HighlyKnown": "#0072B2", "MaybeKnown": "#56B4E9", "WeaklyKnown": "#F0C04A", "Unknown": "#B8B8B8"}
_DARK = {"HighlyKnown"}  # white numbers on these
_STYLE = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so it is the same everywhere
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "figure.constrained_layout.use": True,
    "svg.hashsalt": "kft",
    "text.parse_math": False,  # a dollar is a dollar
}
_DPI = 120
_LONGEST = 100  # characters of a line in a figure
_LONGEST_LABEL = 40  # of what stands along an axis
_LINES = 3


def save_figure(draw: Callable[[], Any], path: Path) -> None:
    """Draw a figure in our style, whatever the user's matplotlibrc says, and save it as PNG."""
    from matplotlib import style

    path.parent.mkdir(parents=True, exist_ok=True)
    with style.context(["default", _STYLE]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # the font shows a box
        warnings.filterwarnings("ignore", "constrained_layout not applied")  # of long names; all is drawn
        figure = draw()
        make_texts_visible(figure)
        figure.savefig(path, dpi=_DPI, metadata={"Software": None}, pil_kwargs={"optimize": True})


def make_texts_visible(figure: Any) -> None:
    """Show hidden characters in a figure's texts as their code points, and cut what would push the figure aside."""
    from matplotlib.text import Text
    from matplotlib.ticker import FixedFormatter, FuncFormatter

    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            given = axis.get_major_formatter()
            if isinstance(given, (FixedFormatter, FuncFormatter)):  # labels of ours, not numbers
                axis.set_major_formatter(FuncFormatter(partial(_label, given)))
    for text in figure.findobj(Text):
        text.set_text(_shown(text.get_text()))


def _label(given: Callable[..., str], value: float, position: int | None = None) -> str:
    return _shown(given(value, position), _LONGEST_LABEL)


def _shown(text: str, longest: int = _LONGEST) -> str:
    lines = visible_lines(text).split("\n")
    return "\n".join(line if len(line) <= longest else f"{line[: longest - 1]}…" for line in lines[:_LINES])


def new_figure(width: float, height: float) -> Any:
    """An empty figure; width and height in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)  # no window system, no state shared with pyplot
    return figure


def stack_categories(axes: Any, position: int, shares: Mapping[str, Any]) -> None:
    """One horizontal bar of four categories, with counts where there is room.

    Args:
        position: the bar's place on the y axis.
        shares: ``share`` (0 to 1, or None) and ``count`` by category.
    """
    left = 0.0
    for category, colour in CATEGORY_COLOURS.items():
        entry = shares[category]
        width = 100 * (entry["share"] or 0)
        axes.barh(position, width, left=left, color=colour, edgecolor="white", height=0.72)
        if width >= 4:
            text_colour = "white" if category in _DARK else "black"
            axes.text(left + width / 2, position, f"{entry['count']:,}", ha="center", va="center", color=text_colour)
        left += width


def category_legend(figure: Any, labels: Mapping[str, str] | None = None) -> None:
    """The colours, above the figure.

    Args:
        labels: what each category that is shown is called; all four by their own names where it is not given.
    """
    from matplotlib.patches import Patch

    labels = labels or {category: category for category in CATEGORY_COLOURS}
    handles = [Patch(facecolor=CATEGORY_COLOURS[category]) for category in labels]
    figure.legend(handles, list(labels.values()), ncols=4, loc="outside upper center", frameon=False)


def horizontal_grid(axes: Any) -> None:
    """Light lines behind the data."""
    axes.yaxis.grid(True, color="#DDDDDD", linewidth=0.8)
    axes.set_axisbelow(True)
