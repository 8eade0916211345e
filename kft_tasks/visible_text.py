"""Text from outside (a model's answer, a file name, a model id) as it may be shown: nothing in it is hidden or acts.

Control characters, ESC and C1 among them, line ends, bidi marks, zero-width characters, private use and surrogates are
shown as their code points, such as ``⟨U+001B⟩``.
"""

from __future__ import annotations

import re
import unicodedata

_HIDDEN = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")  # letters and marks that show nothing
_SPACES = re.compile(r"[\t \u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]+")


def is_hidden(char: str) -> bool:
    """Whether a character shows nothing or steers what shows text; spaces do not count."""
    return unicodedata.category(char) in _HIDDEN or char in _BLANK


def visible_line(text: str) -> str:
    """The text in one line, with its spaces; hidden characters become their code points."""
    if text.isprintable() and _BLANK.isdisjoint(text):
        return text
    return "".join(f"⟨U+{ord(char):04X}⟩" if is_hidden(char) else char for char in text)


def visible_lines(text: str) -> str:
    """The same for text whose line ends are meant."""
    return "\n".join(map(visible_line, text.split("\n")))


def visible(text: str, limit: int | None = None) -> str:
    """The same as :func:`visible_line`, with single spaces, and cut to ``limit`` characters."""
    rest = len(text) - limit if limit is not None else 0
    if rest > 0:
        text = text[:limit]
    shown = visible_line(_SPACES.sub(" ", text.strip(" \t\r\n")))
    return f"{shown} … (+{rest:,} characters)" if rest > 0 else shown


def visible_message(text: str) -> str:
    """A message of one or more lines: all after the first are indented, so that none passes for another message."""
    first, *rest = visible_lines(text).split("\n")
    return "\n".join([first, *(line if line.startswith("  ") else f"  {line}" for line in rest)])
