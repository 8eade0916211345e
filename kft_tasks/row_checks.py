"""Checks of a decoded row by hand, for files with 100,000 lines; nothing heavy is imported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kft_tasks.errors import shortened


def check_keys(row: Mapping[str, Any], keys: frozenset[str], optional: frozenset[str] = frozenset()) -> None:
    """Check that a row has these keys and no others; by hand, since files have 100,000 of lines.

    Raises:
        ValueError: a key is missing or unknown.
    """
    if row.keys() == keys:
        return
    if missing := keys - row.keys():
        raise ValueError(f"{min(missing)}: missing")
    if unknown := row.keys() - keys - optional:
        raise ValueError(f"{shortened(min(unknown))}: unknown key")


def check_type(row: Mapping[str, Any], kind: type, *keys: str) -> None:
    """Check that the values of some keys are exactly of this type; a bool is no int.

    Raises:
        ValueError: one is not.
    """
    for key in keys:
        if type(row[key]) is not kind:
            raise ValueError(f"{key}: must be {_NAMES.get(kind, kind.__name__)}")


_NAMES: Mapping[type, str] = {str: "text", int: "an integer", bool: "true or false", list: "a list", dict: "an object"}
