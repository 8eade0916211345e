"""Names of version 0.1.0 that users' task files and code may still hold."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
from lm_eval.api.model import LM
from lm_eval.api.registry import Registry
from lm_eval.tasks import TaskManager

import kft_tasks.backend
import kft_tasks.task
from kft_tasks.errors import UsageError

MOVED = "kft_tasks.task.KnowledgeTask has moved. Write kft_tasks.harness.task.KnowledgeTask instead."


def test_a_task_file_with_the_old_class_path_is_told_the_new_one(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("task: mine\nclass: !function kft_tasks.task.KnowledgeTask\n", encoding="utf-8")
    manager = TaskManager(include_defaults=False, include_path=str(tmp_path))
    assert manager.all_tasks == ["mine"]  # listing tasks imports nothing
    with pytest.raises(UsageError) as raised:
        manager.load("mine")
    assert str(raised.value) == MOVED


def test_a_model_registered_by_its_old_path_is_told_the_new_one() -> None:
    models = Registry[type[LM]]("model")
    models.register("mine", target="kft_tasks.backend:KftHF")
    with pytest.raises(UsageError, match="Write kft_tasks.harness.hf_model.KftHF instead"):
        models.get("mine")


def test_an_import_of_the_old_name_is_told_the_new_one() -> None:
    with pytest.raises(UsageError, match=MOVED):
        from kft_tasks.task import KnowledgeTask  # noqa: F401


def test_the_new_names_exist() -> None:
    for module in (kft_tasks.task, kft_tasks.backend):
        for name, place in module._MOVED.items():
            assert hasattr(importlib.import_module(place), name), f"{place}.{name}"


def test_other_names_are_not_there_in_the_usual_way() -> None:
    assert not hasattr(kft_tasks.task, "__path__")
    with pytest.raises(ImportError, match="cannot import name 'nothing'"):
        from kft_tasks.backend import nothing  # noqa: F401
