"""Which data are on this machine, where, how large, and whether they are intact. Fetches nothing."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kft_tasks.errors import FetchError, UnavailableError
from kft_tasks.files import open_input, sha256_of_file
from kft_tasks.question_sets.loaders import (
    entityquestions_source,
    nq_open,
    popqa,
    simpleqa,
    triviaqa,
    wikiqa,
    worldfacts,
)
from kft_tasks.question_sets.registry import info_of
from kft_tasks.question_sets.storage.hub import cache_root, fetch_hub_files
from kft_tasks.question_sets.storage.locate import is_data, locate

State = Literal["embedded", "cached", "local", "missing", "absent"]

_HUB: dict[str, tuple[str, Sequence[str], str]] = {
    module.INFO.name: (module.SOURCE.repository, module.SOURCE.patterns, module.SOURCE.config)
    for module in (nq_open, popqa, simpleqa, triviaqa)
} | {wikiqa.INFO.name: (wikiqa.HUB, wikiqa.PATTERNS, "default")}
_SHARD = re.compile(r"(?P<stem>.*)-(?P<number>\d{5})-of-(?P<all>\d{5})(?P<suffix>\..*)$")


@dataclass(frozen=True)
class LocalCopy:
    """The data of one set on this machine.

    Attributes:
        state: ``embedded`` in kft, ``cached`` by kft or the hub's client, ``local`` (the user's own copy), ``missing``
            (a place was named and does not exist) or ``absent`` (nothing here yet).
        place: folder or file; None if there is none.
        origin: what named the place: "path", an environment variable, or "".
    """

    name: str
    state: State
    place: Path | None = None
    origin: str = ""

    @property
    def here(self) -> bool:
        """Whether there is something to read."""
        return self.place is not None

    def files(self) -> tuple[Path, ...]:
        """Data files, sorted."""
        if self.place is None:
            return ()
        if self.place.is_file():
            return (self.place,)
        return tuple(sorted(path for path in self.place.rglob("*") if is_data(path, self.place)))

    def size(self) -> int:
        """Total size of all data files in bytes."""
        return sum(path.stat().st_size for path in self.files())


def find_local_copy(name: str, path: str | Path | None = None) -> LocalCopy:
    """Find the data that opening the set would read, without fetching any.

    Raises:
        UsageError: there is no such set.
    """
    info = info_of(name)
    looked: list[Path | None] = []

    def look() -> Path:
        looked.append(_cached(name))
        if looked[0] is None:
            raise FetchError("not fetched yet")
        return looked[0]

    try:
        place = locate(info, path, None if name == "questions" else look)
    except UnavailableError:
        if looked or not (path or os.environ.get(info.env)):
            return LocalCopy(name, "absent")
        return LocalCopy(name, "missing", origin="path" if path else info.env)
    if looked:
        return LocalCopy(name, "embedded" if place == worldfacts.PACKAGED else "cached", place)
    origin = "path" if path else info.env if os.environ.get(info.env) else "KFT_DATA"
    return LocalCopy(name, "local", place, origin)


def _cached(name: str) -> Path | None:
    if name == "worldfacts":
        return worldfacts.PACKAGED
    if name == "entityquestions":
        folder = entityquestions_source.cached_folder()
        return folder if folder.is_dir() else None
    try:
        return fetch_hub_files(*_HUB[name], local_only=True)
    except FetchError:
        return None


@dataclass(frozen=True)
class Verification:
    """What the files themselves show.

    Attributes:
        checked: files whose bytes were compared with the digest given by their source.
        wrong: what is wrong, one sentence each.
    """

    checked: int
    wrong: tuple[str, ...]


def verify(held: LocalCopy) -> Verification:
    """Compare cached files with the digests that the hub's client names them by, and look for missing parts."""
    files = held.files()
    wrong = list(_missing_parts(files))
    checked = 0
    if held.state == "cached" and held.place is not None:
        blobs = cache_root(held.place) / "blobs"
        for path in files:
            kept = path.resolve()
            if kept.parent != blobs.resolve():  # not the hub's cache, or a system without links
                continue
            found = _digest_as(kept)
            if found is not None:
                checked += 1
                if found != kept.name:
                    wrong.append(f"{path}: its digest is {found}, not {kept.name}. Remove {kept} and fetch it again.")
    return Verification(checked, tuple(wrong))


def _digest_as(path: Path) -> str | None:
    """The digest that the file's name is meant to be: SHA-256 (large files) or git's SHA-1; None if it is neither."""
    if re.fullmatch(r"[0-9a-f]{64}", path.name):
        return sha256_of_file(path)
    if re.fullmatch(r"[0-9a-f]{40}", path.name):
        state = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
        with open_input(path) as stream:
            while block := stream.read(1 << 20):
                state.update(block)
        return state.hexdigest()
    return None


def _missing_parts(files: Sequence[Path]) -> Iterator[str]:
    """Parts that are missing: names such as train-00000-of-00002.parquet say how many there should be."""
    parts: dict[tuple[Path, str, str, int], set[int]] = {}
    for path in files:
        if match := _SHARD.match(path.name):
            key = (path.parent, match["stem"], match["suffix"], int(match["all"]))
            parts.setdefault(key, set()).add(int(match["number"]))
    for (folder, stem, suffix, count), there in sorted(parts.items()):
        if missing := sorted(set(range(count)) - there):
            names = ", ".join(f"{stem}-{number:05}-of-{count:05}{suffix}" for number in missing[:4])
            more = f" and {len(missing) - 4} more" if len(missing) > 4 else ""
            yield f"{folder}: {names}{more} is missing. Fetch the set again."
