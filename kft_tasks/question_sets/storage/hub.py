"""Files of a hub data set, fetched with the hub's own client and cache; code in a data set is never run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from kft_tasks.errors import FetchError

CONVERTED = "refs/convert/parquet"  # the hub's own conversion, which every public data set has


def fetch_hub_files(
    repository: str,
    patterns: Sequence[str],
    config: str = "default",
    *,
    revision: str = "",
    local_only: bool = False,
) -> Path:
    """Return the folder in the hub's cache that holds a data set's files, fetching what is missing.

    Args:
        repository: hub id of the data set.
        patterns: files wanted on the main branch.
        config: folder on the hub's converted branch, tried when the main branch holds none of ``patterns``.
        revision: commit of either branch; "" stands for the newest.
        local_only: look in the cache only, fetch nothing.

    Raises:
        FetchError: the hub cannot be reached and nothing is cached, or the layout changed.
    """
    folder = _snapshot(repository, patterns, revision or None, local_only)
    if _holds(folder, patterns):
        return folder
    converted = [f"{config}/*.parquet"]  # a star also matches folders
    folder = _snapshot(repository, converted, revision or CONVERTED, local_only) / config
    if folder.is_dir():
        return folder
    when = f"at revision {revision} has no" if revision else "no longer has"
    raise FetchError(f"hub data set {repository}: {when} {', '.join(patterns)}")


def revision_of(folder: Path) -> str:
    """The commit of a folder in the hub's cache, 40 hex digits; "" for a folder elsewhere."""
    for place in (folder, *folder.parents):
        if place.parent.name == "snapshots" and re.fullmatch("[0-9a-f]{40}", place.name):
            return place.name
    return ""


def version_at(version: str, folder: Path) -> str:
    """A set's version with the revision that its files are of, such as "1.0@0123456789ab"; unchanged without one."""
    revision = revision_of(folder)
    return f"{version}@{revision[:12]}" if revision else version


def cache_root(folder: Path) -> Path:
    """The data set's folder in the hub's cache, which holds ``snapshots/<revision>`` and the blobs these link to."""
    for parent in folder.parents:
        if parent.name == "snapshots":
            return parent.parent
    return folder


def _holds(folder: Path, patterns: Sequence[str]) -> bool:
    files = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return any(fnmatchcase(name, pattern) for name in files for pattern in patterns)


def _snapshot(repository: str, patterns: Sequence[str], revision: str | None, local_only: bool) -> Path:
    local = {"local_files_only": True} if local_only else {}
    try:
        from huggingface_hub import snapshot_download

        return Path(
            snapshot_download(
                repository, repo_type="dataset", revision=revision, allow_patterns=list(patterns), **local
            )
        )
    except Exception as error:  # the client's own errors, httpx's, OSError: whichever it is, there are no data
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise FetchError(f"hub data set {repository}: {reason}") from error
