"""The step that measures what has nothing to do with the questions: held-out text, and further tasks of lm-eval."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from kft_cli.report.run_layout import FURTHER_TASKS, TEXT_LOSS
from kft_tasks.evaluation.further_tasks import evaluate_tasks, write_further_tasks
from kft_tasks.evaluation.text_loss import digest_passages, held_out_passages, measure_text, write_text_loss
from kft_tasks.progress import ProgressCallback
from kft_train.recipes.recipe import EvaluationConfig


def elsewhere_inputs(evaluation: EvaluationConfig) -> dict[str, Any]:
    """What the step depends on, besides the model."""
    return {
        "text": digest_passages(held_out_passages()) if evaluation.text else None,
        "also": list(evaluation.also),
        "folder": evaluation.also_folder,
        "limit": evaluation.also_limit,
    }


def measure_elsewhere(
    evaluation: EvaluationConfig, load: Callable[[], Any], folder: Path, progress: ProgressCallback
) -> dict[str, float]:
    """Do the step; return the tokens that it took.

    Args:
        load: gives the loaded model of lm-eval.
        folder: where the files go.
    """
    tokens: dict[str, float] = {}
    if evaluation.text:
        loss = measure_text(held_out_passages(), load(), progress)
        write_text_loss(folder / TEXT_LOSS, loss)
        tokens = {"prefilled": sum(passage.tokens for passage in loss.passages), "decoded": 0}
    if evaluation.also:
        found = evaluate_tasks(evaluation.also, load(), evaluation.also_folder, evaluation.also_limit)
        write_further_tasks(folder / FURTHER_TASKS, found)
    return tokens
