"""Every file of a grading with one value changed: read without harm, or refused with one error that names the file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from grading_helpers import category_file, identity, judged_pairs, make_grader
from kft_tasks.categories.category_file import CategoryFile
from kft_tasks.categories.rescore import rescore
from kft_tasks.grading.agreement import (
    agreement_file,
    known_agreement,
    measure_agreement,
    read_judged_pairs,
)
from kft_tasks.grading.apply import apply_verdicts
from kft_tasks.grading.graded_file import GradedFile, write_graded_file
from kft_tasks.grading.stored import open_stored
from mutating import try_all, write_lines

TEXTS = {"a": ["yes", "no", "yes indeed"], "b": ["what?", "", "no"]}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one file of each format."""
    monkeypatch.setenv("KFT_CACHE", str(tmp_path / "cache"))
    source = category_file(tmp_path / "source.jsonl", TEXTS)
    pairs = judged_pairs(tmp_path / "pairs.jsonl", [("yes", True), ("no", False)])
    stored = open_stored(source)
    with identity().open_cache() as cache:
        grader, _ = make_grader(cache)
        agreement = measure_agreement(grader, identity(), read_judged_pairs(pairs), pairs.name)
        grader.ask(answer.pair for answer in stored.read())
        write_graded_file(tmp_path / "graded.jsonl", stored, grader, identity(), agreement)
        apply_verdicts(stored, tmp_path / "applied.jsonl", grader, identity(), agreement)
    rescore(source, tmp_path / "why.jsonl", scorer="answer_stated", explained=True)
    return tmp_path


READERS: dict[str, tuple[Callable[[Path], object], list[int]]] = {
    "graded": (lambda path: list(GradedFile(path)), [0, 1]),
    "applied": (lambda path: list(CategoryFile(path)), [0]),
    "why": (lambda path: list(CategoryFile(path)), [1]),
    "pairs": (read_judged_pairs, [0]),
}


@pytest.mark.parametrize("name", READERS)
def test_a_mutated_line_is_refused_or_harmless(name: str, folder: Path) -> None:
    reader, numbers = READERS[name]
    path = folder / f"{name}.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for number in numbers:

        def read(value: Any, number: int = number) -> None:
            write_lines(path, [*rows[:number], value, *rows[number + 1 :]])
            reader(path)

        outcome = try_all(rows[number], read, path.name)
        assert not outcome.wrong, str(outcome)
        assert outcome.refused > 5 * len(rows[number])


def test_a_mutated_agreement_is_refused_or_harmless(folder: Path) -> None:
    path = agreement_file(identity())

    def read(value: Any) -> None:
        write_lines(path, [value])
        known_agreement(identity())

    tree = json.loads(path.read_text(encoding="utf-8"))
    outcome = try_all(tree, read, path.name)
    assert not outcome.wrong, str(outcome)
    assert outcome.refused > 5 * len(tree)
