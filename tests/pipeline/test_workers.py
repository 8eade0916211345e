"""What the run's side of worker processes does without any; that they work is seen in test_run."""

from __future__ import annotations

from pathlib import Path

import pytest

from kft_cli.pipeline import workers
from kft_cli.pipeline.order import needs_of
from kft_train.recipes.plan import Step, steps_of
from kft_train.recipes.recipe import load_recipe


def test_a_finished_run_starts_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def started(*arguments: object, **options: object) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr(workers.subprocess, "Popen", started)
    recipe = load_recipe("demo")
    needs = needs_of(recipe, steps_of(recipe))
    asked: list[Step] = []

    def is_done(step: Step) -> bool:
        asked.append(step)
        return True

    workers.run_on_workers(tmp_path, needs, is_done, workers=2, threads=2)
    assert sorted(map(str, asked)) == sorted(map(str, needs))
