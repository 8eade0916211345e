"""Atomic writes, reading files that may be damaged or no files at all, digests, and the cache folder."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import secrets
import shutil
import stat
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import jsonlines

from kft_tasks import limits
from kft_tasks.errors import DISK_FULL, DataError, DiskFullError, UsageError
from kft_tasks.strict_json import check_memory, parse_json, parse_json_leniently

_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}")


@contextmanager
def full_disk_named(path: Path) -> Iterator[None]:
    """Name what was being written when the disk was full: the system's own error often names nothing.

    Raises:
        DiskFullError: there is no space for the file, or a quota or limit forbids its size.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        raise unwritable(path, error) from error


def unwritable(path: Path, error: OSError) -> DataError:
    """The error to raise where ``path`` cannot be written: a full disk has another remedy than a wrong folder."""
    if error.errno in DISK_FULL:
        return DiskFullError(
            f"{path}: cannot be written ({error.strerror}). Free space and run the same command again."
        )
    return DataError(f"{path}: cannot be written ({error.strerror}). Choose a folder you may write to.")


def remove(path: Path) -> None:
    """Remove a file, a link or a folder with all that is in it, if there is one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def is_temporary(path: Path) -> bool:
    """Whether a file has the name of one that :func:`atomic_write` has not finished, or was killed over."""
    return _TEMPORARY.fullmatch(path.name) is not None


_STDOUT = ("-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")


def is_stdout(path: Path) -> bool:
    """Whether a path stands for standard output: ``-``, ``/dev/stdout``."""
    return str(path) in _STDOUT


def special_kind(path: Path) -> str | None:
    """What a path is that is no regular file, for a message; None for a regular file and where nothing is."""
    try:
        return _special(path.stat().st_mode)
    except (OSError, ValueError):
        return None


def _special(mode: int) -> str | None:
    if stat.S_ISREG(mode):
        return None
    return "a folder" if stat.S_ISDIR(mode) else "a pipe, a socket or a device"


@contextmanager
def atomic_write(path: Path) -> Iterator[IO[str]]:
    """Open a temporary text file beside ``path``; rename it into place if the block succeeds, else remove it.

    A link is followed. What stands for standard output is written to as a stream.

    Raises:
        DataError: the folder cannot be written to, or ``path`` is a folder, a pipe or a device.
        DiskFullError: there is no space left.
    """
    if is_stdout(path):
        with _standard_output() as stream:
            yield stream
        return
    with _replacement(path) as handle, os.fdopen(handle, "w", encoding="utf-8", newline="\n") as stream:
        yield stream
        stream.flush()
        os.fsync(stream.fileno())


def write_bytes(path: Path, data: bytes) -> None:
    """Write a binary file, whole or not at all, as :func:`atomic_write` does; no stream.

    Raises:
        DataError: the folder cannot be written to, or ``path`` is a folder, a pipe or a device.
        DiskFullError: there is no space left.
    """
    with _replacement(path) as handle, os.fdopen(handle, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


@contextmanager
def _replacement(path: Path) -> Iterator[int]:
    """A descriptor, to be closed in the block, of a temporary file that takes the place of ``path`` after it."""
    if path.is_symlink():
        path = Path(os.path.realpath(path))
    _refuse_special(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # made with the rights that the umask leaves: asking for the umask would change it for other threads
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    except ValueError as error:
        raise DataError(f"{path}: cannot be written ({_reason(error)}). Choose a folder you may write to.") from error
    except OSError as error:
        raise unwritable(path, error) from error
    try:
        with full_disk_named(path):
            yield handle
        _refuse_special(path)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _refuse_special(path: Path) -> None:
    if kind := special_kind(path):
        raise DataError(f"{path}: cannot be written (it is {kind}). Choose another name.")


@contextmanager
def _standard_output() -> Iterator[IO[str]]:
    """Standard output as UTF-8, which stays open."""
    sys.stdout.flush()
    stream = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8", newline="\n")
    try:
        yield stream
        stream.flush()
    finally:
        with suppress(ValueError, OSError):
            stream.detach()


def give_usual_rights(folder: Path) -> None:
    """Give the files in a folder the rights of a new file, as the umask says, which is not changed for a moment."""
    probe = folder / f".{secrets.token_hex(8)}"
    os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    usual = stat.S_IMODE(probe.stat().st_mode)
    probe.unlink()
    for file in folder.iterdir():
        if file.is_file() and not file.is_symlink():
            file.chmod(usual)


def write_json(path: Path, value: object) -> None:
    """Write ``value`` as indented JSON, whole or not at all."""
    with atomic_write(path) as stream:
        stream.write(json.dumps(value, ensure_ascii=False, indent=2) + "\n")


@contextmanager
def open_input(path: Path) -> Iterator[IO[bytes]]:
    """Open a regular file for reading; a pipe or a device, which could wait or never end, is refused at once.

    The descriptor belongs to this context and not to the stream, so that a reader which is left half read, in whatever
    order the garbage collector takes it apart, closes it without a ResourceWarning.

    Raises:
        DataError: the file is missing, may not be read, or is no regular file.
    """
    flags = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_NONBLOCK", "O_NOCTTY", "O_CLOEXEC", "O_BINARY"))
    try:
        handle = os.open(path, flags)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise DataError(f"{path}: cannot be read ({_reason(error)}). Check the path.") from error
    try:
        if kind := _special(os.fstat(handle).st_mode):
            raise DataError(f"{path}: cannot be read (it is {kind}). Check the path.")
        with os.fdopen(handle, "rb", closefd=False) as stream:
            yield stream
    finally:
        os.close(handle)


def read_whole(path: Path, limit: int) -> bytes:
    """The bytes of a file.

    Raises:
        DataError: the file cannot be read, or has over ``limit`` bytes.
    """
    try:
        with open_input(path) as stream:
            size = os.fstat(stream.fileno()).st_size
            data = stream.read(limit + 1) if size <= limit else b""
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({_reason(error)}). Check the path.") from error
    if max(size, len(data)) > limit:
        raise DataError(f"{path}: over {limit >> 20} MiB, too large. Is this the right file?")
    return data


def read_text(path: Path, limit: int) -> str:
    """The text of a file.

    Raises:
        DataError: the file cannot be read, has over ``limit`` bytes, or is not UTF-8.
    """
    try:
        return read_whole(path, limit).decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: cannot be read (it is not UTF-8: {error.reason}). Convert the file.") from error


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)


def read_json(path: Path, kind: type | None = None, *, finite: bool = False) -> Any:
    """Read one JSON file.

    Args:
        path: the file.
        kind: type that the whole value must have, such as ``dict``; None if any will do.
        finite: whether to refuse NaN and Infinity, which the training logs of transformers may hold.

    Raises:
        DataError: the file is missing, no file, too large, not JSON, or not of the wanted type.
    """
    data = read_whole(path, limits.MAX_JSON_BYTES)
    try:
        text = data.decode("utf-8")
        del data
        check_memory(text)
        value = parse_json(text) if finite else parse_json_leniently(text)
    except ValueError as error:
        raise DataError(f"{path}: is not JSON ({error}). Restore or remove the file.") from error
    if kind is not None and not isinstance(value, kind):
        names: dict[type, str] = {dict: "an object", list: "an array"}
        wanted = names.get(kind, kind.__name__)
        raise DataError(f"{path}: is JSON, but not {wanted}. Restore or remove the file.")
    return value


def read_jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield ``(line number from 1, object)`` for every line of a JSON Lines file, in constant memory.

    Raises:
        DataError: the file cannot be read, or a line is broken, too long or not a JSON object.
    """
    with jsonlines.Reader(bounded_lines(path), loads=_parse_line) as reader:
        number = 0
        while True:
            number += 1
            try:
                yield number, reader.read(type=dict)
            except EOFError:
                return
            except jsonlines.InvalidLineError as error:
                reason = str(error).split("(line")[0].strip()
                raise DataError(f"{path}:{number}: not a JSON object ({reason}). Fix or remove the line.") from error


def _parse_line(line: str | bytes) -> Any:
    return parse_json(line if isinstance(line, str) else line.decode())


def bounded_lines(path: Path) -> Iterator[bytes]:
    """The lines of a file with their line ends, each of bounded length: the wrong file fails and fills no memory.

    Raises:
        DataError: the file cannot be read, or a line is too long.
    """
    limit, number = limits.MAX_LINE_BYTES, 0
    try:
        with open_input(path) as stream:
            while line := stream.readline(limit + 1):
                number += 1
                if len(line) > limit:
                    raise DataError(f"{path}:{number}: line of over {limit >> 20} MiB. Is this the right file?")
                yield line
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({_reason(error)}). Check the path.") from error


def json_line(value: Mapping[str, Any]) -> str:
    """One line of JSON Lines: UTF-8, keys in the given order, ``\\n`` at the end."""
    return json.dumps(value, ensure_ascii=False) + "\n"


def sha256_of_json(value: object) -> str:
    """SHA-256 of the canonical JSON of ``value`` (sorted keys), as 64 hex digits."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def sha256_of_file(path: Path) -> str:
    """SHA-256 of a file's bytes, as 64 hex digits.

    Raises:
        DataError: the file cannot be read, or is no regular file.
    """
    try:
        with open_input(path) as stream:
            return _sha256_of_stream(stream)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({_reason(error)}). Check the path.") from error


def _sha256_of_stream(stream: IO[bytes]) -> str:
    state = hashlib.sha256()
    while block := stream.read(1 << 20):
        state.update(block)
    return state.hexdigest()


def home_path(name: str | Path, where: str) -> Path:
    """A path whose ``~`` or ``~user`` is replaced by the home folder.

    Args:
        name: as it was given.
        where: option or variable that gave it, for the message.

    Raises:
        UsageError: there is no such user.
    """
    try:
        return Path(name).expanduser()
    except RuntimeError as error:
        raise UsageError(f"{where}: {str(name)!r} is in the home folder of nobody. Write the whole path.") from error


def cache_folder() -> Path:
    """Where fetched models and data are kept: ``$KFT_CACHE``, else ``$XDG_CACHE_HOME/kft``, else ``~/.cache/kft``.

    Raises:
        UsageError: a variable names the home folder of an unknown user.
    """
    if own := os.environ.get("KFT_CACHE"):
        return home_path(own, "KFT_CACHE").absolute()
    return home_path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "XDG_CACHE_HOME").absolute() / "kft"
