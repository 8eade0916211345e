"""Steps of a run folder: killed in front of every file operation, damaged, and made again."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kft_cli.pipeline.run_folder import RunFolder, StepCost
from kft_cli.report.run_records import read_started
from kft_tasks.errors import DataError, DiskFullError, StateError
from kft_tasks.files import atomic_write, read_json, write_json

FILES = {"categories.jsonl": b"one\n", "adapter/weights": bytes(range(256)) * 9, "adapter/config": b"{}"}
OPERATIONS = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir"}


class Killed(BaseException):
    """What a killed process cannot handle."""


class Death:
    """Lets every file operation in a folder fail from the n-th on: so does the clean-up of a killed process."""

    def __init__(self) -> None:
        self.folder = ""
        self.left = -1  # operations that still succeed; -1 for all
        self.seen = 0
        sys.addaudithook(self._audit)

    def _audit(self, event: str, args: tuple[Any, ...]) -> None:
        if not self.folder or event not in OPERATIONS or not isinstance(args[0], (str, os.PathLike)):
            return
        if event == "open" and not args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            return
        if str(args[0]).startswith("/") and not str(args[0]).startswith(self.folder):
            return
        self.seen += 1
        if 0 <= self.left < self.seen:
            raise Killed


@pytest.fixture(scope="module")
def death() -> Death:
    return Death()


def maker(version: bytes, made: list[bytes], *, inside: bool) -> Callable[[Path], StepCost]:
    """A step that writes its files in several operations, also through :func:`atomic_write`, and leaves a journal."""

    def make(folder: Path) -> StepCost:
        target = folder / "result" if inside else folder
        journal = folder / "categories.jsonl.journal"
        journal.mkdir(exist_ok=True)
        (journal / "0.jsonl").write_text("{}", encoding="utf-8")
        for name, content in FILES.items():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (target / name).write_bytes(content + version)
        with atomic_write(target / "mixture.jsonl") as stream:
            stream.write("mixture\n")
        made.append(version)
        return StepCost(1.5 * len(made), 2.5, {"decoded": 7}, {"made": 3}, target if inside else None)

    return make


def run_step(run: Path, version: bytes, made: list[bytes], *, inside: bool) -> None:
    folder = RunFolder(run)
    with folder.locked():
        folder.step("detect-base", {"version": version.decode()}, maker(version, made, inside=inside))
        folder.remove_unfinished()


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def timeless(run: Path) -> dict[str, Any]:
    record = read_json(run / "detect-base" / "step.json")
    del record["finished"], record["seconds"]
    files = {name: data for name, data in tree(run).items() if not name.endswith("step.json")}
    return {**files, "record": record}


@pytest.mark.parametrize("inside", [False, True], ids=["files", "folder"])
@pytest.mark.parametrize("replaces", [False, True], ids=["first", "replacing"])
def test_killed_before_any_file_operation_a_step_ends_as_undisturbed(
    tmp_path: Path, death: Death, inside: bool, replaces: bool
) -> None:
    """Killed twice, too: again in the middle of what puts things right."""
    earlier = tmp_path / "earlier"
    RunFolder(earlier)
    if replaces:
        run_step(earlier, b"old", [], inside=False)

    def start(name: str) -> Path:
        shutil.copytree(earlier, tmp_path / name)
        return tmp_path / name

    def killed(run: Path, at: int, made: list[bytes]) -> bool:
        death.folder, death.left, death.seen = str(run), at, 0
        try:
            run_step(run, b"new", made, inside=inside)
        except Killed:
            return True
        finally:
            death.folder = ""
        return False

    whole = start("whole")
    assert not killed(whole, -1, [])
    operations, expected = death.seen, timeless(whole)
    assert operations > 15
    kept = 0
    for at in range(operations):
        for second in (None, 3):
            made: list[bytes] = []
            run = start("run")
            assert killed(run, at, made)
            if second is not None:
                killed(run, second, made)
            run_step(run, b"new", made, inside=inside)
            assert timeless(run) == expected, f"killed before operation {at}, then {second}"
            assert read_started(run / "detect-base" / "step.json")["seconds"] == 1.5 * len(made)
            kept += len(made) == 1
            shutil.rmtree(run)
    assert kept > 10  # killed after it was recorded: not made again, and its cost is kept


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def to_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def to_file(path: Path) -> None:
    shutil.rmtree(path)
    path.write_text("x", encoding="utf-8")


DAMAGES: dict[str, tuple[str, Callable[[Path], object]]] = {
    "deleted": ("adapter/weights", Path.unlink),
    "shorter": ("adapter/weights", lambda path: path.write_bytes(path.read_bytes()[:-1])),
    "bit": ("adapter/weights", flip),
    "empty": ("categories.jsonl", lambda path: path.write_bytes(b"")),
    "folder": ("adapter/config", to_folder),
    "file": ("adapter", to_file),
    "without-folder": ("adapter", shutil.rmtree),
    "record-deleted": ("step.json", Path.unlink),
    "record-damaged": ("step.json", lambda path: path.write_text("{", encoding="utf-8")),
    "record-folder": ("step.json", to_folder),
    "step-is-a-file": ("", to_file),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_was_deleted_or_damaged_is_made_again_and_one_line_says_so(
    damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, made = tmp_path / "run", list[bytes]()
    run_step(run, b"new", made, inside=True)
    expected = timeless(run)
    run_step(run, b"new", made, inside=True)
    assert len(made) == 1
    assert capsys.readouterr().err == ""
    name, harm = DAMAGES[damage]
    harm(run / "detect-base" / name)
    run_step(run, b"new", made, inside=True)
    assert len(made) == 2
    assert timeless(run) == expected
    said = capsys.readouterr().err.replace("\n", " ").strip()
    assert said.endswith("The step detect-base is done again.")
    assert "detect-base" in said
    assert said.count("done again") == 1


def test_other_inputs_are_another_step_and_need_no_excuse(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, made = tmp_path / "run", list[bytes]()
    run_step(run, b"old", made, inside=False)
    run_step(run, b"new", made, inside=False)
    assert made == [b"old", b"new"]
    assert capsys.readouterr().err == ""
    assert sorted(path.name for path in run.iterdir()) == [".kft-run", "detect-base"]


def test_a_step_of_an_earlier_version_stays_done_as_long_as_its_main_file_is_there(tmp_path: Path) -> None:
    run, made = tmp_path / "run", list[bytes]()
    run_step(run, b"new", made, inside=False)
    path = run / "detect-base" / "step.json"
    record = read_json(path)
    del record["outputs"]
    write_json(path, record)
    run_step(run, b"new", made, inside=False)
    assert len(made) == 1
    (run / "detect-base" / "categories.jsonl").unlink()
    run_step(run, b"new", made, inside=False)
    assert len(made) == 2


def test_what_killed_processes_left_behind_is_removed(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run_step(run, b"new", [], inside=False)
    expected = sorted(tree(run))
    for name in (".detect-base.old", ".report.ab12_xyz", ".report.ab12_xyz.old", ".stage9.partial"):
        (run / name / "inner").mkdir(parents=True)
        (run / name / "inner" / "file").touch()
    for name in (".recipe.yaml.0123abcd", ".run.json.ffffffff"):
        (run / name).touch()
    run_step(run, b"new", [], inside=False)
    assert sorted(tree(run)) == expected
    assert sorted(path.name for path in run.iterdir()) == [".kft-run", "detect-base"]


def test_a_second_process_is_refused_with_and_without_flock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = RunFolder(tmp_path / "run")
    with run.locked(), pytest.raises(StateError, match="another process is working"), RunFolder(run.path).locked():
        pass

    def refuse(stream: object, kind: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    refused = pytest.raises(StateError, match=r"\.kft-run\.lock is of process .*remove the file")
    with run.locked(), refused, RunFolder(run.path).locked():
        pass
    with run.locked():
        pass
    assert [path.name for path in run.path.iterdir()] == [".kft-run"]


def test_a_full_disk_names_the_file_and_the_step_is_done_when_there_is_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    run, made = tmp_path / "run", list[bytes]()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(
            DiskFullError, match=r"step\.json: cannot be written \(No space left on device\)\. Free space"
        ):
            run_step(run, b"new", made, inside=False)
    assert issubclass(DiskFullError, DataError)
    run_step(run, b"new", made, inside=False)
    assert sorted(path.name for path in run.iterdir()) == [".kft-run", "detect-base"]
    assert made == [b"new"]
