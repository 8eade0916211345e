"""``training.json``, the log of a finished stage, as it is read; older files lack keys that have a default."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, model_validator
from typing_extensions import Self

from kft_tasks.files import read_json
from kft_tasks.records import Count, Loss, Record, Seconds, Share, parse_record


class EpochRecord(Record):
    """Validation after an epoch, 0 being the start; one more key, the scorer's name, holds the share of right ones."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Share]

    epoch: Count
    step: Count
    loss: Loss | None = None
    validation_loss: Loss | None = None
    right: Count
    asked: Annotated[Count, Field(ge=1)]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.right > self.asked:
            raise ValueError("more right answers than asked")
        return self


class CostRecord(Record):
    """What training cost."""

    steps: Count
    input_tokens: Count
    loss_tokens: Count
    seconds: Seconds
    cpu_seconds: Seconds | None = None


class ValidatedRecord(Record):
    """What was validated, and how; see :mod:`kft_train.stage.known_start`."""

    adapter: str
    key: str


class TrainingRecord(Record):
    """The whole file."""

    format: Literal["kft-training/1"]
    request: str = ""
    note: str = ""
    chosen_epoch: Count
    better_than_start: bool
    keep_if_worse: bool = True
    max_steps: Count | None = None
    stopped_early: bool | None = None
    epochs: Annotated[list[EpochRecord], Field(min_length=1)]
    cost: CostRecord
    questions: Count = 0
    validation_left_out: Count = 0
    model: str = ""
    stage: dict[str, Any] = Field(default_factory=dict)
    adapter: dict[str, Any] = Field(default_factory=dict)
    sft: dict[str, Any] = Field(default_factory=dict)
    processes: Count = 1
    questions_left_out_per_epoch: Count = 0
    rows_split_at_boundary: Count = 0
    effective_batch_size: Count = 0
    precision: dict[str, str | None] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)
    validated: ValidatedRecord | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.chosen_epoch not in [row.epoch for row in self.epochs]:
            raise ValueError(f"chosen_epoch: there is no epoch {self.chosen_epoch}")
        return self


def read_training(path: Path, remedy: str = "Restore the file, or train the stage again.") -> dict[str, Any]:
    """The content of ``training.json``, checked.

    Raises:
        DataError: it cannot be read, or is something else.
    """
    value = read_json(path)
    parse_record(TrainingRecord, value, path, remedy, "not the log of a training stage")
    result: dict[str, Any] = value
    return result
