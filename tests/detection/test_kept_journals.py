"""What a detection cost is known until its caller has recorded it; a full disk while a journal is written."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from kft_tasks.detection.journal import Journal
from kft_tasks.detection.run import DetectionResult, journal_folder
from kft_tasks.errors import DiskFullError
from kft_tasks.protocol.protocol import Protocol
from task_helpers import (
    Killed,
    ListSet,
    ScriptedAnswerer,
    make_exemplars,
    make_question,
    mixed_table,
    scripted_detection,
)

PROTOCOL = Protocol(exemplar_sets=3, shots=2, samples=2)
SOURCE = ListSet([make_question(f"q{i}", "tu"[i % 2]) for i in range(14)], make_exemplars("tu"))


def detection(output: Path, *, keep: bool, die_at: int | None = None) -> DetectionResult:
    answerer = ScriptedAnswerer(mixed_table, PROTOCOL, die_at=die_at)
    return scripted_detection(SOURCE, PROTOCOL, output, answerer, keep_journals=keep)


def test_an_existing_file_has_its_cost_as_long_as_its_journals_are_there(tmp_path: Path) -> None:
    output = tmp_path / "x.jsonl"
    first = detection(output, keep=True)
    assert first.cost["prefilled"] > 0
    again = detection(output, keep=True)
    assert again.reused
    assert again.cost == first.cost
    assert detection(output, keep=False).cost["prefilled"] == 0
    assert journal_folder(output).is_dir()


def test_without_being_told_to_a_detection_keeps_no_journals(tmp_path: Path) -> None:
    detection(tmp_path / "x.jsonl", keep=False)
    assert [path.name for path in tmp_path.iterdir()] == ["x.jsonl"]


def test_tokens_of_a_killed_detection_are_counted_once(tmp_path: Path) -> None:
    whole = detection(tmp_path / "whole.jsonl", keep=True)
    for die_at in (1, 4, 9, 12):
        output = tmp_path / f"{die_at}.jsonl"
        with pytest.raises(Killed):
            detection(output, keep=True, die_at=die_at)
        cost = detection(output, keep=True).cost
        assert {key: cost[key] for key in ("prefilled", "decoded")} == {
            key: whole.cost[key] for key in ("prefilled", "decoded")
        }


class FullFile:
    """A journal's file on a disk that is full from a moment on, as a buffered file is: closing it fails, too."""

    def __init__(self, file: Any) -> None:
        self.file = file

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def flush(self) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def close(self) -> None:
        self.file.close()
        self.flush()


def test_a_full_disk_names_the_journal_and_the_detection_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = detection(tmp_path / "whole.jsonl", keep=False)
    output, written = tmp_path / "x.jsonl", 0
    real = Journal._write

    def write(self: Any, row: dict[str, Any]) -> None:
        nonlocal written
        written += 1
        if written == 8:
            self._file = FullFile(self._file)
        real(self, row)

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "_write", write)
        with pytest.raises(DiskFullError) as caught:
            detection(output, keep=False)
    journal = journal_folder(output) / "0.jsonl"
    assert str(caught.value) == (
        f"{journal}: cannot be written (No space left on device). Free space and run the same command again."
    )
    detection(output, keep=False)
    assert output.read_bytes() == whole.path.read_bytes()
