"""Values of finished runs in files of their own: equal to the run's, made again when it changes, and standing for it."""

from __future__ import annotations

import json
import shutil
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from arm_runs import make_arm
from kft_cli.experiment import kept_values
from kft_cli.experiment.kept_values import keep_values, read_kept
from kft_cli.experiment.values import read_values
from kft_cli.report.run_layout import RunLayout
from kft_tasks.errors import DataError


def _plain(value: Any) -> Any:
    """Comparable: arrays as their type and numbers."""
    if is_dataclass(value) and not isinstance(value, type):
        value = {name: getattr(value, name) for name in value.__dataclass_fields__}
    if isinstance(value, np.ndarray):
        return value.dtype.name, value.tolist()
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return value


def test_kept_values_are_those_of_the_run_and_it_is_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, kept = tmp_path / "run", tmp_path / "values" / "one.json"
    make_arm(run, 1, gained=3, stages=2)
    first = keep_values(run, kept)
    assert _plain(first.values()) == _plain(read_values(run))
    assert read_kept(kept) == first
    assert first.entities is not None
    assert first.train is not None
    assert set(first.entities) == set(first.train.ids)
    assert kept.stat().st_size < 20_000  # 24 questions
    monkeypatch.setattr(kept_values, "read_run", lambda *args: pytest.fail("read again"))
    assert keep_values(run, kept) == first
    shutil.rmtree(run)
    assert keep_values(run, kept) == first  # it stands for the run


@pytest.mark.parametrize("damage", ["other steps", "broken"])
def test_values_of_other_steps_and_broken_ones_are_made_again(tmp_path: Path, damage: str) -> None:
    run, kept = tmp_path / "run", tmp_path / "one.json"
    make_arm(run, 1, gained=3, stages=1)
    first = keep_values(run, kept)
    if damage == "broken":
        kept.write_text("{", encoding="utf-8")
    else:
        record = RunLayout(run).step_record("evaluate-stage1")
        record.write_text(record.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    again = keep_values(run, kept)
    assert _plain(again.values()) == _plain(first.values())
    assert (again.steps == first.steps) == (damage == "broken")
    assert read_kept(kept) == again


def test_lists_of_different_lengths_are_refused(tmp_path: Path) -> None:
    run, kept = tmp_path / "run", tmp_path / "one.json"
    make_arm(run, 1, gained=3, stages=1)
    keep_values(run, kept)
    whole = json.loads(kept.read_text(encoding="utf-8"))
    for path in (("test", "held_out"), ("train", "detected"), ("train", "ids"), ("test", "groups", "types")):
        values = json.loads(json.dumps(whole))
        inner = values
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = inner[path[-1]][:-1]
        kept.write_text(json.dumps(values), encoding="utf-8")
        with pytest.raises(DataError, match="different lengths"):
            read_kept(kept)
