"""Tiny experiments for tests: their graph needs a model folder and questions, and no model is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from kft_cli.experiment.engine import Prepared, prepare
from kft_cli.experiment.file import load_experiment

TWO = {"stage1": None, "method": {"description": "two stages", "stages": ["stage1", "stage2"]}}


def write_experiment(project: Path, name: str = "tiny", **values: Any) -> Path:
    """Write an experiment on ``recipe.yaml`` of the same folder."""
    path = project / f"{name}.yaml"
    complete = {"name": name, "recipe": "./recipe.yaml", "arms": TWO, "seeds": [1], **values}
    path.write_text(yaml.safe_dump(complete, sort_keys=False), encoding="utf-8")
    return path


def prepared(project: Path, folder: Path, **values: Any) -> Prepared:
    """A tiny experiment whose folder is ready for workers."""
    return prepare(load_experiment(str(write_experiment(project, **values))), folder, ["kft", "experiment"])


def keys_of(one: Prepared) -> Mapping[tuple[str, int, str], str]:
    """Key of every step, by arm, seed and name of the step."""
    return {(run.arm, run.seed, name): key for run in one.graph.runs for name, key in run.steps.items()}
