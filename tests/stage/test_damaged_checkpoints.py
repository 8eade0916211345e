"""Checkpoints of which anything was damaged are passed over for the one before; full disks while one is written."""

from __future__ import annotations

import logging
import os
import random
import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kft_tasks.errors import DiskFullError
from kft_train.stage.checkpoints import find_checkpoints, needed_files, newest_whole, prepare_work, rotate
from kft_train.stage.request import StageResult
from kft_train.stage.train import train_stage
from train_helpers import make_request

SMALL = {"count": 8, "num_train_epochs": 2, "save_steps": 1}
NEEDED = needed_files(1)


class Stopped(BaseException):
    """Ends a training in the middle of a step."""


def at_step(number: int) -> Callable[[int, int, str], None]:
    def report(done: int, total: int, note: str) -> None:
        if done == number and "loss" in note:
            raise Stopped

    return report


def adapter(result: StageResult) -> bytes:
    return (result.adapter / "adapter_model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def whole(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return adapter(train_stage(make_request(tiny_model, tmp_path_factory.mktemp("whole"), **SMALL)))


@pytest.fixture(scope="module")
def broken_off(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The work folder of a stage that died at step 4 of 4, with checkpoints 3 (newest) and 2 (the best)."""
    request = make_request(tiny_model, tmp_path_factory.mktemp("broken"), **SMALL)
    with pytest.raises(Stopped):
        train_stage(request, at_step(4))
    assert [path.name for path in find_checkpoints(request.work)] == ["checkpoint-3", "checkpoint-2"]
    return request.work


def _bit(path: Path, dice: random.Random) -> None:
    data = bytearray(path.read_bytes())
    data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    path.write_bytes(data)


def _cut(path: Path, dice: random.Random) -> None:
    path.write_bytes(path.read_bytes()[: dice.randrange(path.stat().st_size)])


def _longer(path: Path, dice: random.Random) -> None:
    path.write_bytes(path.read_bytes() + b"\0" * dice.randint(1, 50))


def _missing(path: Path, dice: random.Random) -> None:
    path.unlink()


def _folder(path: Path, dice: random.Random) -> None:
    path.unlink()
    path.mkdir()


def _zeros(path: Path, dice: random.Random) -> None:
    path.write_bytes(bytes(path.stat().st_size))


FILES = (
    "adapter_model.safetensors",
    "adapter_config.json",
    "optimizer.pt",
    "scheduler.pt",
    "rng_state.pth",
    "trainer_state.json",
    "training_args.bin",
    "manifest.json",
)
HARMS = (_bit, _bit, _cut, _longer, _missing, _folder, _zeros)
CASES = [(file, harm, number) for number, (file, harm) in enumerate((file, harm) for file in FILES for harm in HARMS)]


def _whole_folder(checkpoint: Path, dice: random.Random) -> None:
    shutil.rmtree(checkpoint)
    checkpoint.write_text("a file", encoding="utf-8")


def _extra(checkpoint: Path, dice: random.Random) -> None:
    (checkpoint / "pytorch_model.bin").write_bytes(b"x")


def _emptied(checkpoint: Path, dice: random.Random) -> None:
    shutil.rmtree(checkpoint)
    checkpoint.mkdir()


def _another(checkpoint: Path, dice: random.Random) -> None:
    shutil.rmtree(checkpoint)
    shutil.copytree(checkpoint.with_name("checkpoint-2"), checkpoint)


CASES += [("", harm, len(CASES) + number) for number, harm in enumerate((_whole_folder, _extra, _emptied, _another))]
TRAINED = CASES if os.environ.get("KFT_ATTACK_KILLS") == "all" else CASES[:: len(CASES) // 6]


def _harm(work: Path, name: str, case: tuple[str, Callable[[Path, random.Random], None], int]) -> None:
    file, harm, seed = case
    harm(work / name / file if file else work / name, random.Random(seed))


def test_there_are_sixty_damages() -> None:
    assert len(CASES) == 60


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0] or 'checkpoint'}{case[1].__name__}{case[2]}")
def test_a_damaged_checkpoint_is_removed_and_the_one_before_is_left(
    broken_off: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, case: tuple[str, Callable[..., None], int]
) -> None:
    from kft_tasks.files import read_json

    work = tmp_path / "work"
    shutil.copytree(broken_off, work)
    identity = read_json(work / "request.json")
    assert newest_whole(work, NEEDED) == work / "checkpoint-3"
    _harm(work, "checkpoint-3", case)
    with caplog.at_level(logging.WARNING):
        prepare_work(work, identity, NEEDED)
    assert newest_whole(work, NEEDED) == work / "checkpoint-2"
    assert sorted(path.name for path in work.iterdir()) == ["checkpoint-2", "request.json"]
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith(f"{work / 'checkpoint-3'}: removing a damaged checkpoint (")
    assert "\n" not in line


@pytest.mark.parametrize("case", TRAINED, ids=lambda case: f"{case[0] or 'checkpoint'}{case[1].__name__}{case[2]}")
def test_training_past_a_damaged_checkpoint_ends_in_the_same_bytes(
    tiny_model: Path, tmp_path: Path, broken_off: Path, whole: bytes, case: tuple[str, Callable[..., None], int]
) -> None:
    """``make attack`` trains past all of them."""
    request = make_request(tiny_model, tmp_path, **SMALL)
    shutil.copytree(broken_off, request.work)
    _harm(request.work, "checkpoint-3", case)
    steps: list[int] = []
    assert adapter(train_stage(request, lambda done, total, note: steps.append(done))) == whole
    assert steps[0] == 3


@pytest.mark.parametrize("damaged", ["best", "request", "request-folder", "work-is-a-file"])
def test_without_a_whole_checkpoint_training_starts_over_to_the_same_bytes(
    tiny_model: Path, tmp_path: Path, broken_off: Path, whole: bytes, damaged: str, caplog: pytest.LogCaptureFixture
) -> None:
    request = make_request(tiny_model, tmp_path, **SMALL)
    shutil.copytree(broken_off, request.work)
    if damaged == "best":
        _bit(request.work / "checkpoint-2" / "adapter_model.safetensors", random.Random(1))
    elif damaged == "request":
        _cut(request.work / "request.json", random.Random(1))
    elif damaged == "request-folder":
        _folder(request.work / "request.json", random.Random(1))
    else:
        shutil.rmtree(request.work)
        request.work.write_text("x", encoding="utf-8")
    steps: list[int] = []
    assert adapter(train_stage(request, lambda done, total, note: steps.append(done))) == whole
    assert steps[0] == 0
    assert "removing" in caplog.text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["stage1"]


def test_checkpoints_are_removed_by_number_of_steps_whatever_the_clock_says(tmp_path: Path) -> None:
    for step in (2, 10, 9, 4):
        (tmp_path / f"checkpoint-{step}").mkdir()
        os.utime(tmp_path / f"checkpoint-{step}", (1e9 - step, 1e9 - step))  # the newest has the oldest time
    rotate(tmp_path, None, 2)
    assert len(find_checkpoints(tmp_path)) == 4
    rotate(tmp_path, 3, 2)
    assert [path.name for path in find_checkpoints(tmp_path)] == ["checkpoint-10", "checkpoint-9", "checkpoint-2"]
    rotate(tmp_path, 2, 2)
    assert [path.name for path in find_checkpoints(tmp_path)] == ["checkpoint-10", "checkpoint-2"]
    rotate(tmp_path, 1, None)
    assert [path.name for path in find_checkpoints(tmp_path)] == ["checkpoint-10"]


@contextmanager
def no_larger_file_than(size: int) -> Iterator[None]:
    """What a full disk does, without one: writing beyond the limit fails with EFBIG."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size", [10, 900, 2_500, 6_000, 14_000, 20_000])
def test_a_full_disk_names_the_file_and_training_resumes_when_there_is_space(
    tiny_model: Path, tmp_path: Path, whole: bytes, size: int
) -> None:
    request = make_request(tiny_model, tmp_path, **SMALL)
    with no_larger_file_than(size), pytest.raises(DiskFullError) as caught:
        train_stage(request)
    said = str(caught.value)
    assert str(tmp_path) in said
    assert said.endswith("Free space and run the same command again.")
    assert "\n" not in said
    assert adapter(train_stage(request)) == whole
    assert sorted(path.name for path in tmp_path.iterdir()) == ["stage1"]
