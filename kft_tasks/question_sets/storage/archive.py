"""A zip from the web: resumable, bounded, checked, and only the expected members unpacked."""

from __future__ import annotations

import math
import os
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import IO, Any

from kft_tasks import limits
from kft_tasks.errors import DataError, FetchError
from kft_tasks.files import atomic_write, open_input, read_whole, sha256_of_file
from kft_tasks.progress import ProgressCallback, no_progress

_BLOCK = 1 << 20
_MEGABYTE = 1_000_000
_TIMEOUT = 30.0
_END_BYTES = (1 << 16) + 42  # the end record with the longest comment, and a locator before it


def download(
    url: str, target: Path, max_bytes: int = limits.MAX_DOWNLOAD, progress: ProgressCallback = no_progress
) -> Path:
    """Fetch ``url`` into ``target``; an interrupted download resumes where it stopped.

    Args:
        url: of the file.
        target: where it goes once it is complete; until then it grows in ``<target>.part``.
        max_bytes: refuse a larger file.
        progress: called with whole megabytes.

    Raises:
        FetchError: no connection, an HTTP error, too large, or cut off (the part is kept for the next attempt).
    """
    part = target.with_name(target.name + ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _append_rest(url, part, max_bytes, _Megabytes(target.name, progress))
        part.replace(target)
    except (OSError, ValueError) as error:  # urllib's errors are OSErrors, http.client's are below
        reason = " ".join(str(getattr(error, "reason", error)).split()) or type(error).__name__
        raise FetchError(f"{url}: {reason}") from error
    return target


class _Megabytes:
    """Reports a download in megabytes, rounded up, each once. If its size is unknown, the total is what has come."""

    def __init__(self, name: str, progress: ProgressCallback) -> None:
        self._name = name
        self._progress = progress
        self._last: int | None = None

    def __call__(self, count: int, size: int | None) -> None:
        done = math.ceil(count / _MEGABYTE)
        total = done if size is None else math.ceil(size / _MEGABYTE)
        if done != self._last:
            self._last = done
            self._progress(done, total, f"{self._name}: {done:,} of {'?' if size is None else format(total, ',')} MB")


def _append_rest(url: str, part: Path, max_bytes: int, report: _Megabytes) -> None:
    have = part.stat().st_size if part.exists() else 0
    with _open(url, have) as answer:
        resumed = have > 0 and answer.status == 206
        have = have if resumed else 0
        length = answer.headers.get("Content-Length")
        total = have + int(length) if length else None
        if total is not None and total > max_bytes:
            raise FetchError(f"{url}: {total:,} bytes, over the limit of {max_bytes:,}")
        report(have, total)
        with part.open("ab" if resumed else "wb") as stream:
            have += _copy(answer, stream, max_bytes - have, url, lambda count: report(have + count, total))
    if total is not None and have < total:
        raise FetchError(f"{url}: cut off after {have:,} of {total:,} bytes; the next attempt resumes there")


def _open(url: str, have: int) -> Any:
    import http.client
    import urllib.error
    import urllib.request

    headers = {"User-Agent": "kft", **({"Range": f"bytes={have}-"} if have else {})}
    try:
        return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # the part is complete, or of another file: start over
            error.close()
            return _open(url, 0)
        with error:
            raise FetchError(f"{url}: HTTP {error.code} {error.reason}") from error
    except http.client.HTTPException as error:
        raise FetchError(f"{url}: {error!r}") from error


def _copy(
    source: Any, target: IO[bytes], limit: int, name: str, report: Callable[[int], None] = lambda count: None
) -> int:
    import http.client

    count = 0
    try:
        while block := source.read(_BLOCK):
            count += len(block)
            if count > limit:
                raise FetchError(f"{name}: more than {limit:,} bytes")
            target.write(block)
            report(count)
    except http.client.IncompleteRead as error:
        target.write(error.partial)
        count += len(error.partial)
    return count


def check_pin(archive: Path, record: Path) -> str:
    """Compare an archive with the digest that it had when it was first fetched, if it was.

    Args:
        archive: the file.
        record: what :func:`pin` wrote.

    Returns:
        The archive's SHA-256.

    Raises:
        DataError: it is another file than before.
    """
    found = sha256_of_file(archive)
    known = read_whole(record, 1 << 16).decode("utf-8", "replace").split()[:1] if record.exists() else [found]
    if known != [found]:
        raise DataError(
            f"{archive.name}: its SHA-256 is {found}, but when it was first fetched it was {(known or ['none'])[0]}, "
            f"as recorded in {record}; nothing was unpacked. Ask its authors which is right; to accept the new one, "
            "remove that record and fetch again."
        )
    return found


def pin(digest: str, archive: Path, record: Path) -> None:
    """Record an archive's digest as ``sha256sum`` writes it."""
    with atomic_write(record) as stream:
        stream.write(f"{digest}  {archive.name}\n")


def unpack(archive: Path, folder: Path, wanted: Callable[[PurePosixPath], PurePosixPath | None]) -> None:
    """Unpack the wanted members next to ``folder``, then rename into place.

    Args:
        archive: the zip.
        folder: must not exist yet.
        wanted: maps a member's name to its path below ``folder``, or to None to skip it.

    Raises:
        FetchError: not a zip, damaged, too large, or a name or link that leads outside ``folder``.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    private = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))  # nobody else may look inside
    try:
        _check_directory(archive)
        inner = private / folder.name
        inner.mkdir()  # with the rights that the umask leaves
        with zipfile.ZipFile(archive) as bundle:
            _unpack_members(bundle, inner, wanted)
        inner.replace(folder)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, OSError) as error:
        raise FetchError(f"{archive}: not a usable zip ({error})") from error
    finally:
        shutil.rmtree(private, ignore_errors=True)


def _check_directory(archive: Path) -> None:
    """Refuse a zip whose list of members would fill memory; it is read as a whole when a zip is opened."""
    with open_input(archive) as stream:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, size - _END_BYTES))
        tail = stream.read()
    end = tail.rfind(b"PK\x05\x06")
    if end < 0 or len(tail) < end + 22:
        raise zipfile.BadZipFile("File is not a zip file")
    length = int.from_bytes(tail[end + 12 : end + 16], "little")
    if length > limits.MAX_ZIP_DIRECTORY or tail[max(0, end - 20) : end].startswith(b"PK\x06\x07"):
        raise FetchError(f"{archive}: lists more members than any data set of kft has; nothing was unpacked")


def _unpack_members(
    bundle: zipfile.ZipFile, folder: Path, wanted: Callable[[PurePosixPath], PurePosixPath | None]
) -> None:
    members = bundle.infolist()
    for member in members:
        _refuse_unsafe(member, str(bundle.filename))
    packed = Path(str(bundle.filename)).stat().st_size
    left = min(limits.MAX_UNPACKED, max(limits.MIN_UNPACKED, limits.MAX_ZIP_RATIO * packed))
    for member in members:
        place = None if member.is_dir() else wanted(PurePosixPath(member.filename))
        if place is None:
            continue
        target = folder / place
        target.parent.mkdir(parents=True, exist_ok=True)
        with bundle.open(member) as source, target.open("xb") as stream:
            left -= _copy(
                source, stream, left, f"{bundle.filename}: {member.filename}"
            )  # counted here: declared sizes can lie


def _refuse_unsafe(member: zipfile.ZipInfo, archive: str) -> None:
    name = member.filename
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # others unpack into memory unbounded
        raise FetchError(f"{archive}: member {name!r} is packed by method {member.compress_type}; repack it")
    path = PurePosixPath(name.replace("\\", "/"))
    mode = member.external_attr >> 16
    if path.is_absolute() or ".." in path.parts or ":" in name or "\\" in name or (mode and stat.S_ISLNK(mode)):
        raise FetchError(f"{archive}: member {name!r} leads out of the folder or is a link; nothing was unpacked")
