"""Where the data of a set are: explicit path, then environment, then cache, then download."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from kft_tasks.errors import DataError, FetchError, UnavailableError
from kft_tasks.files import home_path
from kft_tasks.question_sets.info import SetInfo

SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet")
_SPLIT_WORDS = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "exemplars": "exemplars",
}


def offline() -> bool:
    """Whether ``HF_HUB_OFFLINE`` is set to what the hub's own libraries take for true."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


def locate(info: SetInfo, path: str | Path | None, fetch: Callable[[], Path] | None) -> Path:
    """Return the folder or file that holds the set.

    Args:
        info: the set.
        path: named by the user; takes precedence over everything else.
        fetch: returns the place of the data, cached or downloaded; None if the set has no source of its own.

    Raises:
        UnavailableError: nothing worked; the message says what was tried and how to supply the data.
    """
    tried = []
    for origin, value in (("path", path), (info.env, os.environ.get(info.env))):
        if value:
            return _existing(info, origin, home_path(value, origin))
        tried.append(f"{origin}: not set")
    if root := os.environ.get("KFT_DATA"):
        folder = home_path(root, "KFT_DATA") / info.name
        if folder.exists():
            return folder
        tried.append(f"KFT_DATA: there is no {folder}")
    else:
        tried.append("KFT_DATA: not set")
    if fetch is None:
        raise UnavailableError(_unavailable(info, tried, "It has no source of its own: say where your questions are."))
    try:
        return fetch()
    except FetchError as error:
        tried.append(str(error))
        raise UnavailableError(_unavailable(info, tried, "The data are not on this machine.")) from error


def _existing(info: SetInfo, origin: str, place: Path) -> Path:
    if place.exists():
        return place
    raise UnavailableError(_unavailable(info, [f"{origin}: {place} does not exist"], "The given place does not exist."))


def _unavailable(info: SetInfo, tried: Iterable[str], what: str) -> str:
    lines = "".join(f"\n  tried {line}" for line in tried)
    return (
        f"{info.name}: {what}{lines}\n"
        f"Supply a folder or file with `--metadata kft_path=PLACE` (lm_eval), `--path PLACE` (kft), `path: PLACE` in a "
        f"recipe, {info.env}=PLACE, or KFT_DATA=FOLDER with a sub-folder {info.name}. Source: {info.source}."
    )


def inside(path: Path, root: Path) -> Path:
    """Return ``path`` if it is under ``root`` once links are followed.

    Raises:
        DataError: a symbolic link leads out of the cache.
    """
    if path.resolve().is_relative_to(root.resolve()):
        return path
    raise DataError(f"{path}: is a link that leads out of {root}. Remove the file and fetch the data again.")


def split_files(place: Path, *, root: Path | None = None, prefer: Sequence[str] = ()) -> dict[str, list[Path]]:
    """Data files of a folder by split, recognised by their names; a single file comes under "".

    ``train.jsonl``, ``data/train-00000-of-00002.parquet``, ``default/validation/0000.parquet`` and
    ``simple_qa_test_set.csv`` are all recognised; names without a split word come under "".

    Args:
        place: folder or file.
        root: no file may be outside it (for caches, where links are not the user's own).
        prefer: if any files match these patterns, only they count (a copy may hold other configurations too).

    Raises:
        DataError: a link leads out of ``root``.
    """
    if place.is_file():
        return {"": [place]}
    names = [path.relative_to(place) for path in sorted(place.rglob("*")) if is_data(path, place)]
    preferred = [name for name in names if any(fnmatchcase(name.as_posix(), pattern) for pattern in prefer)]
    found: dict[str, list[Path]] = {}
    for name in preferred or names:
        found.setdefault(_split_word(name), []).append(inside(place / name, root) if root else place / name)
    return found


def is_data(path: Path, place: Path) -> bool:
    """Whether :func:`split_files` takes a file under ``place``: it has a known suffix and is not hidden."""
    hidden = any(part.startswith(".") for part in path.relative_to(place).parts)
    return path.suffix.lower() in SUFFIXES and not hidden and path.is_file()


def _split_word(name: Path) -> str:
    for part in reversed(name.with_suffix("").parts):
        for word in re.split(r"[^a-z]+", part.lower()):
            if word in _SPLIT_WORDS:
                return _SPLIT_WORDS[word]
    return ""


def listing(files: Mapping[str, Iterable[Path]]) -> str:
    """Names of the files found, for an error message."""
    names = sorted(path.name for paths in files.values() for path in paths)
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return (", ".join(names[:8]) + more) or "nothing"
