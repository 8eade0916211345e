"""Fetching EntityQuestions into kft's cache: the authors' zip or, if that fails, a copy on the hub."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from kft_tasks.errors import DataError, FetchError
from kft_tasks.exclusive import FETCH_SECONDS, exclusive
from kft_tasks.files import cache_folder
from kft_tasks.progress import ProgressCallback, no_progress
from kft_tasks.question_sets.storage.archive import check_pin, download, pin, unpack
from kft_tasks.question_sets.storage.hub import cache_root, fetch_hub_files
from kft_tasks.question_sets.storage.locate import inside, offline, split_files
from kft_tasks.question_sets.storage.rows import answers_of, need_columns, read_rows, text_of

FILE = re.compile(r"(P\d+)\.(train|dev|test)\.json$")
URL = "https://nlp.cs.princeton.edu/projects/entity-questions/dataset.zip"
MIRROR = "costadev00/EntityQuestions"  # unofficial and gated: log in and accept on the hub first
_MEMBER = re.compile(r"(?:dataset/)?(train|dev|test)/(P\d+\.(train|dev|test)\.json)$")


def cached_folder() -> Path:
    """Where :func:`fetch` puts the data, whether or not they are there yet."""
    return cache_folder() / "sets" / "entityquestions" / "dataset"


def fetch(progress: ProgressCallback = no_progress) -> Path:
    """Return the folder with train, dev and test: from the cache, the zip, or the hub.

    Raises:
        FetchError: nothing worked; the text has every reason.
        DataError: the zip is another one than when it was first fetched, or a link leads out of the cache.
    """
    folder = cached_folder()
    root = folder.parent
    if not folder.is_dir():
        _fetch_into(root, folder, progress)
    for path in folder.rglob("*"):
        inside(path, root)
    return folder


def _fetch_into(root: Path, folder: Path, progress: ProgressCallback) -> None:
    if offline():
        raise FetchError(f"{URL}: HF_HUB_OFFLINE is set, so nothing was downloaded")
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FetchError(f"cache {root}: cannot be written ({error.strerror}); set KFT_CACHE") from error
    busy = f"{root}: another process is fetching EntityQuestions. Wait for it, or stop it."
    with exclusive(root / ".lock", busy, FETCH_SECONDS):
        if folder.is_dir():
            return
        try:
            _from_zip(root, folder, progress)
        except FetchError as first:
            try:
                _from_hub(folder)
            except (FetchError, DataError) as second:
                raise FetchError(f"{first}\n  tried {second}") from second


def _from_zip(root: Path, folder: Path, progress: ProgressCallback) -> None:
    archive = root / "dataset.zip"
    record = root / "dataset.zip.sha256"
    download(URL, archive, progress=progress)
    try:
        digest = check_pin(archive, record)
        unpack(archive, folder, _wanted)
        _check_parts(folder)
        pin(digest, archive, record)
    finally:
        archive.unlink(missing_ok=True)


def _wanted(name: PurePosixPath) -> PurePosixPath | None:
    match = _MEMBER.match(str(name))
    return PurePosixPath(match.group(1), match.group(2)) if match and match.group(1) == match.group(3) else None


def _check_parts(folder: Path) -> None:
    for part in ("train", "dev", "test"):
        if not any((folder / part).glob("P*.json")):
            shutil.rmtree(folder, ignore_errors=True)
            raise FetchError(f"{URL}: the zip no longer has {part}/P*.{part}.json")


def _from_hub(folder: Path) -> None:
    """Turn a copy whose rows have question, answers and relation into the folder that the zip has."""
    source = fetch_hub_files(MIRROR, ["*.jsonl", "*.parquet", "**/*.jsonl", "**/*.parquet"])
    private = Path(tempfile.mkdtemp(prefix=".dataset.", dir=folder.parent))  # nobody else may look inside
    temporary = private / folder.name
    try:
        temporary.mkdir()  # with the rights that the umask leaves
        for split, paths in split_files(source, root=cache_root(source)).items():
            part = "dev" if split == "validation" else split
            if part in ("train", "dev", "test"):
                _write_part(paths, temporary, part)
        _check_parts(temporary)
        temporary.replace(folder)
    finally:
        shutil.rmtree(private, ignore_errors=True)


def _write_part(paths: list[Path], folder: Path, part: str) -> None:
    (folder / part).mkdir(exist_ok=True)
    with ExitStack() as stack:
        streams: dict[str, IO[str]] = {}
        for path in paths:
            for where, row in read_rows(path):
                need_columns(where, row, ("question", "answers", "relation"), MIRROR)
                relation = text_of(where, row, "relation")
                if not re.fullmatch(r"P\d{1,6}", relation):
                    raise DataError(f"{where}: relation {relation!r} is not like P17. Supply the authors' files.")
                if relation not in streams:
                    streams[relation] = stack.enter_context(_json_array(folder / part / f"{relation}.{part}.json"))
                    separator = ""
                else:
                    separator = ",\n"
                answers = answers_of(where, row["answers"], "answers")
                entry = {"question": text_of(where, row, "question"), "answers": list(answers)}
                streams[relation].write(separator + json.dumps(entry, ensure_ascii=False))


@contextmanager
def _json_array(path: Path) -> Iterator[IO[str]]:
    with path.open("w", encoding="utf-8") as stream:
        stream.write("[\n")
        yield stream
        stream.write("\n]\n")
