"""Everything kft raises on purpose.

KftError                    one sentence on what is wrong and where, one on what to do
├── UsageError              the request itself is wrong (exit code 2)
│   └── RecipeError         a recipe that does not load
├── DataError               a question file, category file or journal that cannot be used
│   └── UnavailableError    data or a model that is not on this machine and could not be fetched
└── StateError              a run folder, journal or lock that is in the way
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable
from types import TracebackType


class KftError(Exception):
    """Base of all errors that are shown to the user as one message, never as a traceback."""

    exit_code = 1


class UsageError(KftError):
    """The request is wrong: an unknown key, an unknown name, values that do not go together."""

    exit_code = 2


class RecipeError(UsageError):
    """A recipe that does not load or resolve."""


class DataError(KftError):
    """A file whose content cannot be used; the message names file, line and remedy."""


class UnavailableError(DataError):
    """Data or a model that is not here; the message says what was tried and how to supply it."""


class StateError(KftError):
    """Something on disk is in the way: another process, another model's journal, a foreign run folder."""


def show_in_one_line() -> None:
    """Let a :class:`KftError` end lm-eval's command line as one message instead of a traceback; exit code 1.

    Elsewhere (notebooks, scripts, ``kft`` itself) nothing changes.
    """
    before = sys.excepthook
    if "lm_eval._cli" not in sys.modules or hasattr(before, "_kft"):
        return

    def show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if isinstance(error, KftError):
            sys.stderr.write(f"Error: {error}\n")
        else:
            before(kind, error, trace)

    show._kft = True  # type: ignore[attr-defined]
    sys.excepthook = show


def suggest(name: str, known: Iterable[str]) -> str:
    """Return ``"Did you mean 'x'? Known: a, b, x."`` for an unknown ``name``."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    return f"{hint}Known: {', '.join(names)}."
