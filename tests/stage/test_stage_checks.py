"""What a stage may be chosen by, and how many steps it takes."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from kft_tasks.errors import DataError
from kft_train.data.mixture import Mixture
from kft_train.data.rows import ValidationPrompt
from kft_train.stage.request import StageRequest, checked_request
from kft_train.stage.train import train_stage
from train_helpers import make_question, make_request


def with_validation(request: StageRequest, *numbers: int, **changes: Any) -> StageRequest:
    """Validation questions that repeat training questions, before the request's own."""
    repeats = [dataclasses.replace(make_question(number), id=f"v-{number}", **changes) for number in numbers]
    prompts = tuple(ValidationPrompt(question) for question in repeats)
    return dataclasses.replace(request, validation=(*prompts, *request.validation))


def test_validation_questions_that_the_mixture_repeats_are_left_out_and_counted(tmp_path: Path) -> None:
    request = with_validation(make_request(tmp_path, tmp_path), 3, 4, split="validation")
    checked = checked_request(request)
    assert checked.validation == make_request(tmp_path, tmp_path).validation
    assert checked.validation_left_out == 2
    assert checked_request(checked) == checked


def test_subject_and_type_make_a_repeat_and_so_does_a_pool_that_is_drawn_from(tmp_path: Path) -> None:
    request = make_request(tmp_path, tmp_path)
    items = request.mixture.items
    named = dataclasses.replace(items[0], question=dataclasses.replace(items[0].question, subject="Ash"))
    pool = {"replay": (named,)}
    mixture = Mixture(items[1:], request.mixture.parts, 0, pool)
    own = dataclasses.replace(make_question(99, "validation"), question="How is the ash called?", subject="ash")
    asked = dataclasses.replace(request, mixture=mixture, validation=(ValidationPrompt(own), *request.validation))
    assert checked_request(asked).validation_left_out == 1
    other_type = dataclasses.replace(own, type="bush")
    asked = dataclasses.replace(asked, validation=(ValidationPrompt(other_type), *request.validation))
    assert checked_request(asked).validation_left_out == 0


def test_without_any_validation_question_left_the_stage_is_an_error(tmp_path: Path) -> None:
    request = make_request(tmp_path, tmp_path)
    only = dataclasses.replace(with_validation(request, 3, split="validation"))
    only = dataclasses.replace(only, validation=only.validation[:1])
    with pytest.raises(DataError, match=r"'stage1': the mixture repeats the text, .* of all 1 validation questions"):
        checked_request(only)


def test_the_same_id_in_mixture_and_validation_stays_an_error(tmp_path: Path) -> None:
    request = make_request(tmp_path, tmp_path)
    same = (ValidationPrompt(make_question(3)), *request.validation)
    with pytest.raises(DataError, match="'train-3' is in the mixture and in validation"):
        checked_request(dataclasses.replace(request, validation=same))


def test_what_was_left_out_is_in_the_summary_and_its_note(tiny_model: Path, tmp_path: Path) -> None:
    request = make_request(tiny_model, tmp_path, num_train_epochs=1, save_steps=None)
    result = train_stage(with_validation(request, 3, split="validation"))
    assert result.summary["validation_left_out"] == 1
    assert {row["asked"] for row in result.summary["epochs"]} == {6}
    assert "Left out of validation: 1 of 7 questions, which the mixture repeats" in result.summary["note"]
    assert train_stage(with_validation(request, 3, split="validation")) == result  # finished, and found again


def test_a_number_of_steps_ends_a_stage_within_an_epoch_which_is_still_evaluated(
    tiny_model: Path, tmp_path: Path
) -> None:
    request = dataclasses.replace(make_request(tiny_model, tmp_path, num_train_epochs=1), max_steps=7)
    summary = train_stage(request).summary
    assert summary["cost"]["steps"] == summary["max_steps"] == 7  # 5 per epoch
    assert [(row["epoch"], row["step"]) for row in summary["epochs"]] == [(0, 0), (1, 5), (2, 7)]
    assert all(row["loss"] is not None for row in summary["epochs"][1:])
    assert not summary["stopped_early"]
