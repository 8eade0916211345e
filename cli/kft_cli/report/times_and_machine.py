"""The block of ``report.json`` with what two identical runs differ in: times, the command and the machine.

:func:`set_apart` moves it out of the sections when a report is written, :func:`put_back` into them when it is read, so
that everything that renders or compares reports finds the times beside what they belong to. Reports of earlier
versions have them there already, and no block.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kft_cli.report.run_layout import TRAINING
from kft_cli.report.run_records import HardwareRecord
from kft_tasks.errors import DataError
from kft_tasks.records import Record, parse_record

BLOCK = "times_and_machine"
_TIMES = ("seconds", "cpu_seconds")
_COSTS = (*_TIMES, "prefilled")  # a process that goes on where another ended prefills again what that one had kept
_REPEAT = ("command", "created", "versions", "hardware")


class TimesRecord(Record):
    """Seconds, CPU seconds and tokens prefilled, where they are known."""

    seconds: float | None = None
    cpu_seconds: float | None = None
    prefilled: float | None = None


class BlockRecord(Record):
    """The whole block.

    Attributes:
        steps: by step.
        training: by stage, of its optimiser steps.
        files: SHA-256 of files that hold times, by path in the run folder.
    """

    command: str
    created: str | None
    versions: dict[str, str]
    hardware: HardwareRecord
    steps: dict[str, TimesRecord]
    total: TimesRecord
    training: dict[str, TimesRecord]
    files: dict[str, str]


def set_apart(report: Mapping[str, Any]) -> dict[str, Any]:
    """The report with its times and machine in a block of their own; the report given is left as it is."""
    rest = copy.deepcopy(dict(report))
    cost, repeat = rest["cost"], rest["repeat"]
    timed = [name for name in repeat["files"] if name.rpartition("/")[2] == TRAINING]
    block = {
        **_take(repeat, _REPEAT),
        "steps": {row["step"]: _take(row, _COSTS) for row in cost["steps"]},
        "total": _take(cost["total"], _COSTS),
        "training": {stage["name"]: _take(stage["training_cost"], _TIMES) for stage in rest["stages"]},
        "files": _take(repeat["files"], timed),
    }
    return {**rest, BLOCK: block}


def put_back(report: dict[str, Any], path: Path) -> dict[str, Any]:
    """The report with its block, if it has one, distributed over the sections.

    Args:
        report: as decoded from a file.
        path: that file, for messages.

    Raises:
        DataError: the block is broken, or not of these sections.
    """
    if BLOCK not in report:
        return report
    rest = {key: copy.deepcopy(value) for key, value in report.items() if key != BLOCK}
    remedy = "Write it again with `kft report RUN`."
    parse_record(BlockRecord, report[BLOCK], path, remedy, f"broken {BLOCK}")
    block = copy.deepcopy(report[BLOCK])
    try:
        cost, repeat = rest["cost"], rest["repeat"]
        repeat.update({key: block[key] for key in _REPEAT})
        repeat["files"] = dict(sorted({**repeat["files"], **block["files"]}.items()))
        cost["total"].update(block["total"])
        for row in cost["steps"]:
            row.update(block["steps"][row["step"]])
        for stage in rest["stages"]:
            stage["training_cost"].update(block["training"][stage["name"]])
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{path}: its {BLOCK} is not that of its other sections. {remedy}") from error
    return rest


def _take(values: dict[str, Any], keys: tuple[str, ...] | list[str]) -> dict[str, Any]:
    return {key: values.pop(key) for key in keys if key in values}
