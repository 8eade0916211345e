"""The replies on disk: kept whatever happens, by one process at a time, and refused where they are damaged."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from grading_helpers import MODEL, identity, pair
from kft_tasks.errors import DataError, StateError
from kft_tasks.grading.grader import GraderIdentity
from kft_tasks.grading.reply_cache import ReplyCache
from kft_tasks.protocol.identity import ModelIdentity

HEADER = {"format": "kft-replies/1", "model": "m"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file with two replies, which was closed."""
    path = tmp_path / "deep" / "m.replies"
    with ReplyCache(path, HEADER) as cache:
        cache.add({pair("a"): "CORRECT", pair("b"): "what?\n"})
    return path


def test_replies_survive_as_they_were_given(file: Path) -> None:
    with ReplyCache(file, HEADER) as cache:
        assert len(cache) == 2
        assert [cache.reply(pair(text)) for text in "abc"] == ["CORRECT", "what?\n", None]


def test_question_accepted_answers_and_given_answer_all_count(file: Path) -> None:
    with ReplyCache(file, HEADER) as cache:
        assert cache.reply(pair("a", question="Was it?")) is None
        assert cache.reply(pair("a", answers=("yes", "y"))) is None


def test_replies_are_on_disk_before_add_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synchronised: list[int] = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda handle: (synchronised.append(handle), real(handle))[1])
    with ReplyCache(tmp_path / "m", HEADER) as cache:
        before = len(synchronised)
        cache.add({pair("a"): "CORRECT"})
        assert len(synchronised) == before + 1
        assert len((tmp_path / "m").read_bytes().splitlines()) == 2


def test_a_torn_last_line_is_dropped_wherever_it_was_torn(file: Path) -> None:
    whole = file.read_bytes()
    lines = whole.splitlines(keepends=True)
    for cut in range(len(lines[0] + lines[1]), len(whole)):
        file.write_bytes(whole[:cut])
        with ReplyCache(file, HEADER) as cache:
            assert len(cache) == 1
            cache.add({pair("b"): "what?\n"})
        assert file.read_bytes() == whole


def test_a_torn_first_line_starts_anew(tmp_path: Path, file: Path) -> None:
    first = file.read_bytes().splitlines(keepends=True)[0]
    for cut in range(len(first)):
        path = tmp_path / "torn"
        path.write_bytes(first[:cut])
        with ReplyCache(path, HEADER) as cache:
            assert len(cache) == 0
        assert path.read_bytes() == first


@pytest.mark.parametrize("line", [0, 1])
def test_a_damaged_line_in_the_middle_is_an_error_that_names_it(file: Path, line: int) -> None:
    lines = file.read_bytes().splitlines(keepends=True)
    lines[line] = lines[line].replace(b'"', b"'", 1)
    file.write_bytes(b"".join(lines))
    with pytest.raises(DataError, match=f"m.replies:{line + 1}: damaged line.*Remove the file"):
        ReplyCache(file, HEADER)


def test_a_file_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes"
    path.write_text("my notes")
    with pytest.raises(DataError, match="notes:1: damaged line"):
        ReplyCache(path, HEADER)
    assert path.read_text() == "my notes"


def test_a_line_of_another_shape_is_an_error(file: Path) -> None:
    from kft_tasks.checked_lines import checked_line

    file.write_bytes(file.read_bytes() + checked_line({"pair": "x", "reply": 3}))
    with pytest.raises(DataError, match="m.replies:4: damaged line .reply: must be text"):
        ReplyCache(file, HEADER)


def test_another_graders_file_is_refused(file: Path) -> None:
    with pytest.raises(DataError, match="another grader"):
        ReplyCache(file, {**HEADER, "model": "n"})


def test_one_process_at_a_time(file: Path) -> None:
    with ReplyCache(file, HEADER), pytest.raises(StateError, match="another process"):
        ReplyCache(file, HEADER)
    with ReplyCache(file, HEADER) as cache:
        assert len(cache) == 2


def test_a_folder_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="KFT_CACHE"):
        ReplyCache(tmp_path / "file" / "m.replies", HEADER)


def test_each_grader_has_a_file_of_its_own_whatever_it_is_called() -> None:
    own = identity()
    renamed = ModelIdentity("another name", MODEL.weights, None, MODEL.dtype)
    assert identity(renamed).file(".replies") == own.file(".replies")
    others = [
        identity(ModelIdentity(MODEL.id, "k" * 64, None, MODEL.dtype)),
        identity(ModelIdentity(MODEL.id, MODEL.weights, "a" * 64, MODEL.dtype)),
        identity(ModelIdentity(MODEL.id, MODEL.weights, None, "bfloat16")),
        identity(chat=True),
        GraderIdentity(MODEL, "2", own.prompt_digest),
        GraderIdentity(MODEL, "1", "0" * 64),
    ]
    assert len({other.file(".replies") for other in [own, *others]}) == 7
