"""What the inputs of a step say about the results of other steps: digests of the results, or the keys of the steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from kft_cli.report.run_layout import RunLayout
from kft_tasks.files import sha256_of_file
from kft_tasks.models.weights import adapter_digest
from kft_train.recipes.plan import Step
from kft_train.stage.training_record import read_training


class Results(Protocol):
    """Results of the steps that another step needs."""

    def adapter(self, point: str) -> str:
        """Identity of the adapter of a stage or control."""
        ...

    def detection(self, point: str) -> str:
        """Identity of the categories of the training questions at a point."""
        ...

    def steps_taken(self, stage: str) -> int | str:
        """Number of optimiser steps of a stage, or what that follows from."""
        ...


@dataclass(frozen=True)
class FolderResults:
    """Finished results in a run folder: their digests."""

    layout: RunLayout

    def adapter(self, point: str) -> str:
        """SHA-256 over the adapter."""
        return adapter_digest(self.layout.adapter(point))

    def detection(self, point: str) -> str:
        """SHA-256 of the category file."""
        return sha256_of_file(self.layout.detection(point))

    def steps_taken(self, stage: str) -> int:
        """As ``training.json`` counts them."""
        return int(read_training(self.layout.training(stage))["cost"]["steps"])


@dataclass(frozen=True)
class KeyResults:
    """Results that need not be there yet: the keys of the steps that make them, by name of the step."""

    keys: Mapping[str, str]

    def adapter(self, point: str) -> str:
        """Key of the training."""
        return self.keys[point]

    def detection(self, point: str) -> str:
        """Key of the detection."""
        return self.keys[Step("detect", point).name]

    def steps_taken(self, stage: str) -> str:
        """Key of the training."""
        return self.keys[stage]
