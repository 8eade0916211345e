"""The request for a training stage, and its result. Importing this module loads no heavy library."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kft_tasks.errors import DataError, StateError, UsageError
from kft_tasks.files import read_json, sha256_of_file, sha256_of_json
from kft_tasks.protocol.protocol import Protocol
from kft_train.data.mixture import Mixture
from kft_train.data.rows import ValidationPrompt
from kft_train.recipes.recipe import AdapterConfig, StageConfig
from kft_train.stage.adapters import CONFIG, WEIGHTS, base_path, check_adapter

FORMAT = "kft-training/1"
SUMMARY = "training.json"


@dataclass(frozen=True)
class StageRequest:
    """Everything that a stage's result depends on, and where the result goes.

    Attributes:
        model: local folder (or hub id) of the base model.
        weights: digest of its weights, so that another model in the same folder is noticed; "" if unknown.
        previous: adapter folder of the last stage; required unless ``stage.start`` is ``new``.
        validation: questions of the validation split, each with its exemplars; they choose the epoch.
        work: folder for checkpoints while training; removed when the stage is finished.
        output: folder of ``adapter/`` and ``training.json``; appears complete when the stage is finished.
        adapter: shape of a new LoRA; with ``start: continue`` the previous one keeps its own shape.
    """

    stage: StageConfig
    adapter: AdapterConfig
    protocol: Protocol
    seed: int
    model: str
    mixture: Mixture
    validation: tuple[ValidationPrompt, ...]
    work: Path
    output: Path
    previous: Path | None = None
    weights: str = ""
    revision: str | None = None

    def digest(self) -> str:
        """SHA-256 of the content: the same request in other folders has the same digest."""
        pools = {name: [item.question.id for item in pool] for name, pool in self.mixture.pools.items()}
        return sha256_of_json(
            {
                **({"pools": pools} if pools else {}),
                "stage": self.stage.model_dump(mode="json"),
                "adapter": self.adapter.model_dump(mode="json"),
                "protocol": self.protocol.stored(),
                "seed": self.seed,
                "model": self.weights or [base_path(self.model), self.revision],
                "mixture": [
                    [item.question.id, item.question.question, *item.question.answers] for item in self.mixture.items
                ],
                "validation": [dataclasses.asdict(prompt) for prompt in self.validation],
                "previous": [sha256_of_file(self.previous / name) for name in (WEIGHTS, CONFIG)]
                if self.previous
                else None,
            }
        )


@dataclass(frozen=True)
class StageResult:
    """A finished stage.

    Attributes:
        summary: the content of ``training.json``.
    """

    folder: Path
    summary: dict[str, Any]

    @property
    def adapter(self) -> Path:
        """The adapter on the original base model, whatever the stage started from."""
        return self.folder / "adapter"


def finished_stage(request: StageRequest) -> StageResult | None:
    """The result of a request that is already finished, else None. Loads no heavy library.

    Raises:
        StateError: the output folder exists and holds another request's result, or none.
    """
    if not request.output.exists():
        return None
    summary = read_json(request.output / SUMMARY) if (request.output / SUMMARY).is_file() else {}
    if summary.get("format") != FORMAT or summary.get("request") != request.digest():
        raise StateError(
            f"{request.output}: holds something other than this stage. Remove it, or choose another folder."
        )
    return StageResult(request.output, summary)


def check_request(request: StageRequest) -> None:
    """Raise DataError or UsageError for a request that cannot be trained."""
    if not request.mixture.items:
        raise DataError(f"Stage {request.stage.name!r} has no questions to train on. Change its mixture.")
    if not request.validation:
        raise DataError(f"Stage {request.stage.name!r} has no validation questions to choose its epoch. Add some.")
    for prompt in request.validation:
        if prompt.question.split == "test":
            raise DataError(
                f"Validation question {prompt.question.id!r} is of the test split. Use the validation split."
            )
    trained = {item.question.id for item in request.mixture.all_items}
    if shared := sorted(trained.intersection(prompt.question.id for prompt in request.validation)):
        raise DataError(f"Question {shared[0]!r} is in the mixture and in validation. Keep the splits apart.")
    if (request.previous is None) != (request.stage.start == "new"):
        needs = "starts from no adapter" if request.previous else "needs the adapter of the stage before"
        raise UsageError(f"Stage {request.stage.name!r} (start: {request.stage.start}) {needs}. Correct `previous`.")
    if request.previous is not None:
        check_adapter(request.previous)
