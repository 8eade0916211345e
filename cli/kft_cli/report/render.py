"""The report as Markdown: a pure function of its JSON values, so that a published report.json can be rendered again."""

from __future__ import annotations

from collections.abc import Callable

from kft_cli.display.tables import Block, Figure, Section, markdown_document
from kft_cli.report.sections.accuracy import accuracy_table, change_table, test_accuracy
from kft_cli.report.sections.elsewhere import forgetting_elsewhere
from kft_cli.report.sections.examples import examples_of_movement
from kft_cli.report.sections.mastery import categories, category_table, flow_caption, movement_table, transitions
from kft_cli.report.sections.measured import change_rows, what_changed
from kft_cli.report.sections.overview import what_was_run
from kft_cli.report.sections.paper import papers_counts
from kft_cli.report.sections.repetition import cost, how_to_repeat
from kft_cli.report.sections.training import stages, trained_and_untrained
from kft_cli.report.sections.words import Report
from kft_cli.report.verdict import verdict

SECTIONS: tuple[tuple[str, Callable[[Report], list[Block]]], ...] = (
    ("What was run", what_was_run),
    ("What the model knows: categories of the training questions", categories),
    ("What changed, measured on other exemplars", what_changed),
    ("What moved: category before and after", transitions),
    ("Test accuracy", test_accuracy),
    ("Forgetting elsewhere", forgetting_elsewhere),
    ("What each stage trained on", stages),
    ("Trained and untrained questions", trained_and_untrained),
    ("Examples", examples_of_movement),
    ("Cost", cost),
    ("How to repeat this run", how_to_repeat),
    ("The paper's counts, for orientation", papers_counts),
)
"""Headings and their functions, in the order of the page. A section without content is left out."""


def render_report(report: Report) -> str:
    """The whole report as Markdown."""
    sections = [Section(title, tuple(blocks)) for title, make in SECTIONS if (blocks := make(report))]
    flow = Figure("figures/flow.svg", flow_caption(report))
    return markdown_document(f"Report of run {report['run']['name']}", sections, (verdict(report), flow))


def summary_sections(report: Report) -> list[Section]:
    """Verdict and main tables, for a terminal."""
    return [
        Section(f"Run {report['run']['name']}", (verdict(report),)),
        Section("Categories of the training questions", (category_table(report),)),
        _moved(report),
        Section("Test accuracy", (accuracy_table(report), change_table(report["test"]))),
    ]


def _moved(report: Report) -> Section:
    if report.get("measured"):
        shown = change_rows(report, ("all", "HighlyKnown", "all below HighlyKnown"))
        return Section("What changed, measured on other exemplars", (shown,))
    return Section("What moved", (movement_table(report),))
