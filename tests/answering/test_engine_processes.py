"""The processes of an engine: their CPU time is counted, and they end with it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import psutil
import pytest

from kft_tasks.answering import engine_processes

BUSY = "import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', 'while True: pass'])\nwhile True: pass"
DEAF = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('ready', flush=True)\ntime.sleep(600)"


class _Lm:
    pass


def test_cpu_seconds_are_those_of_all_processes_also_when_they_have_ended() -> None:
    children = []

    def start() -> _Lm:
        children.append(subprocess.Popen([sys.executable, "-c", BUSY]))
        return _Lm()

    lm = engine_processes.start_engine(start)
    other, before = _Lm(), engine_processes.cpu_seconds(lm)
    end = time.monotonic() + 30
    while engine_processes.cpu_seconds(lm) - before < 0.6 and time.monotonic() < end:
        time.sleep(0.1)
    spent = engine_processes.cpu_seconds(lm)
    assert spent - before >= 0.6
    assert engine_processes.cpu_seconds(other) < spent  # another model's engine costs it nothing
    processes = engine_processes._engines[lm].living()
    assert len(processes) == 2
    engine_processes._engines[lm].end()
    assert not any(psutil.pid_exists(process.pid) for process in processes)
    assert engine_processes.cpu_seconds(lm) >= spent
    children[0].wait(5)


def test_a_process_that_ignores_sigterm_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_processes, "_PATIENCE", 0.5)
    child = subprocess.Popen([sys.executable, "-c", DEAF], stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline()
    engine_processes.EngineProcesses([psutil.Process(child.pid)]).end()
    assert not psutil.pid_exists(child.pid)
    child.wait(5)
    child.stdout.close()


def test_an_engine_that_does_not_start_leaves_no_process() -> None:
    children = []

    def start() -> _Lm:
        children.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]))
        raise KeyboardInterrupt  # a signal while the engine loads

    with pytest.raises(KeyboardInterrupt):
        engine_processes.start_engine(start)
    assert not psutil.pid_exists(children[0].pid)
    children[0].wait(5)


SWALLOWS = """
import os, signal, sys, time
from kft_tasks.answering.engine_processes import start_engine
from kft_tasks.signals import raise_on_termination

raise_on_termination()

def start():
    try:
        os.kill(os.getpid(), int(sys.argv[1]))
        time.sleep(20)
    except KeyboardInterrupt:
        pass
    except BaseException:
        if sys.argv[2] == "another":
            raise RuntimeError("the engine failed")
        if sys.argv[2] == "raised":
            raise
    return object()

try:
    start_engine(start)
except KeyboardInterrupt as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize("then", ["raised", "swallowed", "another"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_an_engine_that_loads_and_would_pass_over_it(number: signal.Signals, then: str) -> None:
    command = [sys.executable, "-c", SWALLOWS, str(int(number)), then]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    expected = "KeyboardInterrupt" if number == signal.SIGINT else "Interrupted SIGTERM"
    assert done.stdout.strip() == expected, done.stderr


def test_a_process_that_exits_ends_its_engine() -> None:
    code = (
        "import subprocess, sys\n"
        "from kft_tasks.answering.engine_processes import start_engine\n"
        "class Lm: pass\n"
        "def start():\n"
        "    child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "    print(child.pid, flush=True)\n"
        "    return Lm()\n"
        "lm = start_engine(start)\n"
        "sys.exit(143)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 143, done.stderr
    assert not psutil.pid_exists(int(done.stdout))
