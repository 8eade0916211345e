"""Cutting an answer at stop strings: one rule for the engine, for servers and for the benchmark's comparison script."""

from __future__ import annotations

from collections.abc import Sequence


def cut_at(text: str, stop: Sequence[str], *, skip_blank_lines: bool = False) -> str:
    """The text before the first of the stop strings.

    Args:
        skip_blank_lines: a stop string counts only from the first character on that is not white space.
    """
    start = len(text) - len(text.lstrip()) if skip_blank_lines else 0
    return text[: min([at for one in stop if one and (at := text.find(one, start)) >= 0], default=len(text))]
