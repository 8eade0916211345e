"""What the user sees: narration and progress on standard error, data on standard output."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import click

from kft_cli.display.tables import duration
from kft_tasks.progress import ProgressCallback
from kft_tasks.visible_text import is_hidden, visible_line, visible_lines, visible_message

STDOUT_TAKEN = "kft_cli.stdout_taken"
"""Key of click's context for: standard output is a file that the command writes, so that tables go elsewhere."""

if TYPE_CHECKING:
    from rich.progress import Progress

_LINE_SECONDS = 10.0  # between lines of progress where there is no terminal


def narrate(text: str) -> None:
    """Print a sentence for the person watching."""
    click.echo(visible_message(text), err=True)


def print_text(text: str) -> None:
    """Print text for the reader on standard output; on standard error where a command writes its file to the former."""
    click.echo(visible_lines(text), err=_stdout_is_taken())


def print_path(path: Path) -> None:
    """Print a path: as it is for a program, such as the shell, and made visible at a terminal."""
    click.echo(visible_line(str(path)) if sys.stdout.isatty() else str(path), err=_stdout_is_taken())


def _stdout_is_taken() -> bool:
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.meta.get(STDOUT_TAKEN))


def print_json(value: Any) -> None:
    """Print data for a program; hidden characters are escaped, which in JSON is the same value."""
    click.echo(json_text(value))


def json_text(value: Any) -> str:
    """A value as indented JSON without hidden characters."""
    text = json.dumps(value, ensure_ascii=False, indent=2)
    return "\n".join(line if line == visible_line(line) else _escaped(line) for line in text.split("\n"))


def _escaped(line: str) -> str:
    """A line of JSON: hidden characters stand within quotation marks only, where they can be escaped."""
    return "".join(json.dumps(char)[1:-1] if is_hidden(char) else char for char in line)


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
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    return Progress(*columns, console=Console(stderr=True))


class _RichBar:
    def __init__(self, progress: Progress, title: str) -> None:
        self._progress = progress
        self._task = progress.add_task(visible_line(title), total=None, note="")

    def __call__(self, done: int, total: int, note: str) -> None:
        self._progress.update(self._task, completed=done, total=total, note=visible_line(note))

    def end(self) -> None:
        self._progress.stop_task(self._task)


class _Lines:
    def __init__(self, label: str) -> None:
        self._label = label
        self._started = self._last = time.monotonic()
        self._first: int | None = None
        self._note = ""
        narrate(visible_line(f"{label} ..."))

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
        narrate(visible_line(f"{self._label}: {done}/{total}{left}  {note}"))

    def end(self) -> None:
        took = duration(time.monotonic() - self._started)
        narrate(visible_line(f"{self._label}: done in {took}. {self._note}".rstrip()))
