"""Every change of a JSON value in one place: what a reader of files must refuse, or take without harm."""

from __future__ import annotations

import copy
import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from kft_tasks.errors import DataError, KftError

WRONG: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    3,
    1.5,
    10**30,
    10**400,
    float("nan"),
    float("inf"),
    "",
    "x",
    "\ud800",
    [],
    [None],
    ["x"],
    {},
    {"x": {"y": 1}},
)
DELETED = object()
RENAMED = object()


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value in a tree; of lists only the first and the last entry, which stand for all."""
    yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from places(inner, (*path, key))
    elif isinstance(value, list):
        for index in sorted({0, len(value) - 1} if value else set()):
            yield from places(value[index], (*path, index))


def changed(tree: Any, path: tuple[Any, ...], change: Any) -> Any:
    """A copy of the tree with one value replaced, deleted or renamed."""
    if not path:
        return change
    tree = copy.deepcopy(tree)
    parent = tree
    for step in path[:-1]:
        parent = parent[step]
    if change is DELETED:
        del parent[path[-1]]
    elif change is RENAMED:
        parent[f"{path[-1]}x"] = parent.pop(path[-1])
    else:
        parent[path[-1]] = change
    return tree


def mutations(tree: Any, every: int = 1, start: int = 0, kind: str = "") -> Iterator[tuple[str, Any]]:
    """Trees that differ from this one in one value, with a name for messages.

    Args:
        tree: stays as it is.
        every: only one of so many, counted from ``start``.
        start: number of the first one.
        kind: only those whose name ends with this.
    """
    for number, (name, path, change) in enumerate(item for item in _changes(tree) if item[0].endswith(kind)):
        if number % every == start:
            yield name, changed(tree, path, change)


def _changes(tree: Any) -> Iterator[tuple[str, tuple[Any, ...], Any]]:
    for path in places(tree):
        found = tree
        for step in path:
            found = found[step]
        for change in (*WRONG, [1] * 3):
            same = type(change) is type(found) and change == found
            if (path or not isinstance(change, dict)) and not same:
                yield f"{path}={str(change)[:20]!r}", path, change
        if path:
            yield f"{path} deleted", path, DELETED
            if isinstance(path[-1], str):
                yield f"{path} renamed", path, RENAMED
        if isinstance(found, dict):
            yield f"{path} with one key more", path, {**found, "unknown key": 1}


class Outcome:
    """What reading mutated values came to.

    Attributes:
        refused: number of those that were refused with one error.
        read: names of those that were read.
        wrong: what was neither, with the exception.
    """

    def __init__(self) -> None:
        self.refused = 0
        self.read: list[str] = []
        self.wrong: list[str] = []

    def __str__(self) -> str:
        return f"refused {self.refused}, read {len(self.read)}, wrong {len(self.wrong)}: {self.wrong[:20]}"


def try_all(tree: Any, read: Callable[[Any], object], named: str, error_type: type[KftError] = DataError) -> Outcome:
    """Give every mutation to ``read``.

    Args:
        read: writes the value into a file and reads it.
        named: what an error must name, such as the file.
    """
    return try_each(mutations(tree), read, named, error_type)


def try_each(
    values: Iterator[tuple[str, Any]],
    read: Callable[[Any], object],
    named: str,
    error_type: type[KftError] = DataError,
) -> Outcome:
    """The same for some mutations, each with its name."""
    outcome = Outcome()
    for name, value in values:
        try:
            read(value)
        except error_type as error:
            text = str(error)
            if named in text and len(text) < 2000 and "\n" not in text:
                outcome.refused += 1
            else:
                outcome.wrong.append(f"{name}: unclear: {text[:300]}")
        except Exception as error:
            outcome.wrong.append(f"{name}: {type(error).__name__}: {error}"[:300])
        else:
            outcome.read.append(name)
    return outcome


def write_lines(path: Path, rows: list[Any]) -> None:
    """Write JSON Lines, with NaN and half surrogate pairs where they are."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def write_journal(path: Path, rows: list[Any]) -> None:
    """Write lines of a journal whose checksums are right."""
    lines = [json.dumps(row).encode() for row in rows]
    path.write_bytes(b"".join(b"%08x %s\n" % (zlib.crc32(line), line) for line in lines))
