"""What a grader replied, kept on disk: append-only, checksummed, synchronised, locked; each pair is asked once.

One file per grader (model and prompt). The first line says which; every other one is a pair's digest and the reply to
it, as it was given. A torn line at the end of the file is dropped; a broken one in the middle is an error.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from typing_extensions import Self

from kft_tasks.checked_lines import checked_line, parse_checked_line
from kft_tasks.errors import DataError, StateError
from kft_tasks.files import sha256_of_json
from kft_tasks.grading.prompt import GradedPair
from kft_tasks.locks import LockedError, wait_for_lock
from kft_tasks.row_checks import check_keys, check_type

_KEYS = frozenset(("pair", "reply"))


def pair_key(pair: GradedPair) -> str:
    """Digest of what a grader is shown of a pair."""
    return sha256_of_json([pair.question, pair.answers, pair.given])[:32]


class ReplyCache:
    """The replies of one grader, for reading and adding.

    Args:
        path: created if missing, with its folder.
        header: which grader; a file of another one is refused.

    Raises:
        StateError: another process holds the file.
        DataError: it is damaged, of another grader, or cannot be written.
    """

    def __init__(self, path: Path, header: Mapping[str, Any]) -> None:
        self.path = path
        self._replies: dict[str, str] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file: IO[bytes] = path.open("a+b")
        except OSError as error:
            raise DataError(
                f"{path}: cannot be written ({error.strerror}). Set KFT_CACHE to another folder."
            ) from error
        try:
            self._release = wait_for_lock(self._file, path)
        except LockedError as error:
            self._file.close()
            raise StateError(f"{path}: another process is asking this grader. {error.remedy}") from error
        try:
            self._recover(header)
        except BaseException:
            self._close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _close(self) -> None:
        self._release()
        self._file.close()

    def __len__(self) -> int:
        return len(self._replies)

    def reply(self, pair: GradedPair) -> str | None:
        """The reply to a pair, or None if it was not asked."""
        return self._replies.get(pair_key(pair))

    def add(self, replies: Mapping[GradedPair, str]) -> None:
        """Keep replies; they are on disk when this returns."""
        rows = {pair_key(pair): reply for pair, reply in replies.items()}
        self._file.seek(0, os.SEEK_END)
        self._file.write(b"".join(checked_line({"pair": key, "reply": reply}) for key, reply in rows.items()))
        self._synchronise()
        self._replies |= rows

    def _synchronise(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())

    def _recover(self, header: Mapping[str, Any]) -> None:
        self._file.seek(0)
        offset = 0
        for number, line in enumerate(self._file, start=1):
            row = self._row(line, number)
            if row is None:
                if self._file.read(1) or (number == 1 and not checked_line(header).startswith(line)):
                    raise self._damaged(number, "")
                break  # torn while it was written
            offset += len(line)
            if number > 1:
                self._replies[row["pair"]] = row["reply"]
            elif row != header:
                raise DataError(f"{self.path}: holds the replies of another grader. Remove the file, or restore it.")
        self._file.truncate(offset)
        if offset == 0:
            self._file.write(checked_line(header))
            self._synchronise()

    def _row(self, line: bytes, number: int) -> dict[str, Any] | None:
        try:
            row = parse_checked_line(line)
            if row is not None and number > 1:
                check_keys(row, _KEYS)
                check_type(row, str, *_KEYS)
        except ValueError as error:
            raise self._damaged(number, f" ({error})") from error
        return row

    def _damaged(self, number: int, reason: str) -> DataError:
        return DataError(
            f"{self.path}:{number}: damaged line{reason}. Remove the file to ask the grader again, or restore it."
        )
