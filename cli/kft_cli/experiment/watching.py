"""What a person sees of a running experiment: a line per worker and a total with the time left, or plain lines."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from kft_cli.display.console import narrate
from kft_cli.display.tables import duration
from kft_cli.experiment.costs import Work, estimate
from kft_cli.experiment.store import Store
from kft_cli.experiment.worker_state import WorkerState
from kft_tasks.visible_text import visible_line

if TYPE_CHECKING:
    from rich.live import Live

_SECONDS_BETWEEN_LINES = 60.0
_SECONDS_BETWEEN_ESTIMATES = 15.0
_LOG_LINES = 8  # of a failed step


class Display:
    """Prints what was finished and what failed; below it, at a terminal, what is going on.

    Args:
        works: of every step, for the time left.
        live: the lines at the bottom of a terminal; None where there is none.
    """

    def __init__(self, works: Mapping[str, Work], live: Live | None) -> None:
        self._works = works
        self._live = live
        self._line = self._estimate = 0.0
        self._left = ""

    def finished(self, store: Store, key: str) -> None:
        """A line for a finished step."""
        self._print(f"[{len(store.done())}/{len(store.graph.steps)}] done: {describe(store, key)}")

    def failed(self, store: Store, key: str) -> None:
        """The error, and the end of the log."""
        record = store.failure(key)
        self._print(f"failed: {describe(store, key)}: {record.error}")
        for line in record.log[-_LOG_LINES:]:
            self._print(f"    {line}")

    def look(self, store: Store, states: Sequence[WorkerState]) -> None:
        """Show what the workers are doing."""
        now = time.monotonic()
        if not self._left or now - self._estimate > _SECONDS_BETWEEN_ESTIMATES:
            self._estimate = now
            self._left = time_left(store, self._works, max(1, len(states)))
        total = f"{len(store.done())} of {len(store.graph.steps)} steps done; {self._left}"
        if self._live is not None:
            from rich.text import Text  # plain text: what a string says in brackets would be a style

            self._live.update(Text("\n".join([*map(_state_line, states), visible_line(total)])))
        elif now - self._line > _SECONDS_BETWEEN_LINES:
            self._line = now
            for line in (*map(_state_line, states), total):
                narrate(line)

    def _print(self, line: str) -> None:
        if self._live is None:
            narrate(visible_line(line))
        else:
            self._live.console.print(visible_line(line), markup=False, highlight=False)


@contextmanager
def display(works: Mapping[str, Work]) -> Iterator[Display]:
    """A display on standard error."""
    if not sys.stderr.isatty():
        yield Display(works, None)
        return
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    with Live(Text(""), console=Console(stderr=True), refresh_per_second=4) as live:
        yield Display(works, live)


def describe(store: Store, key: str) -> str:
    """A step in words: its name, and the runs that have it."""
    node = store.graph.steps[key]
    first = store.graph.runs[node.runs[0]]
    more = f" and {len(node.runs) - 1} more" if len(node.runs) > 1 else ""
    return f"{node.step.name} of {first.arm}, seed {first.seed}{more}"


def time_left(store: Store, works: Mapping[str, Work], workers: int) -> str:
    """Such as "about 12 min left"."""
    open_steps = set(store.graph.steps) - store.done() - store.graph.blocked(store.failed())
    if not open_steps:
        return "reports are left"
    return f"about {duration(estimate(store, works).total(open_steps).seconds / workers)} left"


def _state_line(state: WorkerState) -> str:
    done = f" {state.done}/{state.total}" if state.total else ""
    return visible_line(f"{state.host} {state.process}: {state.title}{done} {state.note}".rstrip())
