"""What the user sees: narration and progress on standard error, data on standard output."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from kft_cli.display.tables import duration, visible_lines
from kft_tasks.progress import ProgressCallback

_LINE_SECONDS = 10.0  # between lines of progress where there is no terminal


def narrate(text: str) -> None:
    """Print a sentence for the person watching."""
    click.echo(visible_lines(text), err=True)


def print_json(value: Any) -> None:
    """Print data for a program."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=2))


@contextmanager
def progress_bar(title: str, *, overall: str = "") -> Iterator[ProgressCallback]:
    """A progress callback that draws a bar with the time left, or prints lines where there is no terminal.

    Args:
        overall: shown before the title, such as "[3/11]".
    """
    label = f"{overall} {title}".strip()
    if sys.stderr.isatty():
        with _rich_bar(label) as callback:
            yield callback
    else:
        lines = _Lines(label)
        yield lines
        lines.end()


@contextmanager
def _rich_bar(label: str) -> Iterator[ProgressCallback]:
    from rich.console import Console
    from rich.markup import escape
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
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(escape(visible_lines(label)), total=None, note="")

        def update(done: int, total: int, note: str) -> None:
            progress.update(task, completed=done, total=total, note=escape(visible_lines(note)))

        yield update


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
