"""Progress of a download that tells none itself: how large its part has become."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from kft_cli.display.console import narrate
from kft_cli.pages.data_views import size_text

SECONDS = 5.0


@contextmanager
def narrated_growth() -> Iterator[None]:
    """Say every few seconds how much of kft's own downloads has come; the hub's client draws its own bars."""
    from kft_tasks.files import cache_folder

    folder = cache_folder() / "sets"
    done = threading.Event()

    def watch() -> None:
        while not done.wait(SECONDS):
            with suppress(OSError):  # a part is renamed between being listed and being looked at
                for part in folder.glob("*/*.part"):
                    narrate(f"{part.stem}: {size_text(part.stat().st_size)} so far")

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
