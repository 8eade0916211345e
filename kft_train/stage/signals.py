"""SIGTERM handling: save and stop, instead of dying or looking like success."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def on_sigterm(event: threading.Event) -> Iterator[None]:
    """Set ``event`` on SIGTERM while the block runs. Only the main thread can; in others this does nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda number, frame: event.set())
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
