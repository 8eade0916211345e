"""What the user sees: narration and progress on standard error, data on standard output."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import click

from kft_cli.display.tables import duration, visible_lines
from kft_tasks.progress import ProgressCallback

if TYPE_CHECKING:
    from rich.progress import Progress

_LINE_SECONDS = 10.0  # between lines of progress where there is no terminal


def narrate(text: str) -> None:
    """Print a sentence for the person watching."""
    click.echo(visible_lines(text), err=True)


def print_json(value: Any) -> None:
    """Print data for a program."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=2))


class Bar(Protocol):
    """A bar of :func:`progress_bars`; called as a :data:`ProgressCallback`."""

    def __call__(self, done: int, total: int, note: str) -> None:
        """Move it."""
        ...

    def end(self) -> None:
        """The work is done."""
        ...


@contextmanager
def progress_bar(title: str, *, overall: str = "") -> Iterator[ProgressCallback]:
    """A progress callback that draws a bar with the time left, or prints lines where there is no terminal.

    Args:
        overall: shown before the title, such as "[3/11]".
    """
    with progress_bars() as start:
        bar = start(f"{overall} {title}".strip())
        yield bar
        bar.end()


@contextmanager
def progress_bars() -> Iterator[Callable[[str], Bar]]:
    """Several bars at a time; yields what starts one with a title."""
    if sys.stderr.isatty():
        with _rich_progress() as progress:
            yield lambda title: _RichBar(progress, title)
    else:
        yield _Lines


def _rich_progress() -> Progress:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    return Progress(*columns, console=Console(stderr=True))


class _RichBar:
    def __init__(self, progress: Progress, title: str) -> None:
        from rich.markup import escape

        self._escape = escape
        self._progress = progress
        self._task = progress.add_task(escape(visible_lines(title)), total=None, note="")

    def __call__(self, done: int, total: int, note: str) -> None:
        self._progress.update(self._task, completed=done, total=total, note=self._escape(visible_lines(note)))

    def end(self) -> None:
        self._progress.stop_task(self._task)


class _Lines:
    def __init__(self, label: str) -> None:
        self._label = label
        self._started = self._last = time.monotonic()
        self._first: int | None = None
        self._note = ""
        narrate(f"{label} ...")

    def __call__(self, done: int, total: int, note: str) -> None:
        now = time.monotonic()
        if self._first is None:
            self._first = done  # what an earlier process did says nothing about the speed of this one
        self._note = note
        if now - self._last < _LINE_SECONDS:
            return
        self._last = now
        made = done - self._first
        left = f", {duration((now - self._started) / made * (total - done))} left" if made else ""
        narrate(f"{self._label}: {done}/{total}{left}  {note}")

    def end(self) -> None:
        narrate(f"{self._label}: done in {duration(time.monotonic() - self._started)}. {self._note}".rstrip())
