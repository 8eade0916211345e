"""The journal of a detection: append-only, checked, flushed; a killed detection goes on from it.

One line a step: an 8-digit CRC-32, a space, JSON. The first line says for what the journal is. A line that is torn at
the end of the file is dropped; a broken one in the middle is an error. Chunks that were not finished are asked again
from the start, so that the model sees the same packs as in an undisturbed run and gives the same answers to the bit;
for engines whose answers do not depend on what is asked together (a server), their answers are replayed instead.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from kft_tasks.detection.schedule import Chunk, Pair
from kft_tasks.errors import DataError, StateError


class Journal:
    """One process's journal file.

    Args:
        path: created if missing; its folder too.
        header: what the journal is for; one that was begun for anything else is refused.
        keep_unfinished: keep the answers of chunks that were not finished, for :meth:`replay`.
        read_only: only look, while another process may be writing.

    Raises:
        StateError: another process has it, or it was begun for something else (the difference is named).
        DataError: it is damaged or cannot be written.
    """

    def __init__(
        self, path: Path, header: dict[str, Any], *, keep_unfinished: bool = False, read_only: bool = False
    ) -> None:
        self.path = path
        self._finished: dict[int, int] = {}  # chunk number -> offset of its first line
        self._unfinished: dict[int, list[int]] = {}  # chunk number -> offsets of its lines
        self._current: int | None = None  # the chunk that is being written, and where it begins
        self._begun = 0
        try:
            if not read_only:
                path.parent.mkdir(parents=True, exist_ok=True)
            self._file: IO[bytes] = path.open("rb" if read_only else "a+b")
        except OSError as error:
            raise DataError(
                f"{path}: cannot be {'read' if read_only else 'written'} ({error.strerror}). "
                "Choose a folder you may write to."
            ) from error
        if not read_only and not _lock(self._file):
            self._file.close()
            raise StateError(f"{path}: another process is writing this journal. Wait for it, or stop it.")
        try:
            if not read_only:
                os.utime(path)  # others see that this process has begun
            self._recover(header, read_only)
            if not read_only and not keep_unfinished:
                self.drop_unfinished()
        except BaseException:
            self._file.close()
            raise

    @property
    def finished(self) -> frozenset[int]:
        """Numbers of the chunks that are complete here."""
        return frozenset(self._finished)

    def append(self, chunk: Chunk, kind: str, pairs: Sequence[Pair]) -> None:
        """Record answers that were just given: ``kind`` is "greedy" or "sampled"."""
        source: Any = chunk.greedy if kind == "greedy" else chunk.sampled
        given = [source[index][number] for index, number in pairs]
        if chunk.number != self._current:
            self._current, self._begun = chunk.number, self._file.seek(0, os.SEEK_END)
        self._write({"chunk": chunk.number, "kind": kind, "of": list(pairs), "given": given})

    def finish(self, chunk: Chunk, cost: dict[str, float]) -> None:
        """Mark a chunk as complete; ``cost`` is kept with it."""
        self._write({"chunk": chunk.number, "finished": len(chunk.questions), "cost": cost})
        os.fsync(self._file.fileno())
        self._finished[chunk.number] = self._begun
        self._current = None

    def fill(self, chunk: Chunk, exemplar_sets: int) -> dict[str, float]:
        """Put the recorded answers of a finished chunk into it; returns its cost."""
        chunk.clear(exemplar_sets)
        self._file.seek(self._finished[chunk.number])
        for line in self._file:
            row = _parse(line)
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
        """Put the recorded answers of a chunk that was not finished into it; there may be none."""
        for offset in self._unfinished.get(chunk.number, ()):
            self._file.seek(offset)
            row = _parse(self._file.readline())
            if row is None or not _put(row, chunk, exemplar_sets):
                raise self._misfit(chunk)

    def drop_unfinished(self) -> None:
        """Forget the answers of chunks that were not finished."""
        if self._unfinished:
            self._file.truncate(self._end_of_finished)
            self._unfinished.clear()

    def costs(self) -> Iterator[dict[str, float]]:
        """Costs of all finished chunks."""
        self._file.seek(0)
        for line in self._file:
            row = _parse(line)
            if row is not None and "finished" in row:
                yield dict(row["cost"])

    def close(self) -> None:
        """Close the file and give up the lock."""
        self._file.close()

    def _misfit(self, chunk: Chunk) -> DataError:
        return DataError(
            f"{self.path}: chunk {chunk.number} does not fit these questions. Remove the journal, detect again."
        )

    def _recover(self, header: dict[str, Any], read_only: bool) -> None:
        self._file.seek(0)
        self._end_of_finished = offset = begun = 0
        current: int | None = None
        for number, line in enumerate(self._file, start=1):
            row = _parse(line)
            if row is None:
                if read_only:
                    break  # it is being written
                if self._file.read(1) or (number == 1 and not _line(header).startswith(line)):
                    raise DataError(f"{self.path}:{number}: damaged line. Remove the journal and detect again.")
                break  # torn while it was written
            offset += len(line)
            if number == 1:
                _check_same(self.path, row, header)
                self._end_of_finished = begun = offset
                continue
            if row["chunk"] != current:
                current, begun = row["chunk"], offset - len(line)
            if "finished" in row:
                self._finished[row["chunk"]] = begun
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
        self._file.seek(0, os.SEEK_END)
        self._file.write(_line(row))
        self._file.flush()


def _lock(file: IO[bytes]) -> bool:
    """Take the lock; a process that only asks whether it is taken holds it for a moment, so try more than once."""
    for wait in (0.05, 0.1, 0.2, None):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if wait is not None:
                time.sleep(wait)
        else:
            return True
    return False


def is_being_written(path: Path) -> bool:
    """Does a living process hold this journal?"""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def last_change(path: Path) -> float:
    """When a journal was locked or written last; 0 where there is none, or an empty one that is not locked yet."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return 0.0
    return found.st_mtime if found.st_size else 0.0


def _put(row: dict[str, Any], chunk: Chunk, exemplar_sets: int) -> bool:
    """Put a line's answers into their chunk; False where they do not fit."""
    if any(index >= len(chunk.questions) or number >= exemplar_sets for index, number in row["of"]):
        return False
    for (index, number), given in zip(row["of"], row["given"], strict=True):
        if row["kind"] == "greedy":
            chunk.greedy[index][number] = given
        else:
            chunk.sampled[index][number] = tuple(given)
    return True


def _line(row: dict[str, Any]) -> bytes:
    text = json.dumps(row, ensure_ascii=False).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _parse(line: bytes) -> dict[str, Any] | None:
    """The row of a journal line, or None where it is torn or damaged."""
    if not line.endswith(b"\n") or line[8:9] != b" ":
        return None
    text = line[9:-1]
    if line[:8] != b"%08x" % zlib.crc32(text):
        return None
    row: dict[str, Any] = json.loads(text)
    return row


def _check_same(path: Path, found: dict[str, Any], wanted: dict[str, Any]) -> None:
    different = [
        f"{key} is {_short(found.get(key))}, now {_short(wanted.get(key))}"
        for key in sorted({*found, *wanted})
        if found.get(key) != wanted.get(key)
    ]
    if different:
        raise StateError(
            f"{path}: this journal was begun for something else: {'; '.join(different)}. "
            "Choose another output, or remove the journal to begin anew."
        )


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."
