"""The report as one HTML file: the sections of the Markdown, the figures, and every question of the run."""

from __future__ import annotations

from kft_cli.display.tables import Figure, Section
from kft_cli.html.page import Page, render_page
from kft_cli.html.record import PageData
from kft_cli.report.figures import drawings
from kft_cli.report.render import SECTIONS
from kft_cli.report.sections.words import Report
from kft_cli.report.verdict import headline, verdict

_FIRST = ("Test accuracy", "What changed, measured on other exemplars")
_LAST = ("What was run", "How to repeat this run", "The paper's counts, for orientation")
_WHY_NONE = (
    "This page was made from report.json alone, which holds numbers and no answers. "
    "`kft report RUN` makes a page with every question where the run folder is."
)


def render_report_page(report: Report, questions: PageData | None) -> str:
    """A report as HTML: a pure function of its JSON values and of the questions.

    Args:
        questions: None where only ``report.json`` is there.
    """
    figures = {f"figures/{drawing.name}.svg": drawing for drawing in drawings(report)}
    flow = Figure("figures/flow.svg", figures["figures/flow.svg"].caption)
    _, _, rest = verdict(report).partition("\n\n")
    sections = [Section(title, tuple(blocks)) for title, make in SECTIONS if (blocks := make(report))]
    page = Page(
        title=str(report["run"]["name"]),
        kind="Run",
        answer=headline(report),
        opening=(flow, rest),
        sections=sorted(sections, key=lambda section: _place(section.title)),
        figures=figures,
        questions=questions,
        why_none=_WHY_NONE,
    )
    return render_page(page)


def _place(title: str) -> int:
    if title in _FIRST:
        return _FIRST.index(title)
    return 100 + _LAST.index(title) if title in _LAST else 50
