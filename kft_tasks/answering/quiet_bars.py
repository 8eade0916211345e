"""Progress bars of other libraries, hidden: lm-eval draws one per call, even with ``disable_tqdm``."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

_FILE_POSITION = 4  # of ``file`` among tqdm's arguments, after the bar itself


class _Nowhere:
    """A text file that forgets what it is given."""

    encoding = "utf-8"

    def write(self, text: str) -> int:
        """Forget ``text``; returns its length."""
        return len(text)

    def flush(self) -> None:
        """Nothing is held back."""


@contextlib.contextmanager
def quiet_bars() -> Iterator[None]:
    """Let tqdm's bars draw nowhere.

    They stay switched on: a disabled bar measures no time, and vLLM divides by the time that its bar has measured.
    """
    from tqdm import tqdm

    original, nowhere = tqdm.__init__, _Nowhere()

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        if len(args) > _FILE_POSITION:
            args = (*args[:_FILE_POSITION], nowhere, *args[_FILE_POSITION + 1 :])
        else:
            kwargs["file"] = nowhere
        original(self, *args, **kwargs)

    tqdm.__init__ = init
    try:
        yield
    finally:
        tqdm.__init__ = original
