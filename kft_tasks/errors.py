"""Every error that kft raises on purpose.

KftError                        one sentence on what is wrong and where, one on what to do
├── UsageError                  the request itself is wrong (exit code 2)
│   └── RecipeError             a recipe that does not load or resolve (kft_train.errors)
├── DataError                   a question file, category file or journal that cannot be used
│   ├── UnavailableError        data or a model that is not on this machine and could not be fetched
│   └── DiskFullError           no space left for a file; with more space the same command goes on
├── UnsupportedModelError       a model that kft's engine cannot run; lm-eval's own generation can
├── FetchError                  one way of fetching data failed; the next one is tried
└── StateError                  a run folder, journal or lock that is in the way
    └── StageInterruptedError   SIGTERM or SIGHUP ended a stage after it was saved (kft_train.errors)
"""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Error numbers of writing that more space, or a larger quota or limit, would cure."""


class KftError(Exception):
    """Base of all errors that the user sees as one message, never as a traceback."""

    exit_code = 1


class UsageError(KftError):
    """The request is wrong: an unknown key, an unknown name, or values that contradict each other."""

    exit_code = 2


class DataError(KftError):
    """A file whose content cannot be used; the message names the file, the line and the remedy."""


class UnavailableError(DataError):
    """Data or a model that is not available; the message says what was tried and how to supply it."""


class DiskFullError(DataError):
    """There is no space for a file; the message names it. The same command resumes when there is space again."""


class UnsupportedModelError(KftError):
    """The model cannot be run on a trie of prompts; lm-eval's own generation can run it."""


class FetchError(KftError):
    """One way of fetching data failed; the text says which one and why."""


class StateError(KftError):
    """Something on disk is in the way: another process, another model's journal, a foreign run folder."""


def suggest(name: str, known: Iterable[str]) -> str:
    """Return ``"Did you mean 'x'? Known: a, b, x."`` for an unknown ``name``."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    return f"{hint}Known: {', '.join(names)}."


def shortened(text: str, most: int = 200) -> str:
    """A text for an error message: cut after ``most`` characters."""
    return text if len(text) <= most else f"{text[:most]}..."
