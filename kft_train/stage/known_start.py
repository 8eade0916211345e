"""The validation result that a stage starts with, where the stage before has already measured it.

A stage with ``start: continue`` starts with exactly the adapter that the stage before saved, and that adapter was
validated when its epoch was chosen. If everything else that a validation depends on is the same, epoch 0 is taken from
the ``training.json`` beside the adapter instead of being asked again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kft_tasks.errors import DataError
from kft_tasks.files import sha256_of_file, sha256_of_json
from kft_train.stage.adapters import WEIGHTS, base_path
from kft_train.stage.request import SUMMARY, StageRequest
from kft_train.stage.training_record import read_training

VALIDATED = "validated"  # in training.json; files of earlier versions do not have it


def validation_key(request: StageRequest, machine: Mapping[str, Any]) -> str:
    """Digest of everything that a validation result depends on besides the adapter.

    Args:
        machine: precision, batch size, processes and library versions, as JSON values.
    """
    return sha256_of_json(
        {
            "machine": dict(machine),
            "model": request.weights or [base_path(request.model), request.revision],
            "protocol": request.protocol.stored(),
            "asking": request.validation_protocol.stored(),
            "loss": request.stage.loss,
            "validation": [dataclasses.asdict(prompt) for prompt in request.validation],
        }
    )


def validated(adapter: Path, key: str) -> dict[str, str]:
    """The entry of ``training.json`` that says what was validated and how.

    Args:
        adapter: folder of the saved adapter.
    """
    return {"adapter": sha256_of_file(adapter / WEIGHTS), "key": key}


def known_start(request: StageRequest, key: str) -> dict[str, float] | None:
    """``loss``, ``right`` and ``asked`` of the adapter that the stage continues, or None if they must be measured."""
    if request.stage.start != "continue" or request.previous is None:
        return None
    try:
        summary = read_training(request.previous.parent / SUMMARY)
        if summary[VALIDATED] != validated(request.previous, key):
            return None
        chosen = next(row for row in summary["epochs"] if row["epoch"] == summary["chosen_epoch"])
        return {"loss": chosen["validation_loss"], "right": chosen["right"], "asked": chosen["asked"]}
    except (DataError, OSError, LookupError, TypeError, StopIteration):
        return None  # an adapter from elsewhere, or a file of an earlier version
