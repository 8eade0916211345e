"""The journal of a detection: append-only, checked, flushed; a killed detection goes on from it.

One line a step: an 8-digit CRC-32, a space, JSON. The first line says for what the journal is. A line that is torn at
the end of the file is dropped; a broken one in the middle is an error. Chunks that were not finished are asked again
from the start, so that the model sees the same packs as in an undisturbed run and gives the same answers to the bit.
"""

from __future__ import annotations

import fcntl
import json
import os
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from kft_tasks.detect import Chunk, Pair
from kft_tasks.errors import DataError, StateError


class Journal:
    """One process's journal file.

    Args:
        path: created if missing; its folder too.
        header: what the journal is for; one that was begun for anything else is refused.

    Raises:
        StateError: another process has it, or it was begun for something else (the difference is named).
        DataError: it is damaged or cannot be written.
    """

    def __init__(self, path: Path, header: dict[str, Any]) -> None:
        self.path = path
        self._finished: dict[int, int] = {}  # chunk number -> offset of its first line
        self._start = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file: IO[bytes] = path.open("a+b")
        except OSError as error:
            raise DataError(
                f"{path}: cannot be written ({error.strerror}). Choose a folder you may write to."
            ) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise StateError(f"{path}: another process is writing this journal. Wait for it, or stop it.") from error
        try:
            self._recover(header)
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
        self._write({"chunk": chunk.number, "kind": kind, "of": list(pairs), "given": given})

    def finish(self, chunk: Chunk, cost: dict[str, float]) -> None:
        """Mark a chunk as complete; ``cost`` is kept with it."""
        self._write({"chunk": chunk.number, "finished": len(chunk.questions), "cost": cost})
        os.fsync(self._file.fileno())
        self._finished[chunk.number] = self._start
        self._start = self._file.seek(0, os.SEEK_END)

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
            for (index, number), given in zip(row["of"], row["given"], strict=True):
                if row["kind"] == "greedy":
                    chunk.greedy[index][number] = given
                else:
                    chunk.sampled[index][number] = tuple(given)
        raise DataError(
            f"{self.path}: chunk {chunk.number} does not fit these questions. Remove the journal, detect again."
        )

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

    def _recover(self, header: dict[str, Any]) -> None:
        self._file.seek(0)
        end = offset = begun = 0
        current: int | None = None
        for number, line in enumerate(self._file, start=1):
            row = _parse(line)
            if row is None:
                if self._file.read(1):
                    raise DataError(f"{self.path}:{number}: damaged line. Remove the journal and detect again.")
                break  # torn while it was written
            offset += len(line)
            if number == 1:
                _check_same(self.path, row, header)
                end = begun = offset
            elif row["chunk"] != current:
                current, begun = row["chunk"], offset - len(line)
            if "finished" in row:
                self._finished[row["chunk"]] = begun
                current, end = None, offset
        self._file.truncate(end)
        self._file.seek(0, os.SEEK_END)
        if end == 0:
            self._write(header)
        self._start = self._file.seek(0, os.SEEK_END)

    def _write(self, row: dict[str, Any]) -> None:
        text = json.dumps(row, ensure_ascii=False).encode()
        self._file.seek(0, os.SEEK_END)
        self._file.write(b"%08x %s\n" % (zlib.crc32(text), text))
        self._file.flush()


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
