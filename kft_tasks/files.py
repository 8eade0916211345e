"""Atomic writes, JSON Lines that name a broken line, digests, and the cache folder."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import jsonlines

from kft_tasks.errors import DataError

MAX_LINE_BYTES = 16 * 1024 * 1024  # a longer "line" is a wrong or damaged file, not a question


@contextmanager
def atomic_write(path: Path) -> Iterator[IO[str]]:
    """Open a temporary text file beside ``path``; rename it into place if the block succeeds, else remove it.

    Raises:
        DataError: the folder cannot be written to, or ``path`` is a folder.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror}). Choose a folder you may write to.") from error
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.chmod(0o666 & ~_umask())
        if path.is_dir():
            raise DataError(f"{path}: cannot be written (it is a folder). Choose another name.")
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_json(path: Path, value: object) -> None:
    """Write ``value`` as indented JSON, whole or not at all."""
    with atomic_write(path) as stream:
        stream.write(json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def read_json(path: Path) -> Any:
    """Read one JSON file.

    Raises:
        DataError: the file is missing or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}). Check the path.") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: is not JSON ({error}). Restore or remove the file.") from error


def read_jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield ``(line number from 1, object)`` for every line of a JSON Lines file, in constant memory.

    Raises:
        DataError: the file cannot be read, or a line is broken, too long or not a JSON object.
    """
    try:
        with path.open("rb") as stream, jsonlines.Reader(_bounded_lines(stream, path)) as reader:
            number = 0
            while True:
                number += 1
                try:
                    yield number, reader.read(type=dict)
                except EOFError:
                    return
                except (jsonlines.InvalidLineError, RecursionError) as error:
                    reason = str(error).split("(line")[0].strip()
                    raise DataError(
                        f"{path}:{number}: not a JSON object ({reason}). Fix or remove the line."
                    ) from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}). Check the path.") from error


def _bounded_lines(stream: IO[bytes], path: Path) -> Iterator[bytes]:
    number = 0
    while line := stream.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(line) > MAX_LINE_BYTES:
            raise DataError(f"{path}:{number}: line of over {MAX_LINE_BYTES >> 20} MiB. Is this the right file?")
        yield line


def json_line(value: Mapping[str, Any]) -> str:
    """One line of JSON Lines: UTF-8, keys in the given order, ``\\n`` at the end."""
    return json.dumps(value, ensure_ascii=False) + "\n"


def sha256_of_json(value: object) -> str:
    """SHA-256 of the canonical JSON of ``value`` (sorted keys), as 64 hex digits."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def sha256_of_file(path: Path) -> str:
    """SHA-256 of a file's bytes, as 64 hex digits."""
    with path.open("rb") as stream:
        return _sha256_of_stream(stream)


def _sha256_of_stream(stream: IO[bytes]) -> str:
    state = hashlib.sha256()
    while block := stream.read(1 << 20):
        state.update(block)
    return state.hexdigest()


def cache_folder() -> Path:
    """Where fetched models and data are kept: ``$KFT_CACHE``, else ``$XDG_CACHE_HOME/kft``, else ``~/.cache/kft``."""
    if own := os.environ.get("KFT_CACHE"):
        return Path(own).expanduser().absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").expanduser().absolute() / "kft"
