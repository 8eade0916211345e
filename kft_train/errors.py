"""Errors of recipes and stages. The whole hierarchy is drawn in :mod:`kft_tasks.errors`."""

from __future__ import annotations

from kft_tasks.errors import StateError, UsageError


class RecipeError(UsageError):
    """A recipe that does not load or resolve."""


class StageInterruptedError(StateError):
    """SIGTERM came; the stage was saved and resumes from there when it is run again."""

    exit_code = 143
