from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
import shutil
import stat
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from kft_cli.main import main
from kft_tasks import limits
from kft_tasks.errors import DataError, FetchError, UnavailableError
from kft_tasks.question_sets.loaders import entityquestions_source
from kft_tasks.question_sets.registry import open_set
from kft_tasks.question_sets.storage import archive
from kft_tasks.question_sets.storage.archive import download


class _Server(ThreadingHTTPServer):
    content: bytes = b""
    cut_at: int | None = None
    ranges: bool = True
    asked: ClassVar[list[str | None]] = []


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.asked.append(wanted)
        content = self.server.content
        start = int(wanted[6:-1]) if wanted and self.server.ranges else 0
        if start and start >= len(content):
            self.send_error(416)
            return
        if self.path != "/dataset.zip":
            self.send_error(404)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start : self.server.cut_at])
        self.server.cut_at = None

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[_Server]:
    server = _Server(("127.0.0.1", 0), _Handler)
    server.asked.clear()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setattr(entityquestions_source, "URL", f"http://127.0.0.1:{server.server_port}/dataset.zip")
    monkeypatch.delenv("HF_HUB_OFFLINE")
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def _entry(number: int) -> dict[str, object]:
    return {"question": f"Which country is Place {number} located in?", "answers": [f"Land {number}"]}


def _zip(
    path: Path,
    extra: Callable[[zipfile.ZipFile], object] = lambda bundle: None,
    method: int = zipfile.ZIP_DEFLATED,
) -> bytes:
    with zipfile.ZipFile(path, "w", method) as bundle:
        for part in ("train", "dev", "test"):
            bundle.writestr(f"dataset/{part}/P17.{part}.json", json.dumps([_entry(n) for n in range(30)]))
        bundle.writestr("dataset/one-off/similar/P19/P19_similar.train.json", "[]")
        bundle.writestr("__MACOSX/dataset/._train", "x")
        extra(bundle)
    return path.read_bytes()


def test_the_zip_is_fetched_once_and_only_the_expected_files_unpacked(server: _Server, tmp_path: Path) -> None:
    server.content = _zip(tmp_path / "z.zip")
    assert sum(1 for _ in open_set("entityquestions").split("train")) == 30
    folder = tmp_path / "cache" / "sets" / "entityquestions" / "dataset"
    assert sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*.json")) == [
        "dev/P17.dev.json",
        "test/P17.test.json",
        "train/P17.train.json",
    ]
    open_set("entityquestions")
    assert len(server.asked) == 1
    assert [p.name for p in folder.parent.iterdir() if p.suffix not in ("", ".sha256")] == []


def test_a_cut_download_says_so_and_the_next_attempt_resumes(server: _Server, tmp_path: Path) -> None:
    server.content = _zip(tmp_path / "z.zip")
    server.cut_at = 100
    with pytest.raises(UnavailableError, match=r"cut off after 100 of [\d,]+ bytes"):
        open_set("entityquestions")
    assert sum(1 for _ in open_set("entityquestions").split("train")) == 30
    assert server.asked == [None, "bytes=100-"]


def test_a_server_without_ranges_starts_over(server: _Server, tmp_path: Path) -> None:
    server.content, server.ranges = b"0123456789" * 10, False
    (tmp_path / "f.part").write_bytes(b"old")
    assert download(entityquestions_source.URL, tmp_path / "f").read_bytes() == server.content


def test_progress_counts_megabytes_and_starts_where_the_download_resumes(server: _Server, tmp_path: Path) -> None:
    server.content = b"x" * 3_500_000
    server.cut_at = 1_500_000
    told: list[tuple[int, int, str]] = []
    for _ in range(2):
        with contextlib.suppress(FetchError):
            download(entityquestions_source.URL, tmp_path / "f", progress=lambda *report: told.append(report))
    assert [done for done, _, _ in told] == sorted(done for done, _, _ in told)
    assert (told[0], told[-1]) == ((0, 4, "f: 0 of 4 MB"), (4, 4, "f: 4 of 4 MB"))
    assert server.asked == [None, "bytes=1500000-"]
    assert [report for report in told if report[0] == 2] == [(2, 4, "f: 2 of 4 MB")] * 2  # where each attempt stood


def test_a_part_that_is_too_long_is_dropped(server: _Server, tmp_path: Path) -> None:
    server.content = b"0123456789"
    (tmp_path / "f.part").write_bytes(b"x" * 20)
    assert download(entityquestions_source.URL, tmp_path / "f").read_bytes() == server.content


def test_too_large_a_file_is_refused(server: _Server, tmp_path: Path) -> None:
    server.content = b"x" * 1000
    with pytest.raises(FetchError, match="1,000 bytes, over the limit of 999"):
        download(entityquestions_source.URL, tmp_path / "f", 999)


def test_a_missing_page_is_one_error_with_every_reason(server: _Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entityquestions_source, "URL", entityquestions_source.URL + "x")
    with pytest.raises(UnavailableError) as error:
        open_set("entityquestions")
    text = str(error.value)
    for part in (
        "tried path: not set",
        "tried KFT_DATA_ENTITYQUESTIONS: not set",
        "tried KFT_DATA: not set",
        "HTTP 404",
        "costadev00/EntityQuestions: no network in tests",
        "--metadata kft_path=",
        "--path",
        "`path:",
        "KFT_DATA_ENTITYQUESTIONS=",
    ):
        assert part in text


def test_no_connection_is_an_unavailable_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr(entityquestions_source, "URL", "http://127.0.0.1:9/dataset.zip")
    with pytest.raises(UnavailableError, match=r"127\.0\.0\.1:9"):
        open_set("entityquestions")


def test_offline_downloads_nothing() -> None:
    with pytest.raises(UnavailableError, match="HF_HUB_OFFLINE is set"):
        open_set("entityquestions")


def _link(bundle: zipfile.ZipFile) -> None:
    member = zipfile.ZipInfo("dataset/train/P36.train.json")
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    bundle.writestr(member, "/etc/passwd")


@pytest.mark.parametrize(
    "extra",
    [
        lambda bundle: bundle.writestr("dataset/train/../../../../evil.json", "[]"),
        lambda bundle: bundle.writestr("/tmp/evil.json", "[]"),
        lambda bundle: bundle.writestr("C:\\evil.json", "[]"),
        _link,
    ],
    ids=["dotdot", "absolute", "drive", "symlink"],
)
def test_a_zip_that_leads_elsewhere_is_refused_whole(
    server: _Server, tmp_path: Path, extra: Callable[[zipfile.ZipFile], object]
) -> None:
    server.content = _zip(tmp_path / "z.zip", extra)
    with pytest.raises(UnavailableError, match="leads out of the folder or is a link; nothing was unpacked"):
        open_set("entityquestions")
    assert not list(tmp_path.rglob("*.json"))
    assert not list((tmp_path / "cache").rglob("*.zip"))


def _flipped(content: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as bundle:
        info = bundle.getinfo("dataset/test/P17.test.json")
    at = info.header_offset + 30 + len(info.filename) + info.compress_size // 2  # in the middle of its content
    return content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :]


@pytest.mark.parametrize(
    ("stored", "damage", "reason"),
    [
        (False, lambda content: content[: len(content) // 2], "File is not a zip file"),
        (False, _flipped, "Error -3 while decompressing|Bad CRC-32"),
        (True, _flipped, "Bad CRC-32 for file 'dataset/test/P17.test.json'"),
        (False, lambda content: b"<html>not found</html>", "File is not a zip file"),
        (False, lambda content: b"", "File is not a zip file"),
    ],
    ids=["truncated", "bit flip", "bit flip in a stored file", "not a zip", "empty"],
)
def test_a_damaged_zip_is_one_error_of_the_command_and_leaves_nothing(
    server: _Server,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    stored: bool,
    damage: Callable[[bytes], bytes],
    reason: str,
) -> None:
    server.content = damage(_zip(tmp_path / "z.zip", method=zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED))
    with pytest.raises(SystemExit) as stopped:
        main(["detect", "--set", "entityquestions", "--model", "/no/model"])
    given = capsys.readouterr()
    assert (stopped.value.code, given.out) == (1, "")
    assert given.err.count("Error: ") == 1
    assert re.search(rf"dataset.zip: not a usable zip \(.*{reason}", given.err)
    assert "Supply a folder or file with" in given.err
    assert [path.name for path in (tmp_path / "cache").rglob("*") if path.is_file()] == [".lock"]
    server.content = _zip(tmp_path / "z.zip")  # the next attempt starts afresh
    assert sum(1 for _ in open_set("entityquestions").split("train")) == 30


def test_a_zip_bomb_is_refused(server: _Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_UNPACKED", 1000)
    server.content = _zip(tmp_path / "z.zip")
    with pytest.raises(UnavailableError, match=r"more than .* bytes"):
        open_set("entityquestions")
    assert not list((tmp_path / "cache").rglob("*.json"))


def test_a_zip_without_the_data_is_refused(server: _Server, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as bundle:
        bundle.writestr("dataset/README", "moved")
    server.content = (tmp_path / "z.zip").read_bytes()
    with pytest.raises(UnavailableError, match=r"the zip no longer has train/P\*"):
        open_set("entityquestions")


def test_a_link_out_of_the_cache_is_refused(server: _Server, tmp_path: Path) -> None:
    server.content = _zip(tmp_path / "z.zip")
    open_set("entityquestions")
    secret = tmp_path / "secret.json"
    secret.write_text("[]")
    path = tmp_path / "cache/sets/entityquestions/dataset/train/P17.train.json"
    path.unlink()
    path.symlink_to(secret)
    with pytest.raises(DataError, match="link that leads out of"):
        open_set("entityquestions")


def test_the_hub_copy_stands_in_for_the_zip(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, write: Callable[..., Path]
) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr(entityquestions_source, "URL", "http://127.0.0.1:9/dataset.zip")
    snapshot = tmp_path / "hub" / "datasets--x" / "snapshots" / "abc"
    for name in ("train", "validation", "test"):
        rows = [{**_entry(n), "relation": "P17"} for n in range(30)]
        write(snapshot / f"{name}.jsonl", rows)
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *args, **kwargs: str(snapshot))
    questions = open_set("entityquestions")
    assert sum(1 for _ in questions.split("train")) == 30
    assert sum(1 for split in ("validation", "exemplars") for _ in questions.split(split)) == 30

    with contextlib.suppress(OSError):
        (snapshot / "train.jsonl").unlink()
    assert sum(1 for _ in open_set("entityquestions").split("train")) == 30


@pytest.mark.parametrize("relation", ["../../../evil", "/tmp/evil", "P17/../../evil"])
def test_a_relation_of_the_hub_copy_that_is_a_path_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, write: Callable[..., Path], relation: str
) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr(entityquestions_source, "URL", "http://127.0.0.1:9/dataset.zip")
    snapshot = tmp_path / "hub" / "datasets--x" / "snapshots" / "abc"
    write(snapshot / "train.jsonl", [{**_entry(1), "relation": "P17"}, {**_entry(2), "relation": relation}])
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *args, **kwargs: str(snapshot))
    with pytest.raises(UnavailableError, match=r"train.jsonl:2: relation '.*evil' is not like P17"):
        open_set("entityquestions")
    assert [path.name for path in (tmp_path / "cache").rglob("*") if path.is_file()] == [".lock"]


def test_the_zip_is_pinned_once_seen(server: _Server, tmp_path: Path) -> None:
    root = tmp_path / "cache" / "sets" / "entityquestions"
    server.content = _zip(tmp_path / "z.zip")
    first = hashlib.sha256(server.content).hexdigest()
    open_set("entityquestions")
    assert (root / "dataset.zip.sha256").read_text() == f"{first}  dataset.zip\n"
    shutil.rmtree(root / "dataset")
    open_set("entityquestions")  # the same zip again
    shutil.rmtree(root / "dataset")

    server.content = _zip(tmp_path / "z.zip", lambda bundle: bundle.writestr("more", "x"))
    other = hashlib.sha256(server.content).hexdigest()
    with pytest.raises(DataError, match=f"SHA-256 is {other}, but when it was first fetched it was {first}") as error:
        open_set("entityquestions")
    assert "remove that record and fetch again" in str(error.value)
    assert sorted(path.name for path in root.iterdir()) == [".lock", "dataset.zip.sha256"]
    (root / "dataset.zip.sha256").unlink()
    assert sum(1 for _ in open_set("entityquestions").split("train")) == 30


def test_what_is_unpacked_has_the_rights_that_the_umask_leaves_and_is_private_until_then(
    server: _Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "cache" / "sets" / "entityquestions"
    seen: list[int] = []
    monkeypatch.setattr(archive, "_unpack_members", _after(archive._unpack_members, look_at=root, seen=seen))
    server.content = _zip(tmp_path / "z.zip")
    before = os.umask(0o027)
    try:
        open_set("entityquestions")
    finally:
        os.umask(before)
    assert seen == [0o700]
    assert stat.S_IMODE((root / "dataset").stat().st_mode) == 0o750
    assert stat.S_IMODE((root / "dataset.zip.sha256").stat().st_mode) == 0o640


def _after(unpack: Callable[..., None], look_at: Path, seen: list[int]) -> Callable[..., None]:
    """Unpack, then note the rights of the work folder."""

    def both(*arguments: Any) -> None:
        unpack(*arguments)
        seen.extend(stat.S_IMODE(path.stat().st_mode) for path in look_at.glob(".dataset.*"))

    return both
