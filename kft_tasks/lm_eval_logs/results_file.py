"""The results file that lm-eval writes beside a sample log: what it says about model, task and prompts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from kft_tasks.errors import UsageError
from kft_tasks.files import sha256_of_file
from kft_tasks.protocol.identity import NOT_RECORDED, ModelIdentity
from kft_tasks.records import OpenRecord, read_record

_NAME = re.compile(r"samples_(?P<task>.+)_(?P<date>\d{4}-\d\d-\d\dT[\d.\-]+)\.jsonl")
_SPLITS = {
    "train": "train",
    "validation": "validation",
    "valid": "validation",
    "dev": "validation",
    "test": "test",
}


class _ResultsRecord(OpenRecord):
    """The parts of a results file that are read; a version of lm-eval that leaves one out leaves it unknown."""

    config: dict[str, Any] = Field(default_factory=dict)
    configs: dict[str, dict[str, Any]] = Field(default_factory=dict)
    versions: dict[str, Any] = Field(default_factory=dict)
    shots: dict[str, Any] = Field(default_factory=dict, alias="n-shot")
    lm_eval_version: str | None = None


@dataclass(frozen=True)
class LogFacts:
    """What is known about a log besides its lines; None and ``NOT_RECORDED`` stand for what is not.

    Attributes:
        split: of the questions, in kft's words; "" if unknown.
        digest: SHA-256 of the results file; None if there is none.
    """

    task: str
    model: ModelIdentity
    version: str = NOT_RECORDED
    split: str = ""
    shots: int | None = None
    chat: bool | None = None
    system: str | None = None
    lm_eval: str | None = None
    digest: str | None = None


def log_facts(log: Path) -> LogFacts:
    """Read the results file that belongs to a log: of the same folder and time.

    Raises:
        UsageError: the name is not one that lm-eval gives a log, so its task is unknown.
        DataError: the results file is broken.
    """
    named = _NAME.fullmatch(log.name)
    if named is None:
        raise UsageError(
            f"{log}: is not named samples_TASK_TIME.jsonl as lm-eval names its logs, so the task is unknown. Give it "
            "its name again."
        )
    task, results = named["task"], log.with_name(f"results_{named['date']}.json")
    if not results.is_file():
        return LogFacts(task, ModelIdentity(NOT_RECORDED, NOT_RECORDED, None, NOT_RECORDED))
    record = read_record(
        _ResultsRecord, results, "Restore it, or move it away to import without it.", "not a results file of lm-eval"
    )
    config, extra = record.configs.get(task, {}), record.model_extra or {}
    shots = record.shots.get(task)
    return LogFacts(
        task=task,
        model=_model(record.config),
        version=str(record.versions.get(task, NOT_RECORDED)),
        split=_split(config),
        shots=shots if type(shots) is int else None,
        chat=extra["chat_template"] is not None if "chat_template" in extra else None,
        system=_system(extra),
        lm_eval=record.lm_eval_version,
        digest=sha256_of_file(results),
    )


def _model(config: Mapping[str, Any]) -> ModelIdentity:
    """The model as lm-eval names it. Its weights are never recorded, and an adapter only by its place."""
    arguments, kind = config.get("model_args"), config.get("model")
    if isinstance(arguments, str):
        arguments = dict(part.split("=", 1) for part in arguments.split(",") if "=" in part)
    if not isinstance(arguments, dict):
        arguments = {}
    name = next((arguments[key] for key in ("pretrained", "model") if isinstance(arguments.get(key), str)), None)
    if isinstance(arguments.get("peft"), str):
        name = f"{name or NOT_RECORDED} with adapter {arguments['peft']}"
    dtype = str(config.get("model_dtype") or arguments.get("dtype") or NOT_RECORDED).removeprefix("torch.")
    return ModelIdentity(
        id=name or NOT_RECORDED,
        weights=NOT_RECORDED,
        adapter=None,
        dtype=f"{kind}:{dtype}" if isinstance(kind, str) else dtype,
    )


def _split(config: Mapping[str, Any]) -> str:
    """The split that lm-eval evaluated: the test split if the task has one, else the validation split."""
    name = config.get("test_split") or config.get("validation_split")
    return _SPLITS.get(name, "") if isinstance(name, str) else ""


def _system(extra: Mapping[str, Any]) -> str | None:
    if "system_instruction" not in extra:
        return None
    given = extra["system_instruction"]
    return given if isinstance(given, str) else "" if given is None else None
