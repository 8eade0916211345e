"""The settings of a run as its report says them, those of older versions made complete."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from kft_tasks.protocol.protocol import EARLIER, Protocol

Report = Mapping[str, Any]
"""The JSON values of ``report.json``."""

EXEMPLARS = "pool of exemplars"
SEEDS = ("seed", "protocol.seed", "protocols.measurement.seed", "protocols.test.seed")
"""Settings in which two runs of one recipe differ when only their seed differs."""

_EARLIER = {**dataclasses.asdict(Protocol()), **EARLIER}
"""What a protocol is that does not say it: the defaults, but for values whose earlier behaviour was another one."""


def settings_of(report: Report) -> dict[str, Any]:
    """The run's settings, with a complete protocol.

    Reports of the first version know no ``protocols``: the test was asked under one exemplar set of the detection's own
    draw, with no exemplars of another type, nothing was measured on a draw of its own, and there was no control.
    """
    settings: Mapping[str, Any] = report["run"]["settings"]
    protocol = {**_EARLIER, **settings["protocol"]}
    if "protocols" in settings:
        return {**settings, "protocol": protocol}
    evaluation = {key: value for key, value in settings["evaluation"].items() if key != "retest"}
    return {
        **settings,
        "protocol": protocol,
        "protocols": {"test": {"seed": protocol["seed"], "exemplar_sets": 1}},
        "evaluation": {"other_type": False, "measurement": False, "control": False, **evaluation},
    }


def protocol_of_test(report: Report) -> dict[str, Any]:
    """The protocol under which the test questions were asked."""
    settings = settings_of(report)
    return {**settings["protocol"], **settings["protocols"].get("test", {})}


def protocol_of_categories(report: Report) -> dict[str, Any]:
    """The protocol behind the categories that a report shows.

    Two values more than a protocol has: ``draw``, which is "measurement" where the categories come from a draw that no
    question was chosen by, else "detection"; and ``later samples``, the samples at the points after the first where
    these are not as many as at the first, else None.
    """
    settings = settings_of(report)
    protocol, protocols = {**_EARLIER, **report["run"]["protocol"]}, settings["protocols"]
    if settings["evaluation"].get("measurement"):
        protocol |= protocols.get("measurement", {})
        return {**protocol, "draw": "measurement", "later samples": None}
    later = protocols.get("redetection", {}).get("samples", protocol["samples"])
    return {**protocol, "draw": "detection", "later samples": None if later == protocol["samples"] else later}


def flat_settings(reports: Sequence[Report]) -> list[dict[str, Any]]:
    """Settings and identity of each run as ``{"stages.0.learning_rate": 0.0003}``.

    Where one run says how the protocol of a purpose differs (``protocols.test.max_tokens``), the others say what it is
    there too.
    """
    runs = [_flat(settings_of(report)) | _identity(report) for report in reports]
    for key in dict.fromkeys(key for run in runs for key in run if key.startswith("protocols.")):
        for run in runs:
            run.setdefault(key, run.get(f"protocol.{key.split('.', 2)[2]}"))
    return runs


def differing(names: Sequence[str], settings: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Settings that differ, with their values by run. A run that does not say a setting has no value.

    A setting of a stage that some run does not have is listed only if it differs between the others.
    """
    rows = []
    for key in dict.fromkeys(itertools.chain.from_iterable(settings)):
        values = {name: one[key] for name, one in zip(names, settings, strict=True) if key in one}
        first = next(iter(values.values()))
        unsaid = any(key not in one and _has_stage(one, key) for one in settings)
        if unsaid or any(value != first for value in values.values()):
            rows.append({"key": key, "values": values})
    return rows


def _has_stage(settings: Mapping[str, Any], key: str) -> bool:
    """Whether a run has the stage that a setting is of; true for settings of no stage."""
    name, _, rest = key.partition(".")
    return name != "stages" or f"stages.{rest.partition('.')[0]}.name" in settings


def _identity(report: Report) -> dict[str, Any]:
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


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    """Nested settings by dotted key; a mixture stays one value, a list of its parts. What is empty is left out."""
    if isinstance(value, Mapping):
        items = ((f"{path}.{key}" if path else str(key), item) for key, item in value.items())
        return dict(itertools.chain.from_iterable(_flat(item, key).items() for key, item in items))
    if isinstance(value, list) and path == "stages":
        return dict(itertools.chain.from_iterable(_flat(item, f"{path}.{i}").items() for i, item in enumerate(value)))
    if isinstance(value, list) and path.endswith(".mixture"):
        return {path: [{key: item for key, item in part.items() if item is not None} for part in value]}
    return {path: value}
