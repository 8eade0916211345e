from __future__ import annotations

import os
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest

from kft_tasks import limits
from kft_tasks.detection.journal import Journal
from kft_tasks.detection.schedule import Chunk
from kft_tasks.errors import DataError, StateError
from task_helpers import make_question

HEADER: dict[str, Any] = {"model": {"id": "m"}, "protocol": {"seed": 0}}
COST = {"seconds": 1.5, "decoded": 7}


def _chunk(number: int) -> Chunk:
    chunk = Chunk(number, [make_question(f"{number}-a"), make_question(f"{number}-b")])
    chunk.clear(2)
    return chunk


def _answer(journal: Journal, number: int) -> Chunk:
    """Two steps and the end of a chunk: three lines."""
    chunk = _chunk(number)
    chunk.greedy = [["é", None], ["no", ""]]
    chunk.sampled[1][0] = ("a\nb", "")
    journal.append(chunk, "greedy", [(0, 0), (1, 0), (1, 1)])
    journal.append(chunk, "sampled", [(1, 0)])
    journal.finish(chunk, COST)
    return chunk


def _write(path: Path, chunks: int) -> None:
    journal = Journal(path, HEADER)
    for number in range(chunks):
        _answer(journal, number)
    journal.close()


def test_answers_and_costs_survive(tmp_path: Path) -> None:
    path = tmp_path / "new" / "0.jsonl"
    journal = Journal(path, HEADER)
    written = [_answer(journal, number) for number in range(3)]
    journal.close()
    journal = Journal(path, HEADER)
    assert journal.finished == {0, 1, 2}
    assert list(journal.costs()) == [COST] * 3
    for number in (2, 0, 1):  # in any order
        chunk = _chunk(number)
        assert journal.fill(chunk, 2) == COST
        assert chunk == written[number]
    journal.close()


def test_a_journal_that_was_read_can_be_written_further(tmp_path: Path) -> None:
    path = tmp_path / "0.jsonl"
    _write(path, 2)
    journal = Journal(path, HEADER)
    journal.fill(_chunk(0), 2)
    list(journal.costs())
    _answer(journal, 2)
    journal.fill(_chunk(2), 2)
    journal.close()
    _write(tmp_path / "whole.jsonl", 3)
    assert path.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def test_cut_at_any_byte_a_journal_keeps_the_chunks_that_are_whole_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # a thousand calls take seconds
    _write(tmp_path / "whole.jsonl", 2)
    whole = (tmp_path / "whole.jsonl").read_bytes()
    lines = whole.splitlines(keepends=True)
    ends = [len(b"".join(lines[:4])), len(whole)]  # of the finished chunks; line 1 is the header
    assert len(lines) == 7
    path = tmp_path / "0.jsonl"
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        journal = Journal(path, HEADER)
        kept = {number for number, end in enumerate(ends) if cut >= end}
        assert journal.finished == kept, cut
        for number in range(len(kept), 2):
            _answer(journal, number)
        journal.close()
        assert path.read_bytes() == whole, cut


def test_a_torn_line_that_ends_in_a_newline_is_dropped_too(tmp_path: Path) -> None:
    """Blocks of a file need not reach the disk in order: the end may be written and the middle missing."""
    path = tmp_path / "0.jsonl"
    _write(path, 1)
    whole = path.read_bytes()
    with path.open("ab") as stream:
        stream.write(b"0" * 50 + b"\n")
    journal = Journal(path, HEADER)
    journal.close()
    assert journal.finished == {0}
    assert path.read_bytes() == whole


def test_a_damaged_byte_before_the_last_line_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "0.jsonl"
    _write(path, 2)
    whole = path.read_bytes()
    last = whole.rstrip(b"\n").rindex(b"\n")
    for at in range(last):
        damaged = bytearray(whole)
        damaged[at] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(DataError) as caught:
            Journal(path, HEADER)
        line = whole[:at].count(b"\n") + 1
        assert str(caught.value) == f"{path}:{line}: damaged line. Remove the journal and detect again."
        assert path.read_bytes() == damaged  # refused, not repaired


def test_unfinished_answers_are_dropped_so_that_the_chunk_is_asked_as_a_whole_again(tmp_path: Path) -> None:
    path = tmp_path / "0.jsonl"
    _write(path, 1)
    whole = path.read_bytes()
    journal = Journal(path, HEADER)
    chunk = _chunk(1)
    chunk.greedy[0][0] = "x"
    journal.append(chunk, "greedy", [(0, 0)])
    journal.close()
    journal = Journal(path, HEADER)
    journal.close()
    assert journal.finished == {0}
    assert path.read_bytes() == whole


@pytest.mark.parametrize(
    ("header", "difference"),
    [
        ({**HEADER, "model": {"id": "n"}}, 'model is {"id": "m"}, now {"id": "n"}'),
        ({**HEADER, "protocol": {"seed": 1}}, 'protocol is {"seed": 0}, now {"seed": 1}'),
        ({**HEADER, "protocol": {"seed": 0, "new": 1}}, 'protocol is {}, now {"new": 1}'),
        ({**HEADER, "more": 1}, "more is null, now 1"),
        ({"model": HEADER["model"]}, 'protocol is {"seed": 0}, now null'),
    ],
)
def test_a_journal_for_something_else_is_refused_and_the_difference_named(
    tmp_path: Path, header: dict[str, Any], difference: str
) -> None:
    path = tmp_path / "0.jsonl"
    _write(path, 1)
    whole = path.read_bytes()
    with pytest.raises(StateError) as caught:
        Journal(path, header)
    assert f"started for something else: {difference}. Choose another output" in str(caught.value)
    assert path.read_bytes() == whole
    Journal(path, HEADER).close()  # the lock was released


def test_another_process_is_refused_while_the_journal_is_open(tmp_path: Path) -> None:
    path = tmp_path / "0.jsonl"
    program = (
        "import sys; from pathlib import Path; from kft_tasks.detection.journal import Journal; from kft_tasks.errors import *\n"
        f"try: Journal(Path(sys.argv[1]), {HEADER!r}).close()\n"
        "except StateError as error: sys.exit(str(error))"
    )
    command = [sys.executable, "-c", program, str(path)]
    journal = Journal(path, HEADER)
    _answer(journal, 0)
    while_open = subprocess.run(command, capture_output=True, text=True, check=False)
    _answer(journal, 1)
    journal.close()
    assert while_open.stderr.strip() == (f"{path}: another process is writing this journal. Wait for it, or stop it.")
    afterwards = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (afterwards.returncode, afterwards.stderr) == (0, "")
    _write(tmp_path / "whole.jsonl", 2)
    assert path.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def test_a_chunk_of_other_questions_is_refused(tmp_path: Path) -> None:
    _write(tmp_path / "0.jsonl", 1)
    journal = Journal(tmp_path / "0.jsonl", HEADER)
    short = Chunk(0, [make_question("a")])
    with pytest.raises(DataError, match="chunk 0 does not fit these questions. Remove the journal"):
        journal.fill(short, 2)
    journal.close()


def test_a_journal_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "0.jsonl", tmp_path):
        with pytest.raises(DataError, match="cannot be written"):
            Journal(path, HEADER)


def test_a_line_that_would_fill_the_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "0.jsonl"
    _write(path, 1)
    text = b'{"chunk": [' + b"[]," * 20_000 + b"[]]}"
    with path.open("ab") as file:
        file.write(b"%08x %s\n" % (zlib.crc32(text), text))
    monkeypatch.setattr(limits, "MAX_JSON_MEMORY", 1 << 20)
    with pytest.raises(DataError, match="damaged line .*would take over 1 MiB of memory"):
        Journal(path, HEADER)
    monkeypatch.setattr(limits, "MAX_JSON_BYTES", 1 << 10)
    with pytest.raises(DataError, match="damaged line of over 0 MiB"):
        Journal(path, HEADER)


def test_a_foreign_file_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "0.jsonl"
    path.write_bytes(b"somebody's notes\n")
    with pytest.raises(DataError, match="0.jsonl:1: damaged line"):
        Journal(path, HEADER)
    assert path.read_bytes() == b"somebody's notes\n"
