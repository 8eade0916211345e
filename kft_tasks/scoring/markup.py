"""The text of an answer without its markup: Markdown, HTML, LaTeX, list markers, labels and what follows the answer.

Models write ``**Paris**``, ``\\boxed{Paris}`` and ``H<sub>2</sub>O``; none of it says anything about the answer, except
that what is struck out is not said.
"""

from __future__ import annotations

import html
import re

_MARKED = re.compile(r"[\\$<>*_^`~\[&|#\n:]")
_NEXT_TURN = re.compile(r"\n\s*(?:Q|Question|User|Human)\s*:.*$", re.S)
_STRUCK_OUT = re.compile(r"~~.*?~~|<(del|strike)>.*?</\1>", re.S | re.I)
_TEMPLATE_MARK = re.compile(r"<\|[\w ]+\|>|</?s>")
_JOINING_TAG = re.compile(r"</?(?:sub|sup|b|i|u|em|strong|span|code|font)\b[^<>]*>", re.I)
_TAG = re.compile(r"</?[a-z][\w-]*(?:\s[^<>]*)?/?>", re.I)
_LATEX_GROUP = re.compile(
    r"\\(?:boxed|fbox|text|textbf|textit|emph|mathrm|mathbf|mathit|mathsf|operatorname)\s*\{([^{}]*)\}"
)
_LATEX_SPACE = re.compile(r"\\[,;:! ]|\\q?quad\b|~")
_FORMULA = re.compile(r"\\[()\[\]]|(?<![\w$])\$\$?(?=\S)([^$]*?\S)\$\$?(?!\d)")
_INDEX = re.compile(r"(?<=[\w)}])[_^](?:\{(\d+)\}|(\d+))")
_LINK = re.compile(r"!?\[([^\[\]]*)\]\([^()\s]*\)")
_EMPHASIS = re.compile(r"\*+(?=\S)([^*]+?)\*+|(?<!\w)_+(?=\S)([^_]+?)_+(?!\w)|`+([^`]+)`+")
_LINE_MARK = re.compile(r"^[ \t]*(?:#{1,6}|>|[-*•+]|\d{1,2}[.)])[ \t]+(?=\S)", re.M)
_LABEL = re.compile(r"^\s*(?:(?:the|my|final|correct|short)\s+)*(?:answer|a)\s*:\s*(?=\S)", re.I)


def plain_text(text: str) -> str:
    """The text without markup; what is struck out is removed, and so is the next turn of a dialogue.

    Example:
        >>> plain_text("**Answer:** Paris"), plain_text(r"$\\boxed{\\text{H}_2\\text{O}}$"), plain_text("$5 or $6")
        ('Paris', 'H2O', '$5 or $6')
    """
    if not _MARKED.search(text):
        return text
    text = _STRUCK_OUT.sub(" ", _NEXT_TURN.sub("", text))
    if "<" in text:
        text = _TAG.sub(" ", _JOINING_TAG.sub("", _TEMPLATE_MARK.sub(" ", text)))
    if "&" in text:
        text = html.unescape(text)
    if "\\" in text:
        text = _unwrapped(text)
    text = _FORMULA.sub(lambda match: match[1] or "", text)
    text = _INDEX.sub(lambda match: match[1] or match[2], text)
    text = _EMPHASIS.sub(lambda match: match[1] or match[2] or match[3], _LINK.sub(r"\1", text))
    return _LABEL.sub("", _LINE_MARK.sub("", text)).strip()


def _unwrapped(text: str) -> str:
    """LaTeX groups without their commands, from the innermost outwards."""
    before = ""
    while before != text:
        before, text = text, _LATEX_GROUP.sub(r"\1", text)
    return _LATEX_SPACE.sub(" ", text)
