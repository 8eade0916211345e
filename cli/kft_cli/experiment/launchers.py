"""Who starts the workers of an experiment: this process, or submitit."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any, Protocol

from kft_cli.experiment import worker
from kft_cli.experiment.layout import ExperimentLayout
from kft_cli.experiment.worker_state import new_name
from kft_tasks.errors import UnavailableError, UsageError

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

    def dead(self) -> list[tuple[str, int]]:
        """Name and exit code of each that has ended in failure and was not told before."""
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
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._dead: list[tuple[str, int]] = []

    def start(self, layout: ExperimentLayout, workers: int) -> None:
        """Start processes."""
        for name in (new_name() for _ in range(workers)):
            command = worker_command(layout, name)
            self._running[name] = subprocess.Popen(command, stdin=subprocess.PIPE, env=self._environment)

    def alive(self) -> int:
        """How many run."""
        self._look()
        return len(self._running)

    def dead(self) -> list[tuple[str, int]]:
        """Those that failed."""
        self._look()
        found, self._dead = self._dead, []
        return found

    def stop(self) -> None:
        """A signal at which a training is saved; then the end of the input; then no more waiting."""
        for process in self._running.values():
            process.terminate()
        for process in self._running.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_SECONDS_TO_SAVE)
            process.kill()
            process.wait()
            _close(process)
        self._running = {}

    def _look(self) -> None:
        for name, process in list(self._running.items()):
            code = process.poll()
            if code is not None:
                _close(self._running.pop(name))
                if code:
                    self._dead.append((name, code))


def _close(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()


class SubmititLauncher:
    """Jobs of submitit: on Slurm where there is one, else processes of this machine.

    The jobs do not end with this process: without it they go on to the end of the experiment.

    Args:
        threads: of each worker.
        parameters: of submitit's ``AutoExecutor``, such as ``timeout_min`` or ``slurm_partition``.

    Raises:
        UnavailableError: submitit is not installed.
    """

    remedy = "Run the same command again, perhaps with a longer timeout_min; the jobs' logs are in workers/submitit."

    def __init__(self, threads: int, parameters: Mapping[str, Any]) -> None:
        try:
            import submitit  # noqa: F401
        except ImportError as error:
            raise UnavailableError('submitit is not installed. Install it with pip install "kft[submitit]".') from error
        self._threads = threads
        self._parameters = {"name": "kft", "timeout_min": 24 * 60, "cpus_per_task": threads, **parameters}
        self._jobs: dict[str, Any] = {}
        self._told: set[str] = set()

    def start(self, layout: ExperimentLayout, workers: int) -> None:
        """Submit jobs.

        Raises:
            UsageError: a parameter that submitit does not know, or a wrong value.
        """
        import submitit

        executor = submitit.AutoExecutor(folder=layout.workers.absolute() / "submitit")
        try:
            executor.update_parameters(**self._parameters)
        except (TypeError, ValueError, NameError) as error:
            raise UsageError(f"submitit refuses its arguments ({error}). Correct --launcher-args.") from error
        folder = os.fspath(layout.folder.absolute())
        for name in (new_name() for _ in range(workers)):
            self._jobs[name] = executor.submit(work_alone, folder, name, self._threads)

    def alive(self) -> int:
        """How many jobs run, or wait to."""
        return sum(not job.done() for job in self._jobs.values())

    def dead(self) -> list[tuple[str, int]]:
        """Those that failed."""
        ended = [name for name, job in self._jobs.items() if name not in self._told and job.done()]
        self._told.update(ended)
        return [(name, 1) for name in ended if not _has_succeeded(self._jobs[name])]

    def stop(self) -> None:
        """Cancel the jobs; a training is saved first."""
        running = [job for job in self._jobs.values() if not job.done()]
        for job in running:
            job.cancel()
        end = time.monotonic() + _SECONDS_TO_SAVE
        while running and time.monotonic() < end:
            running = [job for job in running if not job.done()]
            time.sleep(0.2)


def _has_succeeded(job: Any) -> bool:
    try:
        return job.exception() is None
    except Exception:  # whatever submitit raises for a job without a result
        return False


def work_alone(folder: str, name: str, threads: int) -> None:
    """Be a worker in a job of its own."""
    os.environ.update(dict.fromkeys(_THREADS, str(threads)))
    worker.main(folder, "--alone", name)
