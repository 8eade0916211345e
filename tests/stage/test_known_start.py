"""Epoch 0 of a stage that continues an adapter is taken from the stage that validated it, and only then."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kft_train.data.rows import ValidationPrompt
from kft_train.stage.request import SUMMARY, StageRequest, StageResult
from kft_train.stage.train import train_stage
from train_helpers import make_question, make_request


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The epochs whose validation questions were asked."""
    from kft_train.stage.trainer import KftTrainer

    epochs: list[int] = []
    original = KftTrainer.count_right

    def count_right(self: Any) -> int:
        epochs.append(round(self.state.epoch or 0))
        return original(self)

    monkeypatch.setattr(KftTrainer, "count_right", count_right)
    return epochs


@pytest.fixture
def first(tiny_model: Path, tmp_path: Path) -> StageResult:
    return train_stage(make_request(tiny_model, tmp_path / "first", num_train_epochs=1))


def second(model: Path, folder: Path, previous: Path, **changes: Any) -> StageRequest:
    values = {"start": "continue", "name": "stage2", "num_train_epochs": 1, "save_steps": 2, **changes}
    return make_request(model, folder, previous=previous, **values)


def forget(first: StageResult) -> None:
    path = first.folder / SUMMARY
    summary = json.loads(path.read_text("utf-8"))
    del summary["validated"]
    path.write_text(json.dumps(summary), encoding="utf-8")


def test_the_known_result_is_taken_and_changes_nothing(
    tiny_model: Path, tmp_path: Path, first: StageResult, asked: list[int]
) -> None:
    known = train_stage(second(tiny_model, tmp_path / "known", first.adapter))
    assert asked == [1]
    forget(first)
    measured = train_stage(second(tiny_model, tmp_path / "measured", first.adapter))
    assert asked == [1, 0, 1]
    assert known.summary["epochs"][0] == pytest.approx(measured.summary["epochs"][0])
    assert known.summary["epochs"][1:] == measured.summary["epochs"][1:]
    weights = [(result.adapter / "adapter_model.safetensors").read_bytes() for result in (known, measured)]
    assert weights[0] == weights[1]


def test_a_killed_stage_with_a_known_start_resumes_to_the_same_bytes(
    tiny_model: Path, tmp_path: Path, first: StageResult
) -> None:
    def die(done: int, total: int, note: str) -> None:
        if done == 3:
            raise KeyboardInterrupt

    whole = train_stage(second(tiny_model, tmp_path / "whole", first.adapter))
    with pytest.raises(KeyboardInterrupt):
        train_stage(second(tiny_model, tmp_path / "killed", first.adapter), die)
    resumed = train_stage(second(tiny_model, tmp_path / "killed", first.adapter))
    assert resumed.summary["epochs"] == whole.summary["epochs"]
    weights = [(result.adapter / "adapter_model.safetensors").read_bytes() for result in (whole, resumed)]
    assert weights[0] == weights[1]


def other_weights(first: StageResult) -> dict[str, Any]:
    """Another adapter in the same place."""
    from safetensors.torch import load_file, save_file

    path = first.adapter / "adapter_model.safetensors"
    save_file({name: weight * 1.5 for name, weight in load_file(path).items()}, path, metadata={"format": "pt"})
    return {}


def other_precision(first: StageResult) -> dict[str, Any]:
    return {"sft": {"bf16": not json.loads((first.folder / SUMMARY).read_text("utf-8"))["precision"]["autocast"]}}


def other_loss(first: StageResult) -> dict[str, Any]:
    return {"loss": "sequence"}


def merged(first: StageResult) -> dict[str, Any]:
    return {"start": "merged"}


@pytest.mark.parametrize("change", [other_weights, other_precision, other_loss, merged])
def test_another_validation_is_measured(
    tiny_model: Path,
    tmp_path: Path,
    first: StageResult,
    asked: list[int],
    change: Callable[[StageResult], dict[str, Any]],
) -> None:
    train_stage(second(tiny_model, tmp_path / "second", first.adapter, **change(first)))
    assert asked == [0, 1]


def test_other_validation_questions_are_asked(
    tiny_model: Path, tmp_path: Path, first: StageResult, asked: list[int]
) -> None:
    request = second(tiny_model, tmp_path / "second", first.adapter)
    prompts = (*request.validation[:-1], ValidationPrompt(make_question(99, "validation")))
    train_stage(dataclasses.replace(request, validation=prompts))
    assert asked == [0, 1]


def test_validation_questions_asked_in_another_way_are_asked_again(
    tiny_model: Path, tmp_path: Path, first: StageResult, asked: list[int]
) -> None:
    request = second(tiny_model, tmp_path / "second", first.adapter)
    asking = dataclasses.replace(request.protocol, max_tokens=request.protocol.max_tokens + 1)
    train_stage(dataclasses.replace(request, asking=asking))
    assert asked == [0, 1]
