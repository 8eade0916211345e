"""Words that several sections share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kft_cli.display.tables import number, p_value
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


def asking_cell(row: Mapping[str, Any]) -> str:
    """How a row's questions were asked, in a table: "4", "4 (10 sets)", "4 of another type", "none (0-shot)"."""
    if row.get("other_type"):
        return f"{row['shots']} of another type"
    sets = row.get("sets", 1)  # missing in reports whose test had one exemplar set
    return shots_cell(row["shots"]) + (f" ({sets} sets)" if sets > 1 else "")


def asking_words(row: Mapping[str, Any]) -> str:
    """How a row's questions were asked, in a sentence: "with 4 exemplars of another type"."""
    return f"with {exemplars(row['shots'])}" + (" of another type" if row.get("other_type") else "")


def no_other_type(report: Report) -> str | None:
    """Why the test was not asked with exemplars of another type; None where it was."""
    test = report["test"]
    if any(row.get("other_type") for row in test["accuracy"]):
        return None
    if not report["run"]["settings"]["evaluation"].get("other_type"):
        return "this run did not ask with exemplars of another type"
    if not max(test["shots"]):
        return "this run asked without exemplars only"
    return "the test questions are of one type, so there are no exemplars of another"


def p_words(value: float) -> str:
    """A p in a sentence: "= 0.029", "< 0.001"."""
    text = p_value(value)
    return text if text.startswith("<") else f"= {text}"


def category_cells(counts: Mapping[str, int]) -> list[str]:
    """One cell for each category."""
    return [number(counts[name]) for name in CATEGORIES]


def category_heads() -> str:
    """One right-aligned column for each category, for :func:`kft_cli.display.tables.make_table`."""
    return " | ".join(f"{name} >" for name in CATEGORIES)
