"""The page: text, tables and figures of a document, and behind them every question with its answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kft_cli.display.svg import Drawing
from kft_cli.display.tables import Block, Code, Figure, Links, Section, Table
from kft_cli.html.assets import policy, script, style
from kft_cli.html.blocks import prose, slug
from kft_cli.html.record import PageData, pack
from kft_tasks.visible_text import visible, visible_lines


@dataclass(frozen=True)
class Page:
    """What a page shows.

    Attributes:
        title: plain text.
        kind: what it is a page of, such as "Run".
        answer: the opening sentence, in Markdown of ours.
        opening: what follows it.
        figures: by the path that a :class:`Figure` names.
        questions: None where a page holds none.
        why_none: why it holds none, plain text.
    """

    title: str
    kind: str
    answer: str
    opening: Sequence[Block]
    sections: Sequence[Section]
    figures: Mapping[str, Drawing]
    questions: PageData | None = None
    why_none: str = ""


def render_page(page: Page) -> str:
    """The page as one HTML file that loads nothing; the same page gives the same bytes."""
    from markupsafe import Markup

    template = _environment().get_template("page.html")
    made: str = template.render(
        page=page,
        answer=prose(page.answer.strip("*")),
        opening=[_block(block, page.figures) for block in page.opening],
        sections=[
            {
                "id": slug(section.title),
                "title": section.title,
                "blocks": [_block(block, page.figures) for block in section.blocks],
            }
            for section in page.sections
        ],
        policy=policy(),
        style=Markup(style()),
        script=Markup(script()),
        data=Markup(pack(page.questions)) if page.questions else None,
    )
    return made


def _environment() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    found = Environment(
        loader=PackageLoader("kft_cli.html", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    found.filters["shown"] = visible
    found.filters["shown_lines"] = visible_lines
    return found


def _block(block: Block, figures: Mapping[str, Drawing]) -> dict[str, Any]:
    """A block as the template takes it."""
    from markupsafe import Markup

    if isinstance(block, Table):
        return {"kind": "table", "table": block, "caption": prose(block.caption) if block.caption else ""}
    if isinstance(block, Figure):
        drawing = figures[block.path]
        return {
            "kind": "figure",
            "name": drawing.name,
            "svg": Markup(drawing.inline()),
            "caption": block.caption,
            "table": drawing.table,
        }
    if isinstance(block, Code):
        return {"kind": "code", "code": block}
    if isinstance(block, Links):
        return {"kind": "links", "links": block}
    return {"kind": "prose", "html": prose(block)}
