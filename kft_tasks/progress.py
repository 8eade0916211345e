"""How long-running work tells its caller how far it is; the command line turns this into a bar."""

from __future__ import annotations

from collections.abc import Callable

ProgressCallback = Callable[[int, int, str], None]
"""Called with (units done, units in all, a short note such as "loss 1.23")."""


def no_progress(done: int, total: int, note: str) -> None:
    """Report nothing."""
