"""What the sets of one hub data set share: find the files, tell their splits, make a RowSet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from kft_tasks.errors import DataError, UsageError
from kft_tasks.question_sets.info import OptionInfo, SetInfo
from kft_tasks.question_sets.splits.row_set import Parse, RowSet, Source
from kft_tasks.question_sets.splits.splitting import FOUR_WAY, Shares
from kft_tasks.question_sets.storage.hub import cache_root, fetch_hub_files, version_at
from kft_tasks.question_sets.storage.locate import locate, split_files

REVISION = OptionInfo("revision", "Commit of the hub's data set to use instead of the newest.", "", "text")
TRAIN_WAY: Shares = (("exemplars", 0.05), ("validation", 0.05), ("train", 0.90))


@dataclass(frozen=True)
class HubSource:
    """Where a set is on the hub, and what its splits become here.

    Attributes:
        repository: hub id.
        patterns: files to fetch.
        config: folder on the hub's converted branch.
        splits: from the source's splits that are read to splits here; "" means divided by ``shares``.
        shares: how those rows are divided.
        repeated: see :class:`RowSet`.
    """

    repository: str
    patterns: Sequence[str]
    config: str
    splits: Mapping[str, str]
    shares: Shares = FOUR_WAY
    repeated: Literal["keep", "first"] = "first"


def version_of(info: SetInfo, place: Path, revision: str, *, from_hub: bool) -> str:
    """The version that results record: the set's own, with the hub's revision if the files are the hub's.

    Raises:
        UsageError: a revision was asked for, and the files are the user's own.
    """
    if from_hub:
        return version_at(info.version, place)
    if revision:
        raise UsageError(
            f"{info.name}: option revision is {revision!r}, but the data come from {place} and not from the hub. Leave "
            "out the option or the place."
        )
    return info.version


def open_hub_set(
    info: SetInfo,
    source: HubSource,
    parse: Parse,
    path: str | Path | None,
    *,
    revision: str = "",
    one_file_as: str = "",
    carve: bool = True,
) -> RowSet:
    """Open a local copy, or fetch the hub's files.

    Args:
        info: the set.
        source: where it is on the hub.
        parse: turns a row into a question.
        path: a folder of files named after the source's splits, or one file.
        revision: commit on the hub; "" stands for the newest, or the one that is in the hub's cache.
        one_file_as: the source's split that a single file is taken for; "" if it is divided into all four splits.
        carve: see :class:`RowSet`.

    Raises:
        UnavailableError: the data are not on this machine and could not be fetched.
        DataError: the folder has files of none of the source's splits.
        UsageError: a revision of the hub for a local copy.
    """
    fetched: list[Path] = []

    def fetch() -> Path:
        fetched.append(fetch_hub_files(source.repository, source.patterns, source.config, revision=revision))
        return fetched[0]

    place = locate(info, path, fetch)
    info = replace(info, version=version_of(info, place, revision, from_hub=bool(fetched)))
    files = split_files(place, root=cache_root(fetched[0]) if fetched else None, prefer=source.patterns)
    if set(files) == {""}:
        if not one_file_as:
            return RowSet(info, (Source(tuple(files[""])),), parse, repeated=source.repeated)
        files = {one_file_as: files[""]}
    sources = tuple(Source(tuple(files[name]), split) for name, split in source.splits.items() if name in files)
    if not sources:
        names = " or ".join(f"{name}.parquet" for name in source.splits)
        raise DataError(f"{place}: no files of {info.title}. Put copies of {source.repository} there, such as {names}.")
    return RowSet(info, sources, parse, shares=source.shares, repeated=source.repeated, carve=carve)
