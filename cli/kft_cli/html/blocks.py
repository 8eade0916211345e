"""Blocks of a document as HTML: the same text, tables, figures and code as on the Markdown page."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from kft_cli.display.tables import inert

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markupsafe import Markup


_PERCENT = re.compile(r"(?<=\d) %")  # stays on the line of its number


def prose(text: str) -> Markup:
    """A paragraph or list of ours, which is Markdown, as HTML: emphasis, code and lists only."""
    from markupsafe import Markup

    return Markup(_PERCENT.sub("&nbsp;%", _markdown().render(inert(text))))


@lru_cache(maxsize=1)
def _markdown() -> MarkdownIt:
    from markdown_it import MarkdownIt

    # "zero" knows no HTML, links or images, and neither do the rules that are added
    return MarkdownIt("zero").enable(["emphasis", "backticks", "escape", "entity", "list"])


def slug(title: str) -> str:
    """The name of a section in an address: ``What was run`` is ``what-was-run``."""
    return re.sub(r"[^a-z0-9]+", "-", title.partition(":")[0].lower()).strip("-")
