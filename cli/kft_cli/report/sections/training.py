"""Sections about training: what each stage trained on, and how trained and untrained questions moved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kft_cli.display.tables import (
    NONE,
    Block,
    Figure,
    Table,
    count_and_share,
    make_table,
    number,
    plain,
)
from kft_cli.report.sections.words import INTERVALS, Report, exemplars


def stages(report: Report) -> list[Block]:
    """For each stage its mixture, its epochs and the epoch that was kept."""
    shots = exemplars(report["run"]["validation_shots"])
    blocks: list[Block] = [
        "A stage trains on a *mixture* of questions chosen by category. An *epoch* is one pass over the mixture. After "
        f"each epoch, the validation questions are asked with {shots}. The epoch with the most right answers is kept. "
        "These scores choose the epoch and are not evidence: the best of several epochs looks better than it is."
    ]
    for stage in report["stages"]:
        heading = f"**{plain(stage['name'])}**: {number(stage['questions'])} questions"
        blocks += [heading, _part_table(stage), _epoch_table(stage), _chosen_words(stage)]
    caption = "Validation accuracy by epoch; epoch 0 is before training. Bars: 95 % intervals."
    return [*blocks, Figure("figures/validation.svg", caption)]


def _part_table(stage: Mapping[str, Any]) -> Table:
    rows = [
        [
            part["name"],
            number(part["available"]),
            number(part["taken"]),
            "; ".join(f"{reason} ({number(count)})" for reason, count in part["reasons"].items()) or NONE,
        ]
        for part in stage["parts"]
    ]
    before = plain(stage["before"])
    caption = f"*Available*: training questions that fit the description of the part, by the detection at {before}."
    return make_table("part | available > | taken > | why they were taken", rows, caption)


def _epoch_table(stage: Mapping[str, Any]) -> Table:
    rows = [
        [
            f"{row['epoch']}" + (" (kept)" if row["epoch"] == stage["chosen_epoch"] else ""),
            _loss(row["loss"]),
            _loss(row["validation_loss"]),
            count_and_share(row),
        ]
        for row in stage["epochs"]
    ]
    return make_table(["epoch", "training loss >", "validation loss >", f"validation {stage['scorer']} >"], rows)


def _loss(value: float | None) -> str:
    return NONE if value is None else f"{value:.3f}"


def _chosen_words(stage: Mapping[str, Any]) -> str:
    start = stage["epochs"][0]
    chosen = next(row for row in stage["epochs"] if row["epoch"] == stage["chosen_epoch"])
    right, of = number(chosen["count"]), number(chosen["n"])
    if not stage["better_than_start"]:
        return (
            f"**This stage did not beat its starting point** in validation. Its best epoch, {stage['chosen_epoch']}, "
            f"has {right} of {of} right; before the stage it was {number(start['count'])}. The epoch was kept all the "
            "same, and everything below builds on it."
        )
    early = " Training stopped early: no later epoch had more." if stage["stopped_early"] else ""
    return (
        f"Epoch {stage['chosen_epoch']} was kept, because it has the most right answers: {right} of {of}. Before the "
        f"stage there were {number(start['count'])}.{early}"
    )


def trained_and_untrained(report: Report) -> list[Block]:
    """How many trained and untrained questions moved, by category before, stage by stage.

    Nothing where every point was measured: the section on what changed tells it on draws of its own.
    """
    if report.get("measured"):
        return []
    intro = (
        "The paper argues that training on MaybeKnown questions also lifts other questions. These tables compare the "
        "questions in a stage's mixture with all others: how many were upgraded or, if HighlyKnown, forgotten? They "
        "describe and test nothing: the detection that puts a question into its group is also the one that its "
        "movement starts from, so any change of the model, also a random one, moves the groups towards the middle. "
        "Stages are not added up, because a later stage trains on questions chosen for having risen in an earlier one."
    )
    single = {(stage["before"], stage["name"]) for stage in report["stages"]}
    spans = [span for span in report["trained"] if (span["before"], span["after"]) in single]
    return [intro, *(_trained_table(span) for span in spans)]


def _trained_table(span: Mapping[str, Any]) -> Table:
    rows = [
        [
            "trained" if row["trained"] else "not trained",
            row["category"],
            row["movement"],
            count_and_share(row["share"]),
        ]
        for row in span["rows"]
    ]
    heads = "questions | category before | what | count and share >"
    return make_table(heads, rows, f"{plain(span['before'])} → {plain(span['after'])}. {INTERVALS}")
