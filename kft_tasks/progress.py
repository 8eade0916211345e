"""How long-running work reports its progress; the command line turns this into a bar."""

from __future__ import annotations

from collections.abc import Callable

ProgressCallback = Callable[[int, int, str], None]
"""Called with (units done, total units, a short note such as "loss 1.23")."""


def no_progress(done: int, total: int, note: str) -> None:
    """Report nothing."""
