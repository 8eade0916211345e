"""Detection killed at random moments, again and again, ends in the same bytes.

``KFT_KILL_MODEL=smollm2-135m`` does the same with the embedded model and real questions.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kft_tasks.detection.run import journal_folder
from kft_tasks.detection.target import select
from kft_tasks.question_sets.registry import open_set
from kft_tasks.questions import Question, write_questions

KILLS = 20
CHUNK = 8
PROTOCOL = {"exemplar_sets": 4, "shots": 2, "samples": 4, "max_tokens": 6}


class Detector:
    """The process that runs killing.py."""

    def __init__(self, model: str, folder: Path) -> None:
        command = [sys.executable, str(Path(__file__).parents[1] / "helpers" / "killing.py"), model, str(folder)]
        path = os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])
        self.process = subprocess.Popen(
            [*command, json.dumps(PROTOCOL), str(CHUNK)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        )
        assert self.read() == "ready"

    def read(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def detect(self, name: str, killed_after: float | None = None) -> bool:
        """Detect into ``name``; return whether the child finished."""
        assert self.process.stdin is not None
        self.process.stdin.write(name + "\n")
        self.process.stdin.flush()
        child = int(self.read())
        if killed_after is not None:
            time.sleep(killed_after)
            with contextlib.suppress(ProcessLookupError):  # it had already finished
                os.kill(child, signal.SIGKILL)
        status = self.read()
        assert status in ("0", str(int(signal.SIGKILL)))
        return status == "0"


@pytest.fixture
def model() -> str:
    """The tiny model, or the one that the environment names, from the user's own cache."""
    return os.environ.get("KFT_KILL_MODEL", "")


@pytest.fixture
def detector(request: pytest.FixtureRequest, model: str, tmp_path: Path) -> Iterator[Detector]:
    if model:
        source = open_set("worldfacts")
        questions = [
            *select(lambda: source.split("test"), 64)(),
            *source.split("exemplars"),
        ]
        folder = str(request.getfixturevalue("embedded_model"))
    else:
        questions = [
            Question(f"{split}{n}", f"Tree {n}{split}?", (chr(97 + n % 26),), f"tree{n % 3}", split, f"{split}{n}")
            for split, count in (("test", 64), ("exemplars", 60))
            for n in range(count)
        ]
        folder = str(request.getfixturevalue("tiny_model"))
    write_questions(tmp_path / "questions.jsonl", questions)
    detector = Detector(folder, tmp_path)
    yield detector
    detector.process.communicate(timeout=60)  # it exits at the end of its input


def test_killed_at_twenty_random_moments_it_ends_in_the_same_bytes(detector: Detector, tmp_path: Path) -> None:
    begin = time.perf_counter()
    assert detector.detect("undisturbed")
    whole = time.perf_counter() - begin
    expected = (tmp_path / "undisturbed").read_bytes()
    dice = random.Random(int(os.environ.get("KFT_KILL_SEED", "1")))
    killed = round_ = resumed = 0
    while killed < KILLS:
        name = f"disturbed{round_}"
        while not detector.detect(name, dice.uniform(0, whole / 3) if killed < KILLS else None):
            killed += 1
            resumed += any(file.stat().st_size for file in journal_folder(tmp_path / name).glob("*.jsonl"))
        assert (tmp_path / name).read_bytes() == expected
        assert not journal_folder(tmp_path / name).exists()
        round_ += 1
    assert resumed > KILLS / 2  # most of them left a journal behind
