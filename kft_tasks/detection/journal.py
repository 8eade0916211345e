"""The journal of a detection: append-only, checksummed, flushed; a killed detection resumes from it.

One line per step (:mod:`kft_tasks.checked_lines`). The first line says what the journal is for. A torn line at the
end of the file is dropped; a broken one in the middle is an error. Chunks that were not finished start over, so that
the model sees the same tries as in an uninterrupted run and gives the same answers to the bit. For engines whose
answers do not depend on what is asked together (a server), their recorded answers are replayed instead.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from kft_tasks import limits
from kft_tasks.checked_lines import checked_line, parse_checked_line
from kft_tasks.detection.schedule import Chunk, Pair
from kft_tasks.errors import DataError, DiskFullError, StateError
from kft_tasks.files import full_disk_named, unwritable
from kft_tasks.locks import LockedError, is_locked, wait_for_lock
from kft_tasks.records import too_large
from kft_tasks.row_checks import check_keys, check_type

COST_KEYS = ("seconds", "cpu_seconds", "prefilled", "decoded", "prompt_tokens", "answer_tokens")
"""What a chunk's cost is counted in."""


class Journal:
    """One process's journal file.

    Args:
        path: created if missing, with its folder.
        header: what the journal is for; an existing journal with another header is refused.
        keep_unfinished: keep the answers of unfinished chunks, for :meth:`replay`.
        read_only: only read, while another process may be writing.

    Raises:
        StateError: another process holds it, or it was started for something else (the message names the difference).
        DataError: it is damaged or cannot be written.
    """

    def __init__(
        self, path: Path, header: dict[str, Any], *, keep_unfinished: bool = False, read_only: bool = False
    ) -> None:
        self.path = path
        self._finished: dict[int, int] = {}  # chunk number -> offset of its first line
        self._unfinished: dict[int, list[int]] = {}  # chunk number -> offsets of its lines
        self._full = False  # whether the disk was full when a line was written
        self._current: int | None = None  # number of the chunk that is being written
        self._current_start = 0  # offset of its first line
        try:
            if not read_only:
                path.parent.mkdir(parents=True, exist_ok=True)
            self._file: IO[bytes] = path.open("rb" if read_only else "a+b")
        except OSError as error:
            if not read_only:
                raise unwritable(path, error) from error
            raise DataError(f"{path}: cannot be read ({error.strerror}). Check the path.") from error
        self._release: Callable[[], None] = lambda: None
        try:
            if not read_only:
                self._release = _lock(self._file, path)
                os.utime(path)  # shows other processes that this one has started
            self._recover(header, read_only)
            if not read_only and not keep_unfinished:
                self.drop_unfinished()
        except BaseException:
            self.close()
            raise

    @property
    def finished(self) -> frozenset[int]:
        """Numbers of the chunks that are complete in this journal."""
        return frozenset(self._finished)

    def append(self, chunk: Chunk, kind: str, pairs: Sequence[Pair]) -> None:
        """Record the answers to ``pairs``, taken from the chunk; ``kind`` is "greedy" or "sampled"."""
        source: Any = chunk.greedy if kind == "greedy" else chunk.sampled
        given = [source[index][number] for index, number in pairs]
        if chunk.number != self._current:
            self._current, self._current_start = chunk.number, self._file.seek(0, os.SEEK_END)
        self._write({"chunk": chunk.number, "kind": kind, "of": list(pairs), "given": given})

    def finish(self, chunk: Chunk, cost: dict[str, float]) -> None:
        """Mark a chunk as complete and record its ``cost``."""
        self._write({"chunk": chunk.number, "finished": len(chunk.questions), "cost": cost})
        with full_disk_named(self.path):
            os.fsync(self._file.fileno())
        self._finished[chunk.number] = self._current_start
        self._current = None

    def fill(self, chunk: Chunk, exemplar_sets: int) -> dict[str, float]:
        """Put the recorded answers of a finished chunk into it; return its cost.

        Raises:
            DataError: the answers do not fit the chunk's questions.
        """
        chunk.clear(exemplar_sets)
        self._file.seek(self._finished[chunk.number])
        for line in self._lines():
            row = self._row(line)
            if (
                row is None
                or row.get("chunk") != chunk.number
                or row.get("finished", len(chunk.questions)) != len(chunk.questions)
            ):
                break
            if "finished" in row:
                return dict(row["cost"])
            if not _put(row, chunk, exemplar_sets):
                break
        raise self._misfit(chunk)

    def replay(self, chunk: Chunk, exemplar_sets: int) -> None:
        """Put the recorded answers of an unfinished chunk into it, if there are any.

        Raises:
            DataError: the answers do not fit the chunk's questions.
        """
        for offset in self._unfinished.get(chunk.number, ()):
            self._file.seek(offset)
            row = self._row(self._file.readline())
            if row is None or not _put(row, chunk, exemplar_sets):
                raise self._misfit(chunk)

    def drop_unfinished(self) -> None:
        """Delete the answers of unfinished chunks."""
        if self._unfinished:
            self._file.truncate(self._end_of_finished)
            self._unfinished.clear()

    def costs(self) -> Iterator[dict[str, float]]:
        """Costs of all finished chunks."""
        self._file.seek(0)
        self._file.readline()
        for line in self._lines():
            row = self._row(line)
            if row is not None and "finished" in row:
                yield dict(row["cost"])

    def close(self) -> None:
        """Close the file and release the lock."""
        try:
            with full_disk_named(self.path):
                self._file.close()  # writes again what a full disk did not take
        except DiskFullError:
            if not self._full:
                raise
        finally:
            self._release()

    def _lines(self) -> Iterator[bytes]:
        """The lines from the file's position on, each of bounded length."""
        limit = limits.MAX_JSON_BYTES
        while line := self._file.readline(limit + 1):
            if len(line) > limit:
                raise self._damaged(0, f" of over {limit >> 20} MiB")
            yield line

    def _row(self, line: bytes, number: int = 0) -> dict[str, Any] | None:
        """The row of a line, or None if it is torn or damaged.

        Args:
            number: of the line: the first is a header and of any shape; 0 if it is not known, and not the first.

        Raises:
            DataError: it is whole, but of another shape.
        """
        try:
            row = parse_checked_line(line)
            if row is not None and number != 1:
                _check_row(row)
        except ValueError as error:
            raise self._damaged(number, f" ({error})") from error
        return row

    def _damaged(self, number: int, reason: str = "") -> DataError:
        where = f"{self.path}:{number}" if number else str(self.path)
        return DataError(f"{where}: damaged line{reason}. Remove the journal and detect again.")

    def _misfit(self, chunk: Chunk) -> DataError:
        return DataError(
            f"{self.path}: chunk {chunk.number} does not fit these questions. Remove the journal and detect again."
        )

    def _recover(self, header: dict[str, Any], read_only: bool) -> None:
        self._file.seek(0)
        self._end_of_finished = offset = start = 0
        current: int | None = None
        for number, line in enumerate(self._lines(), start=1):
            row = self._row(line, number)
            if row is None:
                if read_only:
                    break  # the line is being written
                if self._file.read(1) or (number == 1 and not checked_line(header).startswith(line)):
                    raise self._damaged(number)
                break  # torn while it was written
            offset += len(line)
            if number == 1:
                _check_same(self.path, row, header)
                self._end_of_finished = start = offset
                continue
            if row["chunk"] != current:
                current, start = row["chunk"], offset - len(line)
            if "finished" in row:
                self._finished[row["chunk"]] = start
                self._unfinished.pop(row["chunk"], None)
                current, self._end_of_finished = None, offset
            else:
                self._unfinished.setdefault(row["chunk"], []).append(offset - len(line))
        if read_only:
            return
        self._file.truncate(offset)
        if offset == 0:
            self._write(header)
            self._end_of_finished = self._file.tell()

    def _write(self, row: dict[str, Any]) -> None:
        try:
            with full_disk_named(self.path):
                self._file.seek(0, os.SEEK_END)
                self._file.write(checked_line(row))
                self._file.flush()
        except DiskFullError:
            self._full = True
            raise


def _lock(file: IO[bytes], path: Path) -> Callable[[], None]:
    try:
        return wait_for_lock(file, path)
    except LockedError as error:
        raise StateError(f"{path}: another process is writing this journal. {error.remedy}") from error


def is_being_written(path: Path) -> bool:
    """Whether a running process holds this journal."""
    try:
        with path.open("rb") as file:
            return is_locked(file, path)
    except FileNotFoundError:
        return False
    except OSError:
        return True


def last_change(path: Path) -> float:
    """When a journal was last locked or written; 0 if there is none, or an empty one that is not locked yet."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return 0.0
    return found.st_mtime if found.st_size else 0.0


def _put(row: dict[str, Any], chunk: Chunk, exemplar_sets: int) -> bool:
    """Put a line's answers into their chunk; return False if they do not fit."""
    if any(index >= len(chunk.questions) or number >= exemplar_sets for index, number in row["of"]):
        return False
    for (index, number), given in zip(row["of"], row["given"], strict=True):
        if row["kind"] == "greedy":
            chunk.greedy[index][number] = given
        else:
            chunk.sampled[index][number] = tuple(given)
    return True


_ANSWERS = frozenset(("chunk", "kind", "of", "given"))
_FINISHED = frozenset(("chunk", "finished", "cost"))


def _check_row(row: dict[str, Any]) -> None:
    """Check a line after the first: answers, or the end of a chunk. By hand, since there are many.

    Raises:
        ValueError: a key or a value is not what this class writes.
    """
    finished = "finished" in row
    check_keys(row, _FINISHED if finished else _ANSWERS)
    check_type(row, int, "chunk", *(("finished",) if finished else ()))
    if finished:
        check_type(row, dict, "cost")
        if problem := too_large(row["cost"]):
            raise ValueError(f"cost: {problem}")
        if set(row["cost"]) - set(COST_KEYS) or not all(type(value) in (int, float) for value in row["cost"].values()):
            raise ValueError(f"cost: must be numbers of {', '.join(COST_KEYS)}")
        return
    check_type(row, list, "of", "given")
    of, given = row["of"], row["given"]
    if len(of) != len(given):
        raise ValueError("given: not as many as in of")
    for pair in of:
        if type(pair) is not list or len(pair) != 2 or not all(type(one) is int and one >= 0 for one in pair):
            raise ValueError("of: must be pairs of integers from 0")
    if row["kind"] == "greedy":
        texts = given
    elif row["kind"] == "sampled":
        if not all(type(samples) is list for samples in given):
            raise ValueError("given: must be lists of samples")
        texts = [text for samples in given for text in samples]
    else:
        raise ValueError("kind: must be greedy or sampled")
    if not all(type(text) is str for text in texts):
        raise ValueError("given: must be text")


def _check_same(path: Path, found: dict[str, Any], wanted: dict[str, Any]) -> None:
    different = [
        f"{key} is {_short(_part(found, wanted, key))}, now {_short(_part(wanted, found, key))}"
        for key in sorted({*found, *wanted})
        if found.get(key) != wanted.get(key)
    ]
    if different:
        raise StateError(
            f"{path}: this journal was started for something else: {'; '.join(different)}. "
            "Choose another output, or remove the journal to start over."
        )


def _part(one: dict[str, Any], other: dict[str, Any], key: str) -> object:
    """The value of ``key`` in ``one``; of two mappings, only what ``other`` does not have or has otherwise."""
    mine, theirs = one.get(key), other.get(key)
    if isinstance(mine, dict) and isinstance(theirs, dict):
        return {name: value for name, value in mine.items() if name not in theirs or theirs[name] != value}
    return mine


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."
