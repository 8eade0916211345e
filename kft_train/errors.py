"""Errors of recipes and stages. :mod:`kft_tasks.errors` draws the whole hierarchy."""

from __future__ import annotations

from kft_tasks.errors import StateError, UsageError


class RecipeError(UsageError):
    """A recipe that does not load or resolve."""


class StageInterruptedError(StateError):
    """SIGTERM ended a stage after it was saved; running it again resumes it."""

    exit_code = 143
