"""How a grader's verdicts agree with a judgement: shares with their intervals."""

from __future__ import annotations

from typing import Any

from kft_cli.stats.intervals import wilson_share
from kft_tasks.grading.agreement import Confusion


def agreement_shares(numbers: Confusion) -> dict[str, dict[str, Any]]:
    """Accuracy over all answers, and precision and recall of CORRECT; an unreadable verdict agrees with nobody."""
    return {
        "accuracy": wilson_share(numbers.agreed, numbers.total).to_json(),
        "precision": wilson_share(numbers.right.correct, numbers.accepted).to_json(),
        "recall": wilson_share(numbers.right.correct, numbers.right.total).to_json(),
    }
