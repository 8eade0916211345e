"""Published numbers of others in one closed format, every number with its source and how sure it is."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import model_validator
from typing_extensions import Self

from kft_tasks.records import Count, Record, Share, read_record

FOLDER = Path(__file__).parent / "published"

Published = Literal["gradual-learning", "slick"]
Mark = Literal["counted", "one source"]
"""How sure a number is: counted again in what the authors released, or read in one place."""

CategoryName = Literal["HighlyKnown", "MaybeKnown", "WeaklyKnown", "Unknown"]
LevelName = Literal["HighlyKnown", "MaybeKnown", "NeverRight"]


class SettingRecord(Record):
    """What was asked, and how."""

    models: str
    questions: str
    protocol: str
    correct: str
    source: str


class FirstDetection(Record):
    """Questions of each category with the untrained model."""

    counts: dict[CategoryName, Count]
    source: str
    mark: Mark


class TransitionRecord(Record):
    """Questions by category before and level after a stage."""

    before: str
    after: str
    source: str
    mark: Mark
    matrix: dict[CategoryName | Literal["NeverRight"], dict[LevelName, Count]]


class RunRecord(Record):
    """One model."""

    name: str
    n: Count
    first_detection: FirstDetection
    transitions: list[TransitionRecord]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if sum(self.first_detection.counts.values()) != self.n:
            raise ValueError("first_detection.counts: not n together")
        for step in self.transitions:
            if sum(sum(line.values()) for line in step.matrix.values()) != self.n:
                raise ValueError("transitions.matrix: not n together")
        return self


class AccuracyRecord(Record):
    """Test accuracy after training on some questions."""

    trained_on: str
    early_stop: Share
    convergence: Share
    source: str
    mark: Mark


class PublishedRecord(Record):
    """One publication."""

    format: Literal["kft-published/1"]
    name: str
    title: str
    citation: str
    about: str
    setting: SettingRecord
    runs: list[RunRecord]
    accuracies: list[AccuracyRecord]


def read_published(name: Published) -> PublishedRecord:
    """A publication that comes with kft."""
    return read_record(PublishedRecord, FOLDER / f"{name}.json", "Install kft again.", "not published numbers")
