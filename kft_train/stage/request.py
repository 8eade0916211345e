"""The request for a training stage, and its result. Importing this module loads no heavy library."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kft_tasks.errors import DataError, KftError, StateError, UsageError
from kft_tasks.files import read_json, sha256_of_file, sha256_of_json
from kft_tasks.models.adapter_config import CONFIG
from kft_tasks.protocol.protocol import Protocol
from kft_train.data.mixture import Mixture
from kft_train.data.repeats import Repeats
from kft_train.data.rows import ValidationPrompt
from kft_train.recipes.recipe import AdapterConfig, StageConfig
from kft_train.stage.adapters import WEIGHTS, base_path, check_adapter
from kft_train.stage.training_record import read_training

FORMAT = "kft-training/1"
SUMMARY = "training.json"


@dataclass(frozen=True)
class StageRequest:
    """Everything that a stage's result depends on, and where the result goes.

    Attributes:
        protocol: of the training text: template, chat template, system prompt.
        asking: how validation questions are asked and scored; as ``protocol`` where it is None.
        max_steps: optimiser steps after which training ends, also within an epoch; None trains whole epochs.
        model: local folder (or hub id) of the base model.
        weights: digest of its weights, so that another model in the same folder is noticed; "" if unknown.
        previous: adapter folder of the last stage; required unless ``stage.start`` is ``new``.
        validation: questions of the validation split, each with its exemplars; they choose the epoch.
        work: folder for checkpoints while training; removed when the stage is finished.
        output: folder of ``adapter/`` and ``training.json``; appears complete when the stage is finished.
        adapter: shape of a new LoRA; with ``start: continue`` the previous one keeps its own shape.
        validation_left_out: number of validation questions that :func:`checked_request` left out.
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
    asking: Protocol | None = None
    max_steps: int | None = None
    validation_left_out: int = 0

    @property
    def validation_protocol(self) -> Protocol:
        """How validation questions are asked and scored."""
        return self.asking or self.protocol

    def digest(self) -> str:
        """SHA-256 of the content: the same request in other folders has the same digest."""
        pools = {name: [item.question.id for item in pool] for name, pool in self.mixture.pools.items()}
        return sha256_of_json(
            {
                **({"pools": pools} if pools else {}),
                **({"asking": self.asking.stored()} if self.asking not in (None, self.protocol) else {}),
                **({"max_steps": self.max_steps} if self.max_steps else {}),
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
    summary = read_json(request.output / SUMMARY, dict) if (request.output / SUMMARY).is_file() else {}
    if summary.get("format") != FORMAT or summary.get("request") != request.digest():
        raise StateError(
            f"{request.output}: holds something other than this stage. Remove it, or choose another folder."
        )
    result = StageResult(request.output, read_training(request.output / SUMMARY))
    recorded = (result.summary.get("validated") or {}).get("adapter")
    weights = result.adapter / WEIGHTS
    whole = weights.is_file() and (result.adapter / CONFIG).is_file()
    if not whole or (recorded and sha256_of_file(weights) != recorded):
        raise StateError(
            f"{result.adapter}: {'damaged' if whole else 'incomplete'}, not the adapter that was trained. "
            f"Remove {request.output} and run the same command again."
        )
    return result


def is_whole_stage(request: StageRequest) -> bool:
    """Whether the output folder holds the whole result of this request, as it was made."""
    try:
        return finished_stage(checked_request(request)) is not None
    except KftError:
        return False


def checked_request(request: StageRequest) -> StageRequest:
    """The request without validation questions that its mixture repeats under another id, counted.

    A model that was trained on the same text, or on the same subject and type, would answer from memory, and the epoch
    that learned it by heart would be chosen.

    Raises:
        DataError: nothing to train on; no validation questions, or none that the mixture does not repeat; a test
            question, or a question of the mixture, in validation.
        UsageError: an adapter to start from is missing, or given although the stage starts from none.
    """
    if not request.mixture.items:
        raise DataError(f"Stage {request.stage.name!r} has no questions to train on. Change its mixture.")
    if not request.validation:
        raise DataError(f"Stage {request.stage.name!r} has no validation questions to choose its epoch. Add some.")
    for prompt in request.validation:
        if prompt.question.split == "test":
            raise DataError(
                f"Validation question {prompt.question.id!r} is of the test split. Use the validation split."
            )
    trained = [item.question for item in request.mixture.all_items]
    ids = {question.id for question in trained}
    if shared := sorted(ids.intersection(prompt.question.id for prompt in request.validation)):
        raise DataError(f"Question {shared[0]!r} is in the mixture and in validation. Keep the splits apart.")
    if (request.previous is None) != (request.stage.start == "new"):
        needs = "starts from no adapter" if request.previous else "needs the adapter of the stage before"
        raise UsageError(f"Stage {request.stage.name!r} (start: {request.stage.start}) {needs}. Correct `previous`.")
    if request.previous is not None:
        check_adapter(request.previous)
    repeated = Repeats(trained)
    kept = tuple(prompt for prompt in request.validation if prompt.question not in repeated)
    if not kept:
        raise DataError(
            f"Stage {request.stage.name!r}: the mixture repeats the text, or the subject and type, of all "
            f"{len(request.validation)} validation questions, so none can choose the epoch. Keep the splits apart."
        )
    left_out = request.validation_left_out + len(request.validation) - len(kept)
    return dataclasses.replace(request, validation=kept, validation_left_out=left_out)
