"""The digest of weights is remembered as long as nothing about the files has changed."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from kft_tasks.errors import DataError
from kft_tasks.files import cache_folder, sha256_of_file
from kft_tasks.models import weights
from kft_tasks.models.weights import identify, weights_digest

LENGTH = 5 << 20


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(os.urandom(LENGTH))
    return folder


@pytest.fixture
def read_whole(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Path]]:
    """Files that were read from start to end."""
    files: list[Path] = []

    def counted(path: Path) -> str:
        files.append(path)
        return sha256_of_file(path)

    monkeypatch.setattr(weights, "sha256_of_file", counted)
    yield files


def _overwrite(path: Path, at: int, *, keep_times: bool) -> None:
    before = path.stat()
    with path.open("r+b") as stream:
        stream.seek(at)
        byte = stream.read(1)
        stream.seek(at)
        stream.write(bytes([byte[0] ^ 1]))
    if keep_times:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_the_files_are_read_whole_once_and_again_on_request(model: Path, read_whole: list[Path]) -> None:
    digest = weights_digest(model)
    assert weights_digest(model) == digest
    assert len(read_whole) == 1
    assert weights_digest(model, verify=True) == digest
    assert identify("x", model, "float32", verify=True).weights == digest
    assert len(read_whole) == 3


@pytest.mark.parametrize("at", [0, LENGTH - 1])
def test_other_bytes_at_an_end_show_even_with_the_times_set_back(model: Path, at: int) -> None:
    digest = weights_digest(model)
    _overwrite(model / "model.safetensors", at, keep_times=True)
    assert weights_digest(model) != digest


def test_other_bytes_in_the_middle_show_by_the_time_or_in_full(model: Path) -> None:
    digest = weights_digest(model)
    _overwrite(model / "model.safetensors", LENGTH // 2, keep_times=True)
    assert weights_digest(model) == digest  # the price of not reading 15 GB before each step
    changed = weights_digest(model, verify=True)
    assert changed != digest
    assert weights_digest(model) == changed  # and that is what is remembered
    _overwrite(model / "model.safetensors", LENGTH // 2, keep_times=False)
    assert weights_digest(model) == digest


def test_a_file_in_its_place_shows_by_the_inode(model: Path, read_whole: list[Path]) -> None:
    path = model / "model.safetensors"
    weights_digest(model)
    before, data = path.stat(), path.read_bytes()
    (model / "other").write_bytes(data)
    os.utime(model / "other", ns=(before.st_atime_ns, before.st_mtime_ns))
    (model / "other").replace(path)
    weights_digest(model)
    assert len(read_whole) == 2


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"weights": 5}', '{"weights": "abc"}'])
def test_a_damaged_memory_is_made_again(model: Path, content: str, read_whole: list[Path]) -> None:
    digest = weights_digest(model)
    (cached,) = (cache_folder() / "digests").iterdir()
    cached.write_text(content)
    assert weights_digest(model) == digest
    assert weights_digest(model) == digest
    assert len(read_whole) == 2


def test_the_memory_has_the_rights_that_the_umask_leaves(model: Path) -> None:
    before = os.umask(0o027)
    try:
        weights_digest(model)
    finally:
        os.umask(before)
    (cached,) = (cache_folder() / "digests").iterdir()
    assert stat.S_IMODE(cached.stat().st_mode) == 0o640


def test_a_pipe_in_place_of_weights_is_an_error(model: Path) -> None:
    os.mkfifo(model / "more.safetensors")
    with pytest.raises(DataError, match=r"more.safetensors: cannot be read \(it is a pipe"):
        weights_digest(model)
