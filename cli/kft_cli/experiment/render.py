"""The page of an experiment as Markdown: a pure function of its record."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kft_cli.display.tables import Block, Section, markdown_document, plain, terminal_text
from kft_cli.experiment import sections
from kft_cli.experiment.beside import beside_published
from kft_cli.experiment.record import ExperimentRecord, HypothesisRecord

SECTIONS: tuple[tuple[str, Callable[[ExperimentRecord], list[Block]]], ...] = (
    ("Hypotheses, written before the run", sections.hypotheses),
    ("Arms", sections.arms),
    ("Test accuracy", sections.accuracy),
    ("What the models know: HighlyKnown training questions", sections.highly_known),
    ("Kept and forgotten", sections.kept),
    ("Forgetting elsewhere", sections.elsewhere),
    ("Test accuracy by first category", sections.by_category),
    ("Category before and level after", sections.transitions),
    ("The growth of HighlyKnown, counted in two ways", sections.growth),
    ("Epochs", sections.epochs),
    ("The graph of entities", sections.graph),
    ("Other comparisons: exploratory", sections.exploratory),
    ("The paper's counts, for orientation", beside_published),
    ("Cost", sections.cost),
)
"""Headings and their functions, in the order of the page. A section without content is left out."""


def render_experiment(record: ExperimentRecord) -> str:
    """The whole page as Markdown."""
    found = [Section(title, tuple(blocks)) for title, make in SECTIONS if (blocks := make(record))]
    return markdown_document(f"Experiment {record.name}", found, opening(record))


def summarize_experiment(record: ExperimentRecord, width: int | None = None) -> str:
    """Opening, hypotheses, arms and test accuracy as text for a terminal."""
    first = Section(f"Experiment {record.name}", tuple(opening(record)))
    rest = [Section(title, tuple(blocks)) for title, make in SECTIONS[:3] if (blocks := make(record))]
    return terminal_text([first, *rest], width)


def opening(record: ExperimentRecord) -> list[Block]:
    """What the data support, and what was done."""
    blocks: list[Block] = [f"**{supported(record.hypotheses)}**"]
    if record.reach:
        blocks.append(plain(record.reach))
    if record.description:
        blocks.append(plain(record.description))
    seeds = f"{len(record.seeds)} seed{'s' if len(record.seeds) != 1 else ''}"
    held = record.held_out_types
    types = f" ({held} {'type was' if held == 1 else 'types were'} held out of training)" if held else ""
    done = (
        f"{len(record.arms)} arms under {seeds}, model {plain(record.model, 80)}, questions "
        f"{plain(record.question_set)}: {record.train_questions:,} measured training questions and "
        f"{record.test_questions:,} test questions{types}, scored by {plain(record.scorer)}. A seed draws exemplars, "
        "samples, order of the data and initialisation."
    )
    blocks.append(done)
    if len(record.arms) > 1:
        blocks.append(
            "**What it does not show:** how it would be with another model, a larger one above all, with other "
            "questions, or with another number of optimiser steps."
        )
    if record.missing:
        shown = "; ".join(plain(one) for one in record.missing[:12])
        more = f" and {len(record.missing) - 12} more" if len(record.missing) > 12 else ""
        blocks.append(f"**Not finished:** {shown}{more}.")
    return blocks


def supported(rows: Sequence[HypothesisRecord]) -> str:
    """One sentence: which of the claims the data support, contradict and leave open."""
    if not rows:
        return "No hypothesis was written before the run: everything here is exploratory."
    if len(rows) > 1 and all(row.verdict == "not settled" for row in rows):
        return f"The data settle none of the {len(rows)} hypotheses that were written before the run."
    parts: list[str] = []
    for verdict, words in (
        ("supported", "The data support"),
        ("contradicted", "They contradict"),
        ("not settled", "They do not settle"),
    ):
        claims = [_quoted(row) for row in rows if row.verdict == verdict]
        if claims:
            first = words if parts or verdict == "supported" else words.replace("They", "The data")
            parts.append(f"{first} {_joined(claims)}.")
    return " ".join(parts)


def _quoted(row: HypothesisRecord) -> str:
    """The claim; a supported one of a size that is not shown is supported in its direction only."""
    claim = f"“{plain(row.hypothesis.sentence.rstrip('.'))}”"
    only = row.verdict == "supported" and row.hypothesis.smallest and not row.large_enough
    return f"{claim} (in its direction; it may be smaller)" if only else claim


def _joined(claims: Sequence[str]) -> str:
    return claims[0] if len(claims) == 1 else f"{', '.join(claims[:-1])} and {claims[-1]}"
