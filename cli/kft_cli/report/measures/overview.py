"""What was run, and what it came to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kft_cli.report.run_data import RunData
from kft_cli.report.run_layout import BASE
from kft_cli.report.sections.readings import outcome


def describe_run(data: RunData) -> dict[str, Any]:
    """Model, questions, protocol and settings."""
    base, questions = data.base.header, data.recipe.questions
    validation = data.stages[0].training["epochs"][0]["asked"]
    return {
        "name": data.recipe.name,
        "description": data.recipe.description,
        "points": list(data.points),
        "model": data.recipe.model.id,
        "weights": base.model.weights,
        "dtype": base.model.dtype,
        "question_set": questions.set,
        "question_set_version": base.questions.version,
        "questions": {"train": base.questions.count, "validation": validation, "test": len(data.test_answers)},
        "protocol": base.protocol.to_json(),
        "validation_shots": data.recipe.evaluation.validation_shots,
        "exhaustive": base.exhaustive,
        "seed": data.recipe.seed,
        "settings": data.recipe.model_dump(mode="json", exclude={"name", "description"}),
    }


def measure_verdict(data: RunData, test: Mapping[str, Any]) -> dict[str, Any]:
    """What a reader wants to know first: whether test accuracy rose.

    Validation accuracy is not in it: the epochs were chosen by it.

    Args:
        test: the section that :func:`kft_cli.report.measures.accuracy.measure_test` made.
    """
    span = (BASE, data.points[-1])
    last = [row for row in test["differences"] if (row["before"], row["after"]) == span and not row["other_type"]]
    return {"test": [{"shots": row["shots"], "outcome": outcome(row)} for row in last]}
