"""The folder's README: its worked example works, its module map is complete."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from kft_tasks.question_sets import registry
from kft_tasks.question_sets.checks.check import check_set

FOLDER = Path(__file__).parents[2] / "kft_tasks" / "question_sets"
README = (FOLDER / "README.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    (text,) = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    return str(text)


def test_the_example_of_a_new_set_works(
    tmp_path: Path, write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    example: dict[str, Any] = {}
    exec(compile(block("python"), "README.md", "exec"), example)
    monkeypatch.setitem(registry.SETS, "sciq", example["INFO"])
    monkeypatch.setitem(registry._OPEN, "sciq", example["open_sciq"])
    for split, count in (("train", 400), ("validation", 20), ("test", 20)):
        rows = [
            {"question": f"What is {split} {n}?", "correct_answer": f"A {n}", "distractor1": "B"} for n in range(count)
        ]
        write(tmp_path / "data" / f"{split}-00000-of-00001.parquet", rows)
    task = yaml.safe_load(block("yaml"))
    questions = registry.open_set(task["kft"]["set"], tmp_path)
    assert questions.splits() == ("train", "validation", "test", "exemplars")
    assert sum(1 for _ in questions.split("test")) == 20
    assert check_set("sciq", tmp_path).wrong == ()
    assert len(block("python").splitlines()) < 30


def test_every_module_is_on_the_map() -> None:
    modules = {path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.py") if path.name != "__init__.py"}
    assert set(re.findall(r"`((?:\w+/)?\w+\.py)`", README.partition("## How to add")[0])) == modules


def test_every_link_leads_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (FOLDER / target).exists(), target
