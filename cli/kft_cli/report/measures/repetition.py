"""What a run cost and how to repeat it."""

from __future__ import annotations

from typing import Any

from kft_cli.report.run_data import RunData, command_of, question_digest
from kft_cli.report.run_layout import BASE


def measure_cost(data: RunData) -> dict[str, Any]:
    """Seconds, tokens and generations of every step, and their sums."""
    rows = [
        {
            "step": step["step"],
            "seconds": step["seconds"],
            "cpu_seconds": step.get("cpu_seconds"),
            **{key: (step.get("tokens") or {}).get(key) for key in ("prefilled", "decoded", "trained")},
            **{key: (step.get("generations") or {}).get(key) for key in ("made", "saved")},
        }
        for step in data.steps
    ]
    total = {key: sum(row[key] or 0 for row in rows) for key in rows[0] if key != "step"}
    return {"steps": rows, "total": total}


def describe_repetition(data: RunData) -> dict[str, Any]:
    """Command, versions, hardware, seeds, digests and the resolved recipe."""
    base = data.base.header
    seeds = {"recipe": data.recipe.seed, "protocol": base.protocol.seed}
    if measured := data.measurements.get(BASE):
        seeds["measurement"] = measured.header.protocol.seed
    seeds["test"] = data.recipe.protocol_for("test").seed
    asked = {point: one for point, one in {**data.measurements, **data.detections}.items() if point != BASE}
    adapters = {f"adapter after {point}": detection.header.model.adapter for point, detection in asked.items()}
    return {
        "command": command_of(data.about),
        "kft_version": data.about.get("kft_version"),
        "created": data.about.get("created"),
        "versions": data.about.get("versions") or {},
        "hardware": data.about.get("hardware") or {},
        "seeds": seeds,
        "digests": {
            "recipe": data.recipe.digest(),
            "model weights": base.model.weights,
            **adapters,
            "protocol": base.protocol.digest(),
            "training questions": base.questions.digest,
            "exemplars": base.questions.exemplars,
            "test questions": question_digest(data.test_answers),
        },
        "files": data.digests,
        "recipe": data.recipe_text,
    }
