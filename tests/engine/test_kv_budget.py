"""The budget for keys and values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kft_tasks.engine import kv_budget as memory
from kft_tasks.engine.kv_budget import MIN_ROWS, KvBudget, find_kv_budget, free_bytes
from kft_tasks.errors import UsageError


@pytest.fixture
def cpu() -> Any:
    import torch

    return torch.device("cpu")


def test_the_budget_is_half_of_what_is_free(cpu: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(memory.VARIABLE, raising=False)
    monkeypatch.setattr(memory, "free_bytes", lambda device: 1000)
    assert find_kv_budget(cpu).budget == 500


def test_the_environment_sets_gigabytes(cpu: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(memory.VARIABLE, "1.5")
    assert find_kv_budget(cpu).budget == 1_500_000_000


@pytest.mark.parametrize("given", ["", "much", "0", "-1", "nan", "inf"])
def test_what_is_no_size_is_refused(cpu: Any, monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv(memory.VARIABLE, given)
    with pytest.raises(UsageError, match="not a positive number of gigabytes"):
        find_kv_budget(cpu)


@pytest.mark.parametrize(("limit", "expected"), [("3000\n", 1000), ("1500\n", 0), ("max\n", None), ("", None)])
def test_the_limit_of_the_control_group_counts(
    cpu: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, limit: str, expected: int | None
) -> None:
    (tmp_path / "max").write_text(limit)
    (tmp_path / "current").write_text("2000\n")
    monkeypatch.setattr(memory, "_GROUP_LIMIT", tmp_path / "max")
    monkeypatch.setattr(memory, "_GROUP_USED", tmp_path / "current")
    found = free_bytes(cpu)
    assert found == expected if expected is not None else found > 1_000_000


def test_rows_are_halved_to_the_least_and_no_further() -> None:
    one = KvBudget(budget=1, rows=100)
    assert [(one.halve_rows(), one.rows) for _ in range(3)] == [(True, 50), (True, MIN_ROWS), (False, MIN_ROWS)]


def test_slots_follow_from_the_size_of_one() -> None:
    assert KvBudget(budget=1000, slot_bytes=300).slots == 3
    assert KvBudget(budget=100, slot_bytes=300).slots == 1  # there is progress nevertheless
    assert KvBudget(budget=100).slots > 1_000_000  # not known yet
