"""Published results are what their own data renders to: no number is typed by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from kft_cli.pages.results import measurement_files, render_measurement, render_results
from kft_cli.report.render import render_report
from kft_cli.report.report import read_report

RESULTS = Path(__file__).resolve().parents[2] / "results"
PAGES = measurement_files(RESULTS)
RUNS = sorted(RESULTS.glob("*/report.json"))


def test_the_results_page_is_not_stale() -> None:
    assert (RESULTS / "README.md").read_text(encoding="utf-8") == render_results(RESULTS)


@pytest.mark.parametrize("file", PAGES, ids=[file.parent.name for file in PAGES])
def test_every_other_published_page_is_not_stale(file: Path) -> None:
    assert file.with_suffix(".md").read_text(encoding="utf-8") == render_measurement(file)


@pytest.mark.parametrize("file", RUNS, ids=[file.parent.name for file in RUNS])
def test_every_published_report_is_not_stale(file: Path) -> None:
    assert file.with_name("report.md").read_text(encoding="utf-8") == render_report(read_report(file))
    for figure in ("categories", "transitions", "test_accuracy", "validation"):
        assert (file.parent / "figures" / f"{figure}.png").is_file()
