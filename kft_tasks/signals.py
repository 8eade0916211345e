"""Signals that end a process in good order: SIGTERM and SIGHUP raise, as SIGINT always does."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

TERMINATING = (signal.SIGTERM, signal.SIGHUP)
"""SIGTERM comes from launchers, schedulers and ``kill``, SIGHUP from a terminal that was closed."""


class Interrupted(KeyboardInterrupt):
    """A signal ended the process.

    Attributes:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


class _Ending(BaseException):
    """A signal within :func:`not_swallowed`."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


def raise_on_termination() -> Callable[[], None]:
    """Let SIGTERM and SIGHUP raise :class:`Interrupted` in the main thread, unless they are ignored (``nohup``).

    A signal that arrives while an object is being destroyed, where Python ignores every exception, is sent once more.

    Returns:
        What restores everything as it was.
    """
    restore_handlers, before = handle_termination(_raise), sys.unraisablehook

    def send_again(ignored: Any) -> None:
        if not isinstance(ignored.exc_value, (KeyboardInterrupt, _Ending)):
            before(ignored)
            return
        number = getattr(ignored.exc_value, "number", signal.SIGINT)
        timer = threading.Timer(0.05, os.kill, (os.getpid(), number))
        timer.daemon = True
        timer.start()

    def restore() -> None:
        restore_handlers()
        sys.unraisablehook = before

    sys.unraisablehook = send_again
    return restore


@contextmanager
def not_swallowed() -> Iterator[None]:
    """Let signals end the block also where foreign code in it passes over a KeyboardInterrupt and goes on.

    vLLM does while it waits for its engine. Within the block SIGINT, SIGTERM and SIGHUP raise what such code does not
    catch; at its end, also if the code goes on or makes another error of it, comes what the signal raises otherwise.
    Only the main thread can; in others, and for signals that raise nothing, this does nothing.
    """
    found = _handlers((signal.SIGINT, *TERMINATING))
    before = {number: handler for number, handler in found.items() if callable(handler)}
    received: list[int] = []

    def end(number: int, frame: FrameType | None) -> NoReturn:
        received.append(number)
        raise _Ending(number)

    try:
        _set(dict.fromkeys(before, end))
        yield
    finally:
        _set(before)
        if received:
            before[signal.Signals(received[0])](received[0], None)


def handle_termination(handler: Callable[[int, FrameType | None], object]) -> Callable[[], None]:
    """Handle SIGTERM and SIGHUP, unless they are ignored; return what restores the handlers there were.

    Only the main thread can; in others this does nothing.
    """
    mine = {number: old for number, old in _handlers(TERMINATING).items() if old not in (signal.SIG_IGN, None)}
    _set(dict.fromkeys(mine, handler))
    return lambda: _set(mine)


def _handlers(numbers: Iterable[signal.Signals]) -> dict[signal.Signals, Any]:
    """The handlers of these signals; of none outside the main thread, which alone can set others."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    return {number: signal.getsignal(number) for number in numbers}


def _set(handlers: Mapping[signal.Signals, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)


def exit_code(number: int) -> int:
    """The usual exit code of a process that a signal ended: 130 for SIGINT, 143 for SIGTERM, 129 for SIGHUP."""
    return 128 + number


def describe_end(returncode: int) -> str:
    """How a child process ended, in words: "was killed by SIGKILL, probably for want of memory"."""
    if returncode >= 0:
        return f"failed with exit code {returncode}"
    try:
        name = signal.Signals(-returncode).name
    except ValueError:
        name = f"signal {-returncode}"
    return f"was killed by {name}" + (", probably for want of memory" if returncode == -signal.SIGKILL else "")


def _raise(number: int, frame: FrameType | None) -> NoReturn:
    raise Interrupted(number)
