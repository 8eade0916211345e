"""Size and SHA-256 of the files in a folder when it was made, and the first file that is not so any more."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from kft_tasks.files import sha256_of_file

Digest = Callable[[Path], str]


def describe_files(folder: Path, names: Iterable[str], digest: Digest = sha256_of_file) -> dict[str, dict[str, Any]]:
    """``bytes`` and ``sha256`` of files, by their paths in the folder."""
    return {name: {"bytes": (folder / name).stat().st_size, "sha256": digest(folder / name)} for name in names}


def find_difference(
    folder: Path, recorded: Mapping[str, tuple[int, str]], digest: Digest = sha256_of_file
) -> tuple[str, str] | None:
    """The first file that is not as recorded, and a few words on how; None if all are.

    Args:
        recorded: size and SHA-256, by path in the folder. The sizes of all files are looked at before any is read.
    """
    for name, (size, _) in recorded.items():
        path = folder / name
        if not path.is_file():
            return name, "missing"
        if (found := path.stat().st_size) != size:
            return name, f"damaged ({found:,} bytes instead of {size:,})"
    for name, (_, sha256) in recorded.items():
        if digest(folder / name) != sha256:
            return name, "damaged (its SHA-256 is not the recorded one)"
    return None
