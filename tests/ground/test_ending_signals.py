"""Signals end the command line in one line, with the usual exit code."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from kft_cli.studies.benchmark import failed_contender
from kft_tasks.signals import describe_end

NUMBERS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}

WAITS = """
import os, signal, sys, time
from kft_cli import main

number = int(sys.argv.pop())

def wait(*args, **kwargs):
    os.kill(os.getpid(), number)
    time.sleep(20)
    print("not interrupted")

main.GROUPS.clear()
main.cli.invoke = wait
main.main(["run", "x"])
"""

DESTROYS = WAITS.replace(
    "def wait(*args, **kwargs):",
    """class Destroyed:
    def __del__(self):
        os.kill(os.getpid(), number)
        time.sleep(0)

def wait(*args, **kwargs):
    one = Destroyed()
    del one
    time.sleep(20)
    return

def other():""",
)


def run(program: str, number: int, *prefix: str) -> subprocess.CompletedProcess[str]:
    command = [*prefix, sys.executable, "-c", program, str(int(number))]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("program", [WAITS, DESTROYS], ids=["waiting", "destroying"])
def test_a_signal_ends_in_one_line_and_the_usual_exit_code(program: str, number: signal.Signals) -> None:
    done = run(program, number)
    assert done.returncode == NUMBERS[number], done.stderr
    by = "" if number == signal.SIGINT else f" by {number.name}"
    assert done.stderr.strip() == f"Interrupted{by}. Run the same command again to resume."
    assert done.stdout == ""


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    program = WAITS.replace("time.sleep(20)", "time.sleep(0.2)")
    ignoring = f"import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n{program}"
    done = run(ignoring, signal.SIGHUP)
    assert done.stdout == "not interrupted\n"
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (-9, "was killed by SIGKILL, probably for want of memory"),
        (-15, "was killed by SIGTERM"),
        (-200, "was killed by signal 200"),
        (3, "failed with exit code 3"),
    ],
)
def test_the_end_of_a_child_is_named(code: int, words: str) -> None:
    assert describe_end(code) == words
    said = "one\ntwo" if code > 0 else ""
    line = failed_contender("stock", code, said)
    assert line.startswith(f"benchmark: stock {words}.")
    assert "\n" not in line
    assert line.endswith("Its last words: one two" if said else "It said nothing.")
