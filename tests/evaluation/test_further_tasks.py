"""Tasks of lm-eval beside the questions, from a folder of one's own: numbers, errors by document, files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from further_task import task_folder
from kft_tasks.errors import DataError, UnavailableError, UsageError
from kft_tasks.evaluation.further_tasks import evaluate_tasks, read_further_tasks, write_further_tasks


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "datasets")


def test_a_task_of_ones_own_is_measured_as_lm_eval_does(tiny_lm: Callable[..., Any], tmp_path: Path) -> None:
    found = evaluate_tasks(["tiny_choice"], tiny_lm(), str(task_folder(tmp_path / "tasks")))
    (task,) = found.tasks
    assert (task.task, task.version, task.n, task.shots) == ("tiny_choice", "2.0", 12, 0)
    metric = task.main()
    assert (metric.metric, metric.filter, metric.higher_is_better) == ("acc", "none", True)
    assert metric.values is not None
    assert metric.value == pytest.approx(sum(metric.values) / 12)
    assert metric.stderr == pytest.approx((metric.value * (1 - metric.value) / 11) ** 0.5)
    write_further_tasks(tmp_path / "found.json", found)
    assert read_further_tasks(tmp_path / "found.json", "Again.") == found
    (tmp_path / "found.json").write_text("{}", encoding="utf-8")
    with pytest.raises(DataError, match="not an evaluation of further tasks"):
        read_further_tasks(tmp_path / "found.json", "Again.")


def test_a_limit_takes_the_first_documents(tiny_lm: Callable[..., Any], tmp_path: Path) -> None:
    folder = str(task_folder(tmp_path / "tasks"))
    lm = tiny_lm()
    (task,) = evaluate_tasks(["tiny_choice"], lm, folder, limit=5).tasks
    (whole,) = evaluate_tasks(["tiny_choice"], lm, folder).tasks
    assert task.n == 5
    assert task.main().values == (whole.main().values or [])[:5]


def test_errors_name_the_setting(tiny_lm: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lm = tiny_lm()
    folder = task_folder(tmp_path / "tasks")
    with pytest.raises(UsageError, match=r"evaluation\.also_folder: .*nowhere is not a folder"):
        evaluate_tasks(["tiny_choice"], lm, str(tmp_path / "nowhere"))
    (folder / "data.jsonl").unlink()
    with pytest.raises(UnavailableError, match=r"evaluation\.also \(tiny_choice\): lm-eval cannot run it"):
        evaluate_tasks(["tiny_choice"], lm, str(folder))

    from lm_eval.tasks import TaskManager

    whole = TaskManager.__init__
    monkeypatch.setattr(  # its own 14,000 task files take seconds to read
        TaskManager, "__init__", lambda self, **values: whole(self, **{**values, "include_defaults": False})
    )
    with pytest.raises(UsageError, match="lm-eval has no task 'tiny_choise'. Did you mean 'tiny_choice'"):
        evaluate_tasks(["tiny_choise"], lm, str(folder))
