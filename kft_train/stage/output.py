"""From the last checkpoint to the finished output folder. Works on files only; no model is loaded."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kft_tasks.errors import DataError
from kft_tasks.files import write_json
from kft_train.recipes.sft_config import sft_values
from kft_train.stage.adapters import base_path, check_trained, save_alone
from kft_train.stage.checkpoints import read_state, saving
from kft_train.stage.known_start import VALIDATED, validated
from kft_train.stage.request import FORMAT, SUMMARY, StageRequest
from kft_train.stage.training_log import epoch_table, training_cost


def check_outcome(request: StageRequest, checkpoint: Path) -> None:
    """Check that a trained stage has a result worth saving.

    Args:
        checkpoint: the newest; it records which one is the best.

    Raises:
        DataError: training changed nothing; or no epoch is better than the start and ``keep_if_worse`` is false.
    """
    state = read_state(checkpoint)
    check_trained(_best(checkpoint, state), request.previous, request.stage)
    summary = _summary(request, state)
    if not (summary["better_than_start"] or request.stage.keep_if_worse):
        start = summary["epochs"][0]
        raise DataError(
            f"Stage {request.stage.name!r}: no epoch is better in validation than the starting point ({start['right']}/"
            f"{start['asked']} right), and keep_if_worse is false. Change how it trains, or set keep_if_worse: true."
        )


def commit(request: StageRequest, checkpoint: Path, facts: Mapping[str, Any], key: str) -> None:
    """Write adapter and summary to a temporary folder, rename it to the output folder, remove the checkpoints.

    Args:
        checkpoint: the newest; it records which one is the best.
        facts: about the machine and the processes, added to ``training.json``.
        key: of its validation, see :func:`kft_train.stage.known_start.validation_key`.

    Raises:
        DiskFullError: there is no space left; what was trained is still in the checkpoints.
    """
    state = read_state(checkpoint)
    scratch = request.output.parent / f".{request.output.name}.unfinished"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    with saving(scratch):
        save_alone(_best(checkpoint, state), scratch / "adapter", request.model)
        entry = {VALIDATED: validated(scratch / "adapter", key)}
        write_json(scratch / SUMMARY, {**_summary(request, state), **facts, **entry})
    scratch.replace(request.output)
    shutil.rmtree(request.work, ignore_errors=True)


def _best(checkpoint: Path, state: Mapping[str, Any]) -> Path:
    return checkpoint.parent / f"checkpoint-{state['best_global_step']}"


def _summary(request: StageRequest, state: dict[str, Any]) -> dict[str, Any]:
    stage, scorer = request.stage, request.validation_protocol.scorer
    table = epoch_table(state["log_history"], scorer)
    start, trained = table[0], table[1:]
    chosen = next(row for row in trained if row["step"] == state["best_global_step"])
    better = chosen["right"] > start["right"]
    verdict = "is better than" if better else "is the best trained, but NOT better than"
    note = (
        f"Epoch {chosen['epoch']} ({chosen['right']}/{chosen['asked']} right in validation) {verdict} "
        f"the starting point ({start['right']}/{start['asked']}); it is saved."
    )
    if request.validation_left_out:
        note += (
            f" Left out of validation: {request.validation_left_out} of "
            f"{request.validation_left_out + len(request.validation)} questions, which the mixture repeats "
            "(the same text, or the same subject and type)."
        )
    return {
        "format": FORMAT,
        "request": request.digest(),
        "note": note,
        "chosen_epoch": chosen["epoch"],
        "better_than_start": better,
        "keep_if_worse": stage.keep_if_worse,
        **({"max_steps": request.max_steps} if request.max_steps else {}),
        "stopped_early": state["global_step"] < state["max_steps"],
        "epochs": table,
        "cost": training_cost(state["log_history"]),
        "questions": len(request.mixture.items),
        "validation_left_out": request.validation_left_out,
        "model": base_path(request.model),
        "stage": stage.model_dump(mode="json"),
        "adapter": request.adapter.model_dump(mode="json"),
        "sft": sft_values(stage, request.seed, scorer),
    }
