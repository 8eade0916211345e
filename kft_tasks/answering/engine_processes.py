"""The processes that an engine starts: what they cost, and that they end with this one.

vLLM computes in child processes. Their CPU time is not in that of this process, and they outlive it if a signal ends
it.
"""

from __future__ import annotations

import atexit
import contextlib
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from kft_tasks.signals import not_swallowed

_PATIENCE = 10.0  # seconds that an engine has to end by itself
_engines: weakref.WeakKeyDictionary[Any, EngineProcesses] = weakref.WeakKeyDictionary()


@dataclass
class EngineProcesses:
    """The processes of one engine.

    Attributes:
        roots: psutil's processes that it started as children of this one.
    """

    roots: list[Any]
    _seconds: dict[Any, float] = field(default_factory=dict)

    def cpu_seconds(self) -> float:
        """CPU-seconds so far of all of them, of their descendants, and of those that have ended meanwhile."""
        for process in self.living():
            with _gone():
                spent = process.cpu_times()
                self._seconds[process] = spent.user + spent.system + spent.children_user + spent.children_system
        return sum(self._seconds.values())

    def living(self) -> list[Any]:
        """Those that run, with their descendants."""
        found = []
        for root in self.roots:
            with _gone():
                found += [root, *root.children(recursive=True)]
        return found

    def end(self) -> None:
        """End them: politely at first, and by force those that stay."""
        import psutil

        processes = self.living()
        for process in processes:
            with _gone():
                process.terminate()
        _, staying = psutil.wait_procs(processes, timeout=_PATIENCE)
        for process in staying:
            with _gone():
                process.kill()
        psutil.wait_procs(staying, timeout=_PATIENCE)


@contextlib.contextmanager
def _gone() -> Iterator[None]:
    """Pass over a process that has ended, or that this user may not look at."""
    import psutil

    with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        yield


def start_engine(start: Callable[[], Any]) -> Any:
    """Start an engine; its processes are ended when this process exits, or at once if it does not start.

    Args:
        start: returns lm-eval's model.
    """
    import psutil

    this = psutil.Process()
    before = set(this.children())

    def started() -> EngineProcesses:
        return EngineProcesses([child for child in this.children() if child not in before])

    try:
        with not_swallowed():
            lm = start()
    except BaseException:
        started().end()
        raise
    processes = started()
    if processes.roots:
        _engines[lm] = processes
        atexit.register(processes.end)
    return lm


def end_children() -> None:
    """End all processes that this one has started."""
    import psutil

    EngineProcesses(psutil.Process().children()).end()


def cpu_seconds(lm: Any) -> float:
    """CPU-seconds so far of this process and of the processes of its engine."""
    engine = _engines.get(lm)
    return time.process_time() + (engine.cpu_seconds() if engine else 0.0)
