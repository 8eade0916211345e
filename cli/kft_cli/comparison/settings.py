"""The settings of a run as its report says them, those of older versions made complete."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from kft_tasks.protocol.protocol import Protocol

Report = Mapping[str, Any]
"""The JSON values of ``report.json``."""

EXEMPLARS = "pool of exemplars"
SEEDS = ("seed", "protocol.seed", "protocols.measurement.seed", "protocols.test.seed")
"""Settings in which two runs of one recipe differ when only their seed differs."""

_EARLIER = {**dataclasses.asdict(Protocol()), "skip_blank_lines": False}
"""What a protocol is that does not say it: the defaults, but for values whose earlier behaviour was another one."""


def settings_of(report: Report) -> dict[str, Any]:
    """The run's settings.

    Reports of the first version know no ``protocols``: the test was asked under one exemplar set of the detection's own
    draw, with no exemplars of another type, nothing was measured on a draw of its own, and there was no control.
    """
    settings: Mapping[str, Any] = report["run"]["settings"]
    if "protocols" in settings:
        return dict(settings)
    evaluation = {key: value for key, value in settings["evaluation"].items() if key != "retest"}
    return {
        **settings,
        "protocols": {"test": {"seed": settings["protocol"]["seed"], "exemplar_sets": 1}},
        "evaluation": {"other_type": False, "measurement": False, "control": False, **evaluation},
    }


def protocol_of_test(report: Report) -> dict[str, Any]:
    """The protocol under which the test questions were asked."""
    settings = settings_of(report)
    return {**_EARLIER, **settings["protocol"], **settings["protocols"].get("test", {})}


def protocol_of_categories(report: Report) -> dict[str, Any]:
    """The protocol behind the categories that a report shows.

    Two values more than a protocol has: ``draw``, which is "measurement" where the categories come from a draw that no
    question was chosen by, else "detection"; and ``later samples``, the samples at the points after the first.
    """
    settings = settings_of(report)
    protocol, protocols = {**_EARLIER, **report["run"]["protocol"]}, settings["protocols"]
    if settings["evaluation"].get("measurement"):
        protocol |= protocols.get("measurement", {})
        return {**protocol, "draw": "measurement", "later samples": protocol["samples"]}
    later = protocols.get("redetection", {}).get("samples", protocol["samples"])
    return {**protocol, "draw": "detection", "later samples": later}


def identity(report: Report) -> dict[str, Any]:
    """What a run was made on besides its recipe."""
    digests = report["repeat"]["digests"]
    return {
        "number of stages": len(report["stages"]),
        "weights of the base model": digests["model weights"],
        "precision of the base model": report["run"]["dtype"],
        "training questions": digests["training questions"],
        "test questions": digests["test questions"],
        EXEMPLARS: digests["exemplars"],
        "kft version": report["repeat"]["kft_version"],
    }


def flat(value: Any, path: str = "") -> dict[str, Any]:
    """Nested settings as ``{"stages.0.learning_rate": 0.0003}``; a mixture stays one value, a list of its parts."""
    if isinstance(value, Mapping) and value:
        items = ((f"{path}.{key}" if path else str(key), item) for key, item in value.items())
        return dict(itertools.chain.from_iterable(flat(item, key).items() for key, item in items))
    if isinstance(value, list) and path == "stages":
        return dict(itertools.chain.from_iterable(flat(item, f"{path}.{i}").items() for i, item in enumerate(value)))
    if isinstance(value, list) and path.endswith(".mixture"):
        return {path: [{key: item for key, item in part.items() if item is not None} for part in value]}
    return {path: value}


def differing(names: Sequence[str], settings: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Settings that differ, with their values by run. A run that lacks a stage has no values for it."""
    keys = dict.fromkeys(itertools.chain.from_iterable(settings))
    rows = []
    for key in keys:
        values = {name: one[key] for name, one in zip(names, settings, strict=True) if key in one}
        first = next(iter(values.values()))
        if any(value != first for value in values.values()):
            rows.append({"key": key, "values": values})
    return rows
