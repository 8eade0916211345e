"""Cutting an answer at stop strings: one rule for the engine, for servers and for the benchmark's comparison script."""

from __future__ import annotations

from collections.abc import Sequence


def cut_at(text: str, stop: Sequence[str]) -> str:
    """The text before the first of the stop strings."""
    return text[: min([at for one in stop if one and (at := text.find(one)) >= 0], default=len(text))]
