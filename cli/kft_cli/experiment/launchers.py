"""Who starts the workers of an experiment: this process, or submitit."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from typing import Protocol

from kft_cli.experiment.layout import ExperimentLayout

_SECONDS_TO_SAVE = 30  # that a training has to write a checkpoint when the experiment is stopped

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class Launcher(Protocol):
    """Starts and ends workers."""

    remedy: str
    """What to do if workers end early, a sentence."""

    def start(self, layout: ExperimentLayout, workers: int) -> None:
        """Start some more workers."""
        ...

    def alive(self) -> int:
        """How many of those that were started are running, or wait to be."""
        ...

    def dead(self) -> list[tuple[int, int]]:
        """Process id and exit code of each that has ended in failure and was not named before."""
        ...

    def stop(self) -> None:
        """End all that run; a training is saved first."""
        ...


def worker_command(layout: ExperimentLayout, *options: str) -> list[str]:
    """The command line of a worker."""
    return [
        sys.executable,
        "-m",
        "kft_cli.experiment.worker",
        os.fspath(layout.folder.absolute()),
        *options,
    ]


class LocalLauncher:
    """Processes of this machine, which end when this one does.

    Args:
        threads: of each.
    """

    remedy = "Run the same command again."

    def __init__(self, threads: int) -> None:
        self._environment = {**os.environ, **dict.fromkeys(_THREADS, str(threads))}
        self._running: list[subprocess.Popen[bytes]] = []
        self._dead: list[tuple[int, int]] = []

    def start(self, layout: ExperimentLayout, workers: int) -> None:
        """Start processes."""
        for _ in range(workers):
            self._running.append(subprocess.Popen(worker_command(layout), stdin=subprocess.PIPE, env=self._environment))

    def alive(self) -> int:
        """How many run."""
        self._look()
        return len(self._running)

    def dead(self) -> list[tuple[int, int]]:
        """Those that failed."""
        self._look()
        found, self._dead = self._dead, []
        return found

    def stop(self) -> None:
        """A signal at which a training is saved; then the end of the input; then no more waiting."""
        for process in self._running:
            process.terminate()
        for process in self._running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_SECONDS_TO_SAVE)
            process.kill()
            process.wait()
            _close(process)
        self._running = []

    def _look(self) -> None:
        for process in list(self._running):
            code = process.poll()
            if code is not None:
                self._running.remove(process)
                _close(process)
                if code:
                    self._dead.append((process.pid, code))


def _close(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
