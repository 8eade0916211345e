"""How numbers and tables look, in one place, for Markdown and for the terminal.

Titles, heads of columns, cells, code and the texts of links are plain text, often from outside (a model's answer, a
file name). They are escaped here, when they are written out. Paragraphs and captions are Markdown that we write: text
from outside goes into them by :func:`plain`. Should one be forgotten, no HTML, link, image, heading or hidden character
comes of it (see :func:`inert`).
"""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from kft_tasks.visible_text import visible, visible_line, visible_lines

if TYPE_CHECKING:
    from rich.table import Table as RichTable

Align = Literal["left", "right"]
NONE = "–"  # in place of a missing number
MINUS = "\u2212"
# Markdown's own characters. An underscore within a word, a lone colon and a lone "<" have no meaning in Markdown.
_SPECIAL = re.compile(
    r"(?P<escape>[\\`*\[\]~$]|(?<![^\W_])_|_(?![^\W_])|:(?=//))|(?P<link>www)(?=\.)|(?P<entity>[&|]|<(?=[A-Za-z/!?]))",
    re.IGNORECASE,
)


# What a paragraph of ours never has. Code spans and what is escaped already stay as they are.
_ACTIVE = re.compile(
    r"(?P<kept>\\.|(?<!`)(?P<run>`+)(?!`)(?:(?!\n\s*\n).)*?(?<!`)(?P=run)(?!`))"
    r"|(?P<escape>[\[\]]|:(?=//)|^[ ]{0,3}(?:#|\||~(?=~~)|`(?=``)|=(?=[= ]*$)))"
    r"|(?P<link>www)(?=\.)|(?P<entity><(?=[A-Za-z/!?])|^[ ]{0,3}>)",
    re.IGNORECASE | re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Table:
    """Columns with their alignment, rows of plain text."""

    columns: tuple[tuple[str, Align], ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"A row of {len(row)} cells under {len(self.columns)} columns: {row}")


@dataclass(frozen=True)
class Figure:
    """A picture beside the document. The caption says what it shows, also for readers who cannot see it."""

    path: str
    caption: str


@dataclass(frozen=True)
class Code:
    """Text to copy."""

    text: str
    language: str = "text"


@dataclass(frozen=True)
class Links:
    """Links to files beside the document, pairs of a text and a relative path: a list, or one line after a title."""

    targets: tuple[tuple[str, str], ...]
    title: str = ""


Block = str | Table | Figure | Code | Links  # a str is a paragraph or list in Markdown, written by us


@dataclass(frozen=True)
class Section:
    """A heading and what is under it."""

    title: str
    blocks: tuple[Block, ...]


def make_table(columns: str | Sequence[str], rows: Sequence[Sequence[str]], caption: str = "") -> Table:
    """A table from ``"stage | n > | share >"``: ``>`` aligns a column to the right, for numbers.

    Args:
        columns: as a sequence where a head comes from outside and may hold a ``|``.
    """
    heads = [head.strip() for head in (columns.split("|") if isinstance(columns, str) else columns)]
    aligned: list[tuple[str, Align]] = [
        (head.removesuffix(">").strip(), "right" if head.endswith(">") else "left") for head in heads
    ]
    return Table(tuple(aligned), tuple(tuple(row) for row in rows), caption)


def plain(text: str, limit: int | None = None) -> str:
    """Any text as Markdown that shows exactly this text: no markup, HTML, link or table cell."""
    return _SPECIAL.sub(_harmless, visible(text, limit))


def _harmless(match: re.Match[str]) -> str:
    if match["entity"]:  # an entity works in every renderer, also within a table cell
        return f"&#{ord(match['entity'])};"
    return match["link"] + "\\" if match["link"] else "\\" + match["escape"]  # "www\." is not a link


def inert(prose: str) -> str:
    """Markdown without HTML, links, images, headings, tables, fences, quotations and hidden characters."""
    return _ACTIVE.sub(_disarmed, visible_lines(prose))


def _disarmed(match: re.Match[str]) -> str:
    text = match[0]
    if match["kept"]:
        return text
    if match["entity"]:
        return f"{text[:-1]}&#{ord(text[-1])};"
    return f"{text}\\" if match["link"] else f"{text[:-1]}\\{text[-1]}"


def markdown_table(table: Table) -> str:
    """The table as GitHub Markdown, with its caption below."""
    heads = [plain(head) for head, _ in table.columns]
    rules = ["---:" if align == "right" else "---" for _, align in table.columns]
    lines = [heads, rules, *([plain(cell) for cell in row] for row in table.rows)]
    text = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return f"{text}\n\n{inert(table.caption)}" if table.caption else text


def rich_table(table: Table) -> RichTable:
    """The same table for a terminal."""
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    shown = RichTable(box=box.SIMPLE_HEAD, pad_edge=False)
    for head, align in table.columns:
        shown.add_column(Text(visible(head)), justify=align)
    for row in table.rows:
        shown.add_row(*(Text(visible(cell)) for cell in row))
    return shown


def markdown_document(title: str, sections: Sequence[Section], lead: Sequence[Block] = ()) -> str:
    """A whole page of Markdown.

    Args:
        title: plain text.
        lead: what stands between the title and the first section.
    """
    parts = [f"# {plain(title)}", *map(_markdown_block, lead)]
    for section in sections:
        parts.append(f"## {plain(section.title)}")
        parts += [_markdown_block(block) for block in section.blocks]
    return "\n\n".join(parts) + "\n"


def _markdown_block(block: Block) -> str:
    if isinstance(block, Table):
        return markdown_table(block)
    if isinstance(block, Figure):
        return f"![figure]({_target(block.path)})\n\n*{plain(block.caption)}*"
    if isinstance(block, Code):
        return code_block(block)
    if isinstance(block, Links):
        return _markdown_links(block)
    return inert(block)


def _markdown_links(links: Links) -> str:
    made = [markdown_link(text, path) for text, path in links.targets]
    return f"{plain(links.title)}: {', '.join(made)}." if links.title else "\n".join(f"- {link}" for link in made)


def markdown_link(text: str, path: str) -> str:
    """A link to a file beside the document; both are plain text."""
    return f"[{plain(text)}]({_target(path)})"


def _target(path: str) -> str:
    """A relative path as the target of a link, which no character in it can end or turn into an address elsewhere."""
    return quote(path.encode("utf-8", "surrogateescape"), safe="/")


def code_block(code: Code) -> str:
    """A fenced block that the text in it cannot close."""
    runs = re.findall(r"`{3,}", code.text)
    fence = "`" * max(3, 1 + max((len(run) for run in runs), default=0))
    lines = visible_lines(code.text.rstrip("\n"))
    return f"{fence}{code.language}\n{lines}\n{fence}"


def terminal_text(sections: Sequence[Section], width: int | None = None) -> str:
    """The same page for a terminal, without figures and code, as wide as the terminal is."""
    from rich.console import Console
    from rich.markdown import Markdown
    from rich.text import Text

    width = width or shutil.get_terminal_size((120, 24)).columns
    stream = io.StringIO()
    console = Console(file=stream, width=width, color_system=None, force_terminal=False, legacy_windows=False)
    for section in sections:
        console.print(Text(f"\n{visible(section.title)}\n" if section.title else ""))
        for block in section.blocks:
            if isinstance(block, Table):
                console.print(rich_table(block))
            if text := block.caption if isinstance(block, Table) else block if isinstance(block, str) else "":
                console.print(Markdown(inert(text)))
    return "\n".join(visible_line(line.rstrip()) for line in stream.getvalue().strip("\n").split("\n"))


def number(value: float | None) -> str:
    """1,234 for a whole number, else 1,234.5."""
    if value is None:
        return NONE
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.1f}"


def percent(value: float | None) -> str:
    """12.3 %."""
    return NONE if value is None else f"{100 * value:.1f} %"


def change(value: float | None) -> str:
    """+24.0 %, −13.0 %."""
    return NONE if value is None else f"{points(value)} %"


def share(values: Mapping[str, Any]) -> str:
    """A share with its interval, if it has one: 12.3 % (9.8–15.2)."""
    if values["share"] is None:
        return NONE
    if values["low"] is None:
        return percent(values["share"])
    return f"{percent(values['share'])} ({100 * values['low']:.1f}–{100 * values['high']:.1f})"


def count_and_share(values: Mapping[str, Any]) -> str:
    """31 of 120: 25.8 % (18.9–34.3)."""
    if values["share"] is None:
        return "none of 0"
    return f"{number(values['count'])} of {number(values['n'])}: {share(values)}"


def points(value: float | None) -> str:
    """A difference of shares: +1.2, −0.4, 0.0 (percentage points)."""
    if value is None:
        return NONE
    rounded = round(100 * value, 1)
    sign = "+" if rounded > 0 else MINUS if rounded < 0 else ""
    return f"{sign}{abs(rounded):.1f}"


def difference(values: Mapping[str, Any] | None) -> str:
    """A difference with its interval, if it has one, in percentage points: +1.2 (−0.4 to +2.9)."""
    if values is None or values["difference"] is None:
        return NONE
    if values["low"] is None:
        return points(values["difference"])
    return f"{points(values['difference'])} ({points(values['low'])} to {points(values['high'])})"


def p_value(value: float | None) -> str:
    """0.012, or "< 0.001"."""
    if value is None:
        return NONE
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def duration(seconds: float | None) -> str:
    """0.8 s, 42 s, 3 min 05 s, 2 h 07 min."""
    if seconds is None:
        return NONE
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
