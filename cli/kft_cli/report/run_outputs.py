"""The files that a step made, as its ``step.json`` records them, and whether they are still what they were."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kft_cli.report.run_layout import CATEGORIES, STEP_RECORD, RunLayout
from kft_tasks.detection.run import journal_folder
from kft_tasks.file_manifest import describe_files, find_difference
from kft_tasks.files import is_temporary, sha256_of_file

_known: dict[tuple[int, ...], str] = {}


def describe_outputs(folder: Path) -> dict[str, dict[str, Any]]:
    """``bytes`` and ``sha256`` of every file of a step by its path in the folder, sorted; without its ``step.json``."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != STEP_RECORD)
    own = [path for path in files if not any(map(is_scratch, (path, *_parents(path, folder))))]
    return describe_files(folder, (path.relative_to(folder).as_posix() for path in own), digest_of)


def is_scratch(path: Path) -> bool:
    """Whether a file or folder only served to make a step, and is no output of it."""
    return is_temporary(path) or path.name == journal_folder(Path(CATEGORIES)).name


def _parents(path: Path, folder: Path) -> list[Path]:
    return [parent for parent in path.parents if folder in parent.parents]


def digest_of(path: Path) -> str:
    """SHA-256 of a file; read once by this process as long as the file stays as it is."""
    status = path.stat()
    stamp = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    if stamp not in _known:
        _known[stamp] = sha256_of_file(path)
    return _known[stamp]


def find_damage(folder: Path, outputs: Mapping[str, Mapping[str, Any]]) -> str | None:
    """What is wrong with the first file of a step that is not as recorded: its path and a few words; None if nothing.

    Args:
        folder: of the step.
        outputs: as :func:`describe_outputs` made it.
    """
    recorded = {name: (one["bytes"], one["sha256"]) for name, one in outputs.items()}
    found = find_difference(folder, recorded, digest_of)
    return None if found is None else f"{folder / found[0]}: {found[1]}"


def find_missing(layout: RunLayout, step: str) -> str | None:
    """As :func:`find_damage`, for a step of a version that recorded no outputs: only whether they are there."""
    for path in layout.needed(step):
        if not path.is_file():
            return f"{path}: missing"
    return None


def resume_command(folder: Path) -> str:
    """The command that goes on with a run, or makes again what is missing, wherever the folder is now."""
    return shlex.join(["kft", "run", str(folder / RunLayout(folder).recipe.name), "--output", os.fspath(folder)])
