"""Cutting an answer at stop strings: the one rule of the engine, of servers, and of the comparison script."""

from __future__ import annotations

from collections.abc import Sequence


def cut_at(text: str, stop: Sequence[str]) -> str:
    """The text before the first of the stop strings."""
    return text[: min([at for one in stop if one and (at := text.find(one)) >= 0], default=len(text))]
