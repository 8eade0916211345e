"""Opening a page that was written in the user's browser."""

from __future__ import annotations

from pathlib import Path

from kft_cli.display.console import narrate


def open_page(path: Path) -> None:
    """Open a page; on a machine without a browser, say so and leave it at that."""
    import webbrowser

    try:
        opened = webbrowser.open(path.resolve().as_uri())
    except webbrowser.Error:
        opened = False
    if not opened:
        narrate(f"{path}: there is no browser here. Open the file in one; it needs no network.")
