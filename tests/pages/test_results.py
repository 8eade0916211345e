"""Published results are what their own data renders to: no number is typed by hand."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from kft_cli.experiment.page import render_experiment_page
from kft_cli.experiment.record import read_experiment
from kft_cli.experiment.render import render_experiment
from kft_cli.pages.certainty_figure import draw_certainty
from kft_cli.pages.results import (
    experiment_files,
    measurement_files,
    published_questions,
    render_measurement,
    render_results,
)
from kft_cli.report.figures import drawings
from kft_cli.report.page import render_report_page
from kft_cli.report.render import render_report
from kft_cli.report.report import read_report

RESULTS = Path(__file__).resolve().parents[2] / "results"
PAGES = measurement_files(RESULTS)
EXPERIMENTS = experiment_files(RESULTS)
RUNS = sorted(RESULTS.glob("*/report.json"))


def test_the_results_page_is_not_stale() -> None:
    assert (RESULTS / "README.md").read_text(encoding="utf-8") == render_results(RESULTS)


@pytest.mark.parametrize("file", PAGES, ids=[file.parent.name for file in PAGES])
def test_every_other_published_page_is_not_stale(file: Path) -> None:
    assert file.with_suffix(".md").read_text(encoding="utf-8") == render_measurement(file)
    if file.stem == "certainty":
        drawn = draw_certainty(json.loads(file.read_text(encoding="utf-8")))
        assert file.with_suffix(".svg").read_text(encoding="utf-8") == drawn.file()


@pytest.mark.parametrize("file", EXPERIMENTS, ids=[file.parent.name for file in EXPERIMENTS])
def test_every_published_experiment_is_not_stale_and_is_in_the_results_page(file: Path) -> None:
    """Both pages are what the record gives."""
    record = read_experiment(file)
    assert file.with_suffix(".md").read_text(encoding="utf-8") == render_experiment(record)
    assert file.with_suffix(".html").read_text(encoding="utf-8") == render_experiment_page(record)
    page = (RESULTS / "README.md").read_text(encoding="utf-8")
    assert all(one.hypothesis.name in page for one in record.hypotheses)


@pytest.mark.parametrize("file", RUNS, ids=[file.parent.name for file in RUNS])
def test_every_published_report_is_not_stale(file: Path) -> None:
    assert file.with_name("report.md").read_text(encoding="utf-8") == render_report(read_report(file))
    drawn = {drawing.name: drawing.file() for drawing in drawings(read_report(file))}
    found = {path.stem: path.read_text(encoding="utf-8") for path in (file.parent / "figures").iterdir()}
    assert found == drawn


@pytest.mark.parametrize("file", RUNS, ids=[file.parent.name for file in RUNS])
def test_every_published_page_is_not_stale(file: Path) -> None:
    """But for how tightly its questions are compressed, which another zlib does in another way."""
    data = re.compile(r'(?<=type="application/gzip">)[^<]+')
    made = render_report_page(read_report(file), published_questions(file))
    assert data.sub("", file.with_name("report.html").read_text(encoding="utf-8")) == data.sub("", made)
    assert file.with_name("report.html").stat().st_size < 2_000_000
