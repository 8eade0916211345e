"""An experiment as one HTML file: what the data support, then the sections of its Markdown page."""

from __future__ import annotations

from kft_cli.display.tables import Block, Figure, Section
from kft_cli.experiment.figures import ACCURACY, HYPOTHESES, experiment_drawings
from kft_cli.experiment.record import ExperimentRecord
from kft_cli.experiment.render import SECTIONS, opening
from kft_cli.html.page import Page, render_page

_WHY_NONE = (
    "An experiment has as many answers as all of its runs. Each run in the folder runs/ has a page of its own with "
    "every question: write it with `kft report`."
)


def render_experiment_page(record: ExperimentRecord) -> str:
    """The whole page: a pure function of the record."""
    drawings = experiment_drawings(record)
    figures = {path: Figure(path, drawing.caption) for path, drawing in drawings.items()}
    answer, *rest = opening(record)
    first: list[Block] = [figures[HYPOTHESES]] if HYPOTHESES in figures else []
    sections = []
    for title, make in SECTIONS:
        blocks = make(record)
        if title == "Test accuracy" and blocks and ACCURACY in figures:
            blocks = [figures[ACCURACY], *blocks]
        if blocks:
            sections.append(Section(title, tuple(blocks)))
    page = Page(
        title=record.name,
        kind="Experiment",
        answer=str(answer),
        opening=(*first, *rest),
        sections=sections,
        figures=drawings,
        why_none=_WHY_NONE,
    )
    return render_page(page)
