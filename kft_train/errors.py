"""Errors of recipes and stages. :mod:`kft_tasks.errors` draws the whole hierarchy."""

from __future__ import annotations

import signal

from kft_tasks.errors import StateError, UsageError
from kft_tasks.signals import exit_code


class RecipeError(UsageError):
    """A recipe that does not load or resolve."""


class StageInterruptedError(StateError):
    """SIGTERM or SIGHUP ended a stage after it was saved; running it again resumes it.

    Args:
        number: of the signal.
    """

    def __init__(self, message: str, number: int = signal.SIGTERM) -> None:
        super().__init__(message)
        self.exit_code = exit_code(number)
