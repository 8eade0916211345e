"""Published numbers of others: closed, with sources, adding up, and their page as it is rendered."""

from __future__ import annotations

from pathlib import Path

import pytest

from kft_cli.pages.published_page import render_published
from kft_cli.report import published_record
from kft_cli.report.published_record import read_published
from kft_tasks.errors import DataError

ROOT = Path(__file__).parents[2]


def test_page_is_rendered_from_the_files() -> None:
    page = (ROOT / "results" / "published" / "README.md").read_text(encoding="utf-8")
    assert page == render_published()
    assert "| A | 169,164 | 34,426 | 36,897 | 25,986 | 71,855 | counted |" in page
    assert "| MaybeKnown | 43.6 % | 43.2 % | one source |" in page


def test_counts_that_do_not_add_up_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (published_record.FOLDER / "gradual-learning.json").read_text(encoding="utf-8")
    (tmp_path / "gradual-learning.json").write_text(text.replace("27282", "27283", 1), encoding="utf-8")
    monkeypatch.setattr(published_record, "FOLDER", tmp_path)
    with pytest.raises(DataError, match=r"transitions\.matrix: not n together|not n together"):
        read_published("gradual-learning")
