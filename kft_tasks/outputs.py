"""Where kft may write: not over what the same command reads, a device, or a file that kft did not write."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kft_tasks.errors import DataError, StateError, UsageError
from kft_tasks.files import is_stdout, read_json, read_jsonl, special_kind


@dataclass(frozen=True)
class Written:
    """How a file that kft wrote is recognised, by its content.

    Attributes:
        what: for messages, such as "a category file".
        test: whether the first line of JSON Lines, or the whole of a ``.json`` file, is that.
    """

    what: str
    test: Callable[[Mapping[str, Any]], bool]

    def wrote(self, path: Path) -> bool:
        """Whether kft wrote the file; an empty one holds nothing to lose."""
        with suppress(OSError):
            if path.stat().st_size == 0:
                return True
        with suppress(DataError, StopIteration):
            return self.test(read_json(path, dict) if path.suffix == ".json" else next(read_jsonl(path))[1])
        return False


def check_output(
    output: Path, inputs: Iterable[Path] = (), *, written: Written | None = None, overwrite: bool = False
) -> None:
    """Refuse to write a file that would destroy something.

    Args:
        output: nothing is done to it; standard output is always allowed.
        inputs: files and folders that are read for it, never written over, not even through a link.
        written: by which an existing file is known as kft's own, to be replaced; without it, none may exist.
        overwrite: replace any other file too.

    Raises:
        UsageError: it is an input, or a file in an input folder.
        DataError: it is a folder, a device, a pipe or a socket.
        StateError: it exists.
    """
    if is_stdout(output):
        return
    if kind := special_kind(output):
        raise DataError(f"{output}: cannot be written (it is {kind}). Choose another name.")
    own = written is not None and output.exists() and written.wrote(output)
    for source in inputs:
        if _is_same(output, source) or (not own and output.exists() and _is_inside(output, source)):
            raise UsageError(f"{output}: is also an input ({source}). Choose another output.")
    if not output.exists() or own or overwrite:
        return
    if written is None:
        raise StateError(f"{output}: already exists. Choose another output, or overwrite it.")
    raise StateError(
        f"{output}: already exists and is not {written.what} that kft wrote. Choose another output, or overwrite it."
    )


def check_output_folder(
    folder: Path,
    inputs: Iterable[Path] = (),
    *,
    names: Iterable[str] = (),
    marker: str = "",
    written: Written | None = None,
    overwrite: bool = False,
) -> None:
    """Refuse to write files into a folder where that would destroy something, see :func:`check_output`.

    Args:
        names: files to be written; without any, the folder is written as a whole.
        marker: the one by which all are known as kft's own.
    """
    sources, files = list(inputs), list(names)
    if folder.exists() and not folder.is_dir():
        what = special_kind(folder) or "a file"
        raise DataError(f"{folder}: cannot be a folder for results (it is {what}). Choose another name.")
    for source in sources:
        if _is_same(folder, source):
            raise UsageError(f"{folder}: is also an input. Choose another folder.")
    own = written is not None and (folder / marker).is_file() and written.wrote(folder / marker)
    if written is not None and not files and folder.is_dir() and any(folder.iterdir()) and not own:
        raise StateError(f"{folder}: exists and is not {written.what} that kft wrote. Choose another folder.")
    for name in files:
        check_output(folder / name, sources, overwrite=overwrite or own)


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except (OSError, ValueError):  # one of them is not there
        return one.absolute() == other.absolute()


def _is_inside(path: Path, folder: Path) -> bool:
    with suppress(OSError, ValueError, RuntimeError):
        return folder.is_dir() and path.resolve().is_relative_to(folder.resolve())
    return False
