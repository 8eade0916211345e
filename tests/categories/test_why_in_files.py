"""Reasons in category files, on request: of every different answer, checked whenever the file is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from grading_helpers import category_file
from kft_cli.main import main
from kft_tasks.categories.category_file import CategoryFile
from kft_tasks.categories.rescore import rescore
from kft_tasks.errors import DataError
from kft_tasks.scoring.explanation import explain

TEXTS = {"a": ["yes", "oh yes", "yes!"], "b": ["no", "", "yes"]}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return category_file(tmp_path / "x.categories.jsonl", TEXTS)


def test_every_different_answer_has_its_reason(source: Path, tmp_path: Path) -> None:
    result = rescore(source, tmp_path / "out", scorer="answer_stated", explained=True)
    items = list(CategoryFile(result.output))
    assert [sorted(item.why or {}) for item in items] == [sorted(set(texts)) for texts in TEXTS.values()]
    for item in items:
        assert item.why is not None
        for text, why in item.why.items():
            assert why == explain("answer_stated", text, item.question.answers, item.question.question)


def test_without_asking_the_file_is_as_it_always_was(source: Path, tmp_path: Path) -> None:
    plain = rescore(source, tmp_path / "plain", scorer="answer_stated").output
    explained = rescore(source, tmp_path / "explained", scorer="answer_stated", explained=True).output
    assert all(item.why is None for item in CategoryFile(plain))
    rows = [json.loads(line) for line in explained.read_text().splitlines()[1:]]
    assert [{key: value for key, value in row.items() if key != "why"} for row in rows] == [
        json.loads(line) for line in plain.read_text().splitlines()[1:]
    ]


def test_the_command_gives_reasons_by_the_files_own_rule_too(source: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["rescore", str(source), "--explain", "-o", str(tmp_path / "out")])
    assert not stop.value.code
    file = CategoryFile(tmp_path / "out")
    assert file.header.protocol.scorer == "exact_match"
    assert [item.category for item in file] == [item.category for item in CategoryFile(source)]
    assert all(item.why for item in file)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (None, "why: must be an object"),
        ({"yes": None}, "why: must be an object"),
        ({"other": {"verdict": True, "rule": "r", "words": "w"}}, "why: not of the answers given"),
        ({"yes": {"verdict": False, "rule": "r", "words": "w"}}, "why: the verdicts do not match the counts"),
        ({"yes": {"verdict": 1, "rule": "r", "words": "w"}}, "verdict: must be true or false"),
        ({"yes": {"verdict": True, "rule": 3, "words": "w"}}, "rule: must be text"),
        ({"yes": {"verdict": True, "rule": "r"}}, "words: missing"),
        ({"yes": {"verdict": True, "rule": "r", "words": "w", "mood": "good"}}, "mood: unknown key"),
    ],
)
def test_reasons_that_do_not_fit_are_an_error(changed: Any, words: str, source: Path, tmp_path: Path) -> None:
    path = rescore(source, tmp_path / "out.jsonl", scorer="answer_stated", explained=True).output
    lines = path.read_text().splitlines()
    row = json.loads(lines[1])
    row["why"] = None if changed is None else {**row["why"], **changed}
    lines[1] = json.dumps(row)
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError, match=f"out.jsonl:2: broken question line .{words}"):
        list(CategoryFile(path))
