"""SIGTERM and SIGHUP while training: save and stop, instead of dying or looking like success."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from kft_tasks.signals import handle_termination


class Termination(threading.Event):
    """Set when training has to end.

    Attributes:
        number: of the signal; SIGTERM if another process received it.
    """

    number: int = signal.SIGTERM

    @property
    def name(self) -> str:
        """Name of the signal."""
        return signal.Signals(self.number).name


@contextmanager
def on_termination(termination: Termination) -> Iterator[None]:
    """Set the event on SIGTERM or SIGHUP while the block runs; only the main thread can."""

    def handle(number: int, frame: object) -> None:
        termination.number = number
        termination.set()

    restore = handle_termination(handle)
    try:
        yield
    finally:
        restore()
