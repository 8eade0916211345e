from __future__ import annotations

import pytest


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes most of the time of a report; tests of its text leave it out."""
    monkeypatch.setattr("kft_cli.figures.draw_figures", lambda report, folder: [])
