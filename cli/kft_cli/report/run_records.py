"""``run.json`` and ``step.json`` of a run folder, as they are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field

from kft_tasks.categories.header_record import ModelRecord
from kft_tasks.files import read_json
from kft_tasks.records import Count, Record, Seconds, parse_record


class HardwareRecord(Record):
    """What a run ran on."""

    platform: str | None = None
    cpu: str | None = None
    cores: Count | None = None
    memory_gb: Seconds | None = None
    threads: Count | None = None
    accelerator: str | None = None


class AboutRecord(Record):
    """``run.json``: what made the run. Nothing of it is needed to report the run."""

    kft_version: str | None = None
    recipe: str | None = None
    recipe_digest: str | None = None
    created: str | None = None
    command: list[str] | str | None = None
    versions: dict[str, str] | None = None
    hardware: HardwareRecord | None = None
    model: ModelRecord | None = None
    stages: list[str] | None = None
    points: list[str] | None = None


class OutputRecord(Record):
    """A file that a step made."""

    bytes: Count
    sha256: str


class StartedRecord(Record):
    """``step.json`` of a step that may not be finished; costs of a finished one."""

    step: str
    inputs: str
    finished: str | None = None
    seconds: Seconds | None = None
    cpu_seconds: Seconds | None = None
    tokens: dict[str, Seconds] | None = Field(default_factory=dict)
    generations: dict[str, Count] | None = Field(default_factory=dict)
    outputs: dict[str, OutputRecord] | None = None
    """By path in the folder of the step; files of earlier versions do not have it."""


class StepRecord(StartedRecord):
    """``step.json`` of a finished step."""

    seconds: Seconds


def read_about(path: Path) -> dict[str, Any]:
    """The content of ``run.json``, checked.

    Raises:
        DataError: it cannot be read, or is something else.
    """
    return _checked(AboutRecord, path, "Restore the file, or run again in another folder.")


def read_step(path: Path, remedy: str) -> dict[str, Any]:
    """The content of the ``step.json`` of a finished step, checked.

    Raises:
        DataError: it cannot be read, or is something else.
    """
    return _checked(StepRecord, path, remedy)


def read_started(path: Path) -> dict[str, Any]:
    """The content of the ``step.json`` of any step, checked.

    Raises:
        DataError: it cannot be read, or is something else.
    """
    return _checked(StartedRecord, path, f"Remove {path.parent} and run again: the step is then done again.")


def _checked(model: type[Record], path: Path, remedy: str) -> dict[str, Any]:
    value = read_json(path, finite=True)
    parse_record(model, value, path, remedy)
    result: dict[str, Any] = value
    return result
