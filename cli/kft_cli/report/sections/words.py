"""Words that several sections share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kft_cli.display.tables import number
from kft_tasks.categories.category import KnowledgeCategory

Report = Mapping[str, Any]
"""The JSON values of ``report.json``."""

CATEGORIES = [category.value for category in KnowledgeCategory]
INTERVALS = "In brackets: 95 % intervals."


def exemplars(shots: int) -> str:
    """How many exemplars: "no exemplars", "1 exemplar", "4 exemplars"."""
    return f"{shots or 'no'} exemplar{'' if shots == 1 else 's'}"


def shots_cell(shots: int) -> str:
    """Number of exemplars in a table."""
    return str(shots) if shots else "none (0-shot)"


def category_cells(counts: Mapping[str, int]) -> list[str]:
    """One cell for each category."""
    return [number(counts[name]) for name in CATEGORIES]


def category_heads() -> str:
    """One right-aligned column for each category, for :func:`kft_cli.display.tables.make_table`."""
    return " | ".join(f"{name} >" for name in CATEGORIES)
