"""Where data are, found without fetching any, and whether cached files are intact."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from kft_tasks.errors import UsageError
from kft_tasks.question_sets.checks.local_copies import LocalCopy, find_local_copy, verify
from kft_tasks.question_sets.loaders import worldfacts
from kft_tasks.question_sets.registry import SETS

Write = Callable[..., Path]
ROWS = [{"question": f"Q{n}?", "answers": ["A"], "type": "t", "split": "train"} for n in range(3)]


def test_an_empty_machine_has_the_embedded_set_alone() -> None:
    states = {name: find_local_copy(name).state for name in SETS}
    assert states.pop("worldfacts") == "embedded"
    assert set(states.values()) == {"absent"}
    assert find_local_copy("worldfacts").size() == worldfacts.PACKAGED.stat().st_size
    assert (find_local_copy("popqa").files(), find_local_copy("popqa").size(), find_local_copy("popqa").here) == (
        (),
        0,
        False,
    )
    with pytest.raises(UsageError, match="Did you mean 'popqa'"):
        find_local_copy("popqq")


def test_own_copies_are_found_where_the_loader_finds_them(
    tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "all" / "popqa" / "test.jsonl", ROWS)
    monkeypatch.setenv("KFT_DATA", str(tmp_path / "all"))
    assert find_local_copy("popqa") == LocalCopy("popqa", "local", path.parent, "KFT_DATA")
    monkeypatch.setenv("KFT_DATA_POPQA", str(path))
    assert find_local_copy("popqa") == LocalCopy("popqa", "local", path, "KFT_DATA_POPQA")
    assert find_local_copy("popqa", path.parent) == LocalCopy("popqa", "local", path.parent, "path")
    assert find_local_copy("popqa").size() == path.stat().st_size
    monkeypatch.setenv("KFT_DATA_POPQA", str(tmp_path / "gone"))
    assert find_local_copy("popqa") == LocalCopy("popqa", "missing", None, "KFT_DATA_POPQA")
    assert find_local_copy("questions", tmp_path / "gone") == LocalCopy("questions", "missing", None, "path")


def test_entityquestions_in_the_cache(tmp_path: Path, write: Write) -> None:
    folder = tmp_path / "cache" / "sets" / "entityquestions" / "dataset"
    write(folder / "train" / "P17.train.json", ROWS)
    assert find_local_copy("entityquestions") == LocalCopy("entityquestions", "cached", folder)
    assert verify(find_local_copy("entityquestions")).checked == 0


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache as the hub's client lays it out: links to blobs that are named by their digests."""
    import huggingface_hub

    root = tmp_path / "hub" / "datasets--akariasai--PopQA"
    snapshot = root / "snapshots" / "abc"
    (root / "blobs").mkdir(parents=True)
    (snapshot / "data").mkdir(parents=True)
    large, small = b"large file\n", b"small file\n"
    sha1 = hashlib.sha1(b"blob %d\0" % len(small) + small, usedforsecurity=False)
    for name, content, digest in (
        ("data/test-00000-of-00002.parquet", large, hashlib.sha256(large).hexdigest()),
        ("test.tsv", small, sha1.hexdigest()),
    ):
        (root / "blobs" / digest).write_bytes(content)
        (snapshot / name).symlink_to(root / "blobs" / digest)

    def here(*args: object, **kwargs: object) -> str:
        assert kwargs["local_files_only"] is True
        return str(snapshot)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", here)
    return snapshot


def test_the_hubs_cache_is_read_without_asking_the_hub(hub: Path) -> None:
    held = find_local_copy("popqa")
    assert (held.state, held.place, held.size()) == ("cached", hub, 22)


def test_cached_files_are_compared_with_their_digests_and_parts_counted(hub: Path) -> None:
    found = verify(find_local_copy("popqa"))
    assert found.checked == 2
    (missing,) = found.wrong
    assert missing.endswith("data: test-00001-of-00002.parquet is missing. Fetch the set again.")
    (hub / "test.tsv").resolve().write_bytes(b"changed\n")
    damaged = [sentence for sentence in verify(find_local_copy("popqa")).wrong if "its digest is" in sentence]
    assert len(damaged) == 1
    assert "test.tsv" in damaged[0]
