"""Several processes in one detection: as threads with a scripted model, and for real with torchrun."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

import kft_tasks.detection.run
import kft_tasks.detection.waiting
from kft_tasks.categories.category_file import CategoryFile
from kft_tasks.detection.run import DetectionResult
from kft_tasks.errors import StateError, UsageError
from kft_tasks.launcher import Process, launcher_hidden, this_process
from kft_tasks.protocol.protocol import Protocol
from kft_tasks.signals import Interrupted
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
SOURCE = ListSet([make_question(f"q{i}", "tu"[i % 2]) for i in range(22)], make_exemplars("tu"))


class ReplayingAnswerer(ScriptedAnswerer):
    """Like a server: answers do not depend on what is asked together, and batches are small."""

    resumes_mid_chunk = True
    max_batch = 3


@pytest.fixture
def whole(tmp_path: Path) -> tuple[bytes, ScriptedAnswerer]:
    answerer = ScriptedAnswerer(mixed_table, PROTOCOL)
    result = scripted_detection(SOURCE, PROTOCOL, tmp_path / "whole.jsonl", answerer)
    return result.path.read_bytes(), answerer


Run = Callable[..., list[Any]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Detect with one thread per process; return results and exceptions by rank."""
    own = threading.local()
    monkeypatch.setattr(kft_tasks.detection.waiting, "START_SECONDS", 2.0)
    monkeypatch.setattr(kft_tasks.detection.run, "this_process", lambda: getattr(own, "process", Process()))

    def start(output: Path, answerers: list[ScriptedAnswerer | None], delays: tuple[float, ...] = ()) -> list[Any]:
        found: list[Any] = [None] * len(answerers)

        def work(rank: int, answerer: ScriptedAnswerer) -> None:
            time.sleep(delays[rank] if delays else 0)
            own.process = Process(rank, len(answerers))
            try:
                found[rank] = scripted_detection(SOURCE, PROTOCOL, output, answerer)
            except BaseException as error:
                found[rank] = error

        threads = [
            threading.Thread(target=work, args=(rank, answerer))
            for rank, answerer in enumerate(answerers)
            if answerer is not None
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
            assert not thread.is_alive(), "a process hangs"
        return found

    return start


def _answerers(count: int, cls: type[ScriptedAnswerer] = ScriptedAnswerer) -> list[Any]:
    return [cls(mixed_table, PROTOCOL) for _ in range(count)]


@pytest.mark.parametrize("delays", [(), (0.5, 0, 0), (0, 0.5, 0), (0, 0, 0.5)], ids=str)
def test_processes_share_the_chunks_and_give_the_same_bytes(
    run: Run, tmp_path: Path, whole: tuple[bytes, ScriptedAnswerer], delays: tuple[float, ...]
) -> None:
    output, answerers = tmp_path / "x.jsonl", _answerers(3)
    results = run(output, answerers, delays)
    assert output.read_bytes() == whole[0]
    assert all(isinstance(result, DetectionResult) for result in results), results
    assert [result.header for result in results] == [CategoryFile(output).header] * 3
    asked = Counter(pair for answerer in answerers for pair in answerer.greedy_asked)
    assert asked == Counter(whole[1].greedy_asked)
    assert all(answerer.made for answerer in answerers)
    assert [name for name in os.listdir(tmp_path) if name.startswith("x")] == ["x.jsonl"]


def test_when_one_process_fails_the_others_stop_and_what_was_answered_is_kept(
    run: Run, tmp_path: Path, whole: tuple[bytes, ScriptedAnswerer]
) -> None:
    output, answerers = tmp_path / "x.jsonl", _answerers(2)
    answerers[1].die_at = 7  # in its second chunk
    first, second = run(output, answerers, (0, 0.1))
    assert isinstance(second, Killed)
    assert isinstance(first, StateError)
    assert "process 1 of 2 stopped before its share was detected (if nobody stopped it, it was probably" in str(first)
    assert "for want of memory). Run the same detection again" in str(first)
    rest = _answerers(1)
    run(output, rest)
    assert output.read_bytes() == whole[0]
    assert rest[0].made < whole[1].made / 2


def test_a_process_that_its_launcher_ends_says_which_other_one_was_killed(
    run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Torchrun notices that one process is gone and ends the others, before they can notice it by themselves."""

    class Ended(ScriptedAnswerer):
        def step(self) -> None:
            super().step()
            if self.calls > 5:
                time.sleep(0.5)  # the other one is gone
                raise Interrupted(signal.SIGTERM)

    first, second = Ended(mixed_table, PROTOCOL), ScriptedAnswerer(mixed_table, PROTOCOL, die_at=2)
    ended, killed = run(tmp_path / "x.jsonl", [first, second])
    assert isinstance(ended, Interrupted)
    assert isinstance(killed, Killed)
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("Process 1 of 2 stopped before its share was detected;")
    assert "killed for want of memory" in line


def test_when_the_first_process_fails_the_others_stop(run: Run, tmp_path: Path) -> None:
    answerers = _answerers(2)
    answerers[0].die_at = 7
    first, second = run(tmp_path / "x.jsonl", answerers, (0.1, 0))
    assert isinstance(first, Killed)
    assert isinstance(second, StateError)


@pytest.mark.parametrize("missing", [0, 1])
def test_a_process_that_never_begins_is_not_waited_for_for_ever(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: int
) -> None:
    monkeypatch.setattr(kft_tasks.detection.waiting, "START_SECONDS", 0.3)
    answerers = _answerers(2)
    answerers[missing] = None
    found = run(tmp_path / "x.jsonl", answerers)[1 - missing]
    assert isinstance(found, StateError)
    assert f"process {missing} of 2 did not start" in str(found)


@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 3), (3, 1), (2, 1)])
def test_another_number_of_processes_goes_on_and_redoes_no_finished_chunk(
    run: Run, tmp_path: Path, whole: tuple[bytes, ScriptedAnswerer], before: int, after: int
) -> None:
    output, started = tmp_path / "x.jsonl", _answerers(before)
    for answerer in started:
        answerer.die_at = 7
    run(output, started)
    rest = _answerers(after)
    results = run(output, rest)
    assert all(isinstance(result, DetectionResult) for result in results), results
    assert output.read_bytes() == whole[0]
    again = Counter(pair for answerer in started + rest for pair in answerer.greedy_asked)
    redone = again - Counter(whole[1].greedy_asked)
    assert sum(redone.values()) <= before * 4 * 3  # of the interrupted chunks


@pytest.mark.parametrize(("before", "after"), [(1, 1), (2, 1), (1, 2), (2, 3)])
def test_an_engine_that_replays_is_asked_nothing_twice_wherever_it_was_killed(
    run: Run, tmp_path: Path, whole: tuple[bytes, ScriptedAnswerer], before: int, after: int
) -> None:
    calls = _answerers(1, ReplayingAnswerer)
    run(tmp_path / "count.jsonl", calls)
    assert (tmp_path / "count.jsonl").read_bytes() == whole[0]
    for die_at in range(1, calls[0].calls // before + 1, 5 if before * after > 1 else 2):
        output, started = tmp_path / f"{die_at}.jsonl", _answerers(before, ReplayingAnswerer)
        started[-1].die_at = die_at
        run(output, started)
        assert not output.exists()
        rest = _answerers(after, ReplayingAnswerer)
        run(output, rest)
        assert output.read_bytes() == whole[0]
        for kind in ("greedy_asked", "sampled_asked"):
            asked = Counter(pair for answerer in started + rest for pair in getattr(answerer, kind))
            assert asked == Counter(getattr(calls[0], kind))


def test_killed_again_and_again_an_engine_that_replays_gets_to_the_end(
    run: Run, tmp_path: Path, whole: tuple[bytes, ScriptedAnswerer]
) -> None:
    output, deaths = tmp_path / "x.jsonl", 0
    while not output.exists():
        answerer = ReplayingAnswerer(mixed_table, PROTOCOL, die_at=2)  # one call per life
        run(output, [answerer])
        deaths += 1
    assert deaths > 20
    assert output.read_bytes() == whole[0]


def test_several_processes_cannot_overwrite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match=r"Several processes cannot overwrite a category file. Remove .*x instead"):
        scripted_detection(SOURCE, PROTOCOL, tmp_path / "x", _answerers(1)[0], overwrite=True)


def test_the_launcher_is_hidden_while_a_model_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert this_process() == Process(1, 2)
    with launcher_hidden():
        assert this_process() == Process()
    assert this_process() == Process(1, 2)
    assert not this_process().first


def _command(tiny_model: Path, output: str, processes: int = 1) -> list[str]:
    program = ["-m", "kft_cli.main", "detect", "--model", str(tiny_model), "--dtype", "float32", "--device", "cpu"]
    program += ["--split", "train", "--limit", "1000", "--exemplar-sets", "2", "--shots", "1", "--samples", "2"]
    program += ["--max-tokens", "3", "-o", output]
    if processes > 1:
        program = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", *program]
    return [sys.executable, *program]


def _finished(journal: Path) -> set[int]:
    text = journal.read_text() if journal.exists() else ""
    whole = text.rpartition("\n")[0]  # the last line may be half written
    rows = [json.loads(line[9:]) for line in whole.splitlines()]
    return {row["chunk"] for row in rows if "finished" in row}


def test_two_processes_of_torchrun_killed_midway_end_in_the_bytes_of_one(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from kft_cli.main import main

    monkeypatch.chdir(tmp_path)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    first = subprocess.Popen(_command(tiny_model, "x", 2), env=environment, stderr=subprocess.DEVNULL)
    folder, limit = tmp_path / "x.journal", time.monotonic() + 120
    while not (_finished(folder / "0.jsonl") and _finished(folder / "1.jsonl")):
        assert time.monotonic() < limit
        assert first.poll() is None
        time.sleep(0.02)
    workers = psutil.Process(first.pid).children()  # they outlive torchrun if only that is killed
    assert len(workers) == 2
    for process in [*workers, first]:
        process.kill()
    first.wait(10)
    psutil.wait_procs(workers, 10)
    assert not (tmp_path / "x").exists()
    kept = {rank: _finished(folder / f"{rank}.jsonl") for rank in (0, 1)}
    assert len(kept[0] | kept[1]) < 8
    assert all(number % 2 == rank for rank, numbers in kept.items() for number in numbers)
    shutil.copytree(folder, tmp_path / "y.journal")

    second = subprocess.run(_command(tiny_model, "x", 2), env=environment, capture_output=True, text=True, timeout=180)
    assert second.returncode == 0, second.stderr
    assert " ".join(second.stdout.split()).count("n = 1,000") == 1  # a long path wraps the title
    assert "was there already" not in second.stderr
    assert second.stderr.count("Category file: x") == 1

    def detect(output: str) -> dict[str, Any]:
        with pytest.raises(SystemExit) as end:
            main([*_command(tiny_model, output)[3:], "--json"])
        assert end.value.code == 0
        data: dict[str, Any] = json.loads(capsys.readouterr().out)
        return data

    opened: list[int] = []
    asked = kft_tasks.detection.run.detect_chunk
    monkeypatch.setattr(
        kft_tasks.detection.run,
        "detect_chunk",
        lambda chunk, *rest, **more: opened.append(chunk.number) or asked(chunk, *rest, **more),
    )
    detect("y")  # one process finishes what two started
    assert set(opened) == set(range(8)) - kept[0] - kept[1]
    detect("z")
    assert (tmp_path / "x").read_bytes() == (tmp_path / "y").read_bytes() == (tmp_path / "z").read_bytes()
