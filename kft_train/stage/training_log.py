"""What a trainer's log says: scores per epoch, when to stop, what training cost. Pure functions of the log.

The log is ``log_history`` in trainer_state.json. It is part of every checkpoint, so a resumed stage has it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

Log = Sequence[Mapping[str, Any]]


def epoch_scores(log: Log, scorer: str) -> list[float]:
    """Validation score of each epoch trained so far, in order, without epoch 0 (before training)."""
    return [entry[f"eval_{scorer}"] for entry in log if f"eval_{scorer}" in entry and entry["step"] > 0]


def out_of_patience(scores: Sequence[float], patience: int | None) -> bool:
    """Whether ``patience`` epochs have passed since the best one; of equal epochs the first is the best."""
    return patience is not None and bool(scores) and len(scores) - 1 - scores.index(max(scores)) >= patience


def has_ended(state: Mapping[str, Any], scorer: str, patience: int | None) -> bool:
    """Whether training must not continue from this trainer state."""
    ended: bool = state["global_step"] >= state["max_steps"]
    return ended or out_of_patience(epoch_scores(state["log_history"], scorer), patience)


def epoch_table(log: Log, scorer: str) -> list[dict[str, Any]]:
    """One row per epoch, from epoch 0: training loss per loss token, validation loss, correct answers."""
    rows: list[dict[str, Any]] = []
    for entry in log:
        if f"eval_{scorer}" not in entry:
            continue
        epoch = math.ceil(entry["epoch"] - 1e-6)  # the last one may be cut short
        rows.append(
            {
                "epoch": epoch,
                "step": entry["step"],
                "loss": mean_loss([step for step in log if "loss" in step and math.ceil(step["epoch"]) == epoch]),
                "validation_loss": entry["eval_loss"],
                scorer: entry[f"eval_{scorer}"],
                "right": entry["eval_right"],
                "asked": entry["eval_asked"],
            }
        )
    return rows


def mean_loss(steps: Log) -> float | None:
    """Mean loss over all loss tokens of some steps, or None if there are none."""
    tokens = sum(step["loss_tokens"] for step in steps)
    return sum(step["loss"] * step["loss_tokens"] for step in steps) / tokens if tokens else None


def training_cost(log: Log) -> dict[str, float]:
    """Steps, non-padding input tokens, loss tokens, seconds and CPU seconds of the whole training.

    Of interrupted runs what the checkpoint holds that was resumed from: steps that were done again count once.
    """
    steps = [entry for entry in log if "loss" in entry]
    return {
        "steps": len(steps),
        "input_tokens": int(steps[-1]["num_input_tokens_seen"]) if steps else 0,
        "loss_tokens": sum(step["loss_tokens"] for step in steps),
        "seconds": steps[-1]["seconds"] if steps else 0.0,
        "cpu_seconds": steps[-1].get("cpu_seconds", 0.0) if steps else 0.0,
    }
