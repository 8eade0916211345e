"""Experiments beside one another and beside published numbers of others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kft_cli.display.tables import Block, Section, make_table, percent, plain
from kft_cli.experiment.cells import change_cell, count_cell, level_cell, place_cells
from kft_cli.experiment.layout import ExperimentLayout
from kft_cli.experiment.record import ExperimentRecord, MatrixRecord, read_experiment
from kft_cli.report.paper import load_paper, load_slick, paper_runs
from kft_cli.report.run_layout import BASE
from kft_cli.report.sections.paper import papers_counts_beside

FORMAT = "kft-experiment-comparison/1"
_LEVEL = {"HighlyKnown": 2, "MaybeKnown": 1, "NeverRight": 0, "WeaklyKnown": 0, "Unknown": 0}


def record_of(path: Path) -> Path | None:
    """The ``experiment.json`` of a path: itself, or in the folder; None where it is no experiment that was reported."""
    file = path if path.is_file() else ExperimentLayout(path).record
    return file if file.name == ExperimentLayout(path).record.name and file.is_file() else None


def compare_experiments(files: Sequence[Path], *, published: bool) -> dict[str, Any]:
    """Arms of experiments side by side, as JSON values.

    Args:
        files: each an ``experiment.json``.
        published: whether the numbers of Li et al. 2024 and Gekhman et al. 2024 stand beside them.
    """
    records = [read_experiment(file) for file in files]
    return {
        "format": FORMAT,
        "experiments": [
            {
                "name": record.name,
                "model": record.model,
                "question_set": record.question_set,
                "accuracy": [row.model_dump(mode="json") for row in record.accuracy],
                "comparable": comparables(record),
            }
            for record in records
        ],
        "paper": {"citation": load_paper()["citation"], "runs": paper_runs()} if published else None,
        "slick": load_slick() if published else None,
    }


def comparables(record: ExperimentRecord) -> list[dict[str, Any]]:
    """The quantities that arms share with the paper, see :func:`kft_cli.report.paper.comparable`: means over seeds.

    A stage's movement is from the base model's detection to the level on the draw that measures: other exemplars, as in
    the paper, which draws them anew.
    """
    growth = {row.arm: row for row in record.growth}
    found = []
    for arm in record.arms:
        matrices = [matrix for matrix in record.transitions if matrix.arm == arm.name and matrix.point != BASE]
        if not matrices:
            continue
        before = {name: sum(line.values()) for name, line in matrices[0].counts.items()}
        own = growth.get(arm.name)
        base = next((row.count for row in record.highly_known if row.point == BASE), before["HighlyKnown"])
        counts = own.counts if own else [base, _highly_known(matrices[-1])]
        found.append(
            {
                "name": f"{record.name}, {arm.name} (mean of {len(arm.seeds)})",
                "n": sum(before.values()),
                "shares": {name: _share(count, sum(before.values())) for name, count in before.items()},
                "stages": [_stage(matrix) for matrix in matrices],
                "highly_known": counts,
                "growth_of_gain": own.of_gain.difference if own else None,
            }
        )
    return found


def _highly_known(matrix: MatrixRecord) -> float:
    return sum(line["HighlyKnown"] for line in matrix.counts.values())


def _stage(matrix: MatrixRecord) -> dict[str, Any]:
    highest = matrix.counts["HighlyKnown"]
    could = sum(sum(line.values()) for row, line in matrix.counts.items() if row != "HighlyKnown")
    rose = sum(
        count
        for row, line in matrix.counts.items()
        for column, count in line.items()
        if _LEVEL[column] > _LEVEL[row] and row != "HighlyKnown"
    )
    total = sum(highest.values())
    return {
        "before": BASE,
        "after": matrix.point,
        "greedy_upgraded": _share(rose, could),
        "forgotten": _share(total - highest["HighlyKnown"], total),
        "never_right_any_more": _share(highest["NeverRight"], total),
    }


def _share(count: float, n: float) -> dict[str, Any]:
    return {
        "count": round(count, 1),
        "n": round(n, 1),
        "share": count / n if n else None,
        "low": None,
        "high": None,
    }


def comparison_sections(comparison: Mapping[str, Any], records: Sequence[ExperimentRecord]) -> list[Section]:
    """The page of a comparison."""
    rows = [
        [
            record.name,
            *place_cells(row.arm, row.point),
            count_cell(row.shots),
            count_cell(row.level.seeds),
            level_cell(row.level),
            change_cell("test_accuracy", row.from_base),
        ]
        for record in records
        for row in record.accuracy
        if not row.held_out_types
    ]
    caption = (
        "Share of right answers to the test questions, with 95 % intervals for other seeds and types, and the change "
        "from the base model in points. Arms of different experiments are not tested against each other."
    )
    heads = "experiment | arm | point | exemplars > | seeds > | accuracy > | change >"
    sections = [Section("Test accuracy", (make_table(heads, rows, caption),))]
    if comparison["paper"]:
        known = [one for experiment in comparison["experiments"] for one in experiment["comparable"]]
        sections.append(
            Section("The paper's counts, for orientation", tuple(papers_counts_beside(known, comparison["paper"])))
        )
    if comparison["slick"]:
        sections.append(Section("SliCK's accuracies, for orientation", tuple(slick_blocks(comparison["slick"]))))
    return sections


def slick_blocks(slick: Mapping[str, Any]) -> list[Block]:
    """The accuracies of Gekhman et al. 2024 with their setting."""
    rows = [
        [row["trained_on"], percent(row["early_stop"]), percent(row["convergence"]), row["mark"]]
        for row in slick["accuracies"]
    ]
    words = f"Source: {plain(slick['citation'])}. {plain(slick['about'])} **Model, questions and protocol are others.**"
    return [words, make_table("trained on | early stop > | convergence > | how sure", rows)]


def beside_published(record: ExperimentRecord) -> list[Block]:
    """The section of an experiment's own page."""
    known = comparables(record)
    if not known:
        return []
    paper = {"citation": load_paper()["citation"], "runs": paper_runs()}
    return [*papers_counts_beside(known, paper), "**SliCK's accuracies**", *slick_blocks(load_slick())]
