"""Broken data through ``kft detect``: one message with place and remedy, exit code 1 or 2, nothing left behind."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hub_files import WRITERS, write_parquet, write_table
from kft_cli.main import main
from kft_tasks.question_sets.storage.rows import read_rows

CHECKS = Callable[..., str]


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CHECKS:
    """Run ``kft detect`` where it must fail before any model is looked for; returns the message."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")

    def run(*arguments: str, code: int = 1) -> str:
        before = _everything(tmp_path)
        with pytest.raises(SystemExit) as stopped:
            main(["detect", "--model", "/no/model", *arguments])
        given = capsys.readouterr()
        assert stopped.value.code == code, given.err
        assert given.out == ""
        assert given.err.count("Error: ") == 1
        assert "Traceback" not in given.err
        assert len(given.err) < 1500
        assert _everything(tmp_path) == before
        return given.err

    return run


def _everything(folder: Path) -> list[tuple[Path, int]]:
    return sorted((path, path.lstat().st_size) for path in folder.rglob("*"))


PARTS = {  # the file that holds the split under test, and its first rows' places
    "entityquestions": "dataset/train/P36.train.json",
    "wikiqa": "data/train-00000-of-00001.parquet",
    "popqa": "test.tsv",
    "triviaqa": "rc.nocontext/train-00000-of-00001.parquet",
    "nq_open": "nq_open/train-00000-of-00001.parquet",
    "simpleqa": "simple_qa_test_set.csv",
    "questions": "meine fragen.csv",
}
PLACES = {".json": "entry {}", ".parquet": "row {}", ".tsv": "{}", ".csv": "{}"}
OPTIONS = {
    "entityquestions": ("--option", "relation=P36"),
    "simpleqa": ("--split", "test"),
    "questions": ("--option", "question=Frage", "--option", "answers=Antwort"),
}


@pytest.fixture
def spoil(tmp_path: Path, refused: CHECKS) -> CHECKS:
    """Write a set as its source has it, change its fourth row (None: remove the column everywhere), and detect."""

    def spoil_and_run(name: str, column: str, value: Any, *, everywhere: bool = False) -> str:
        folder = tmp_path / "data"
        WRITERS[name](folder)
        path = folder / PARTS[name]
        rows: list[dict[str, Any]] = [row for _, row in read_rows(path)]
        for row in rows if everywhere or value is None else rows[3:4]:
            if value is None:
                del row[column]
            else:
                row[column] = value(row[column]) if callable(value) else value
        if path.suffix == ".parquet":
            write_parquet(path, rows)
        elif path.suffix == ".json":
            path.write_text(json.dumps(rows), encoding="utf-8")
        else:
            write_table(path, rows, "\t" if path.suffix == ".tsv" else ",")
        message = refused("--set", name, "--path", str(folder), *OPTIONS.get(name, ()))
        number = 1 if everywhere or value is None else 4
        number += path.suffix in (".csv", ".tsv")  # the line with the column names
        number += name == "questions" and number > 2  # the first question has two lines
        assert f"{path}:{PLACES[path.suffix].format(number)}: " in message
        return message

    return spoil_and_run


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("entityquestions", "answers"),
        ("wikiqa", "label"),
        ("popqa", "possible_answers"),
        ("triviaqa", "answer"),
        ("nq_open", "answer"),
        ("simpleqa", "metadata"),
        ("questions", "Antwort"),
    ],
)
def test_a_missing_column(spoil: CHECKS, name: str, column: str) -> None:
    message = spoil(name, column, None)
    assert "no column " in message
    assert column in message
    assert "question" in message or "Frage" in message or "problem" in message  # what there is


def _without_aliases(answer: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in answer.items() if key != "aliases"}


@pytest.mark.parametrize(
    ("name", "column", "value", "says"),
    [
        ("entityquestions", "answers", "Lima", '"answers" is not a list of text'),
        ("entityquestions", "question", 7, '"question" is empty or not text'),
        ("popqa", "possible_answers", "Lima", '"possible_answers" is not a JSON list'),
        ("popqa", "possible_answers", "17", '"possible_answers" is not a list of text'),
        ("simpleqa", "metadata", "Geography", '"metadata" is not a dictionary'),
        ("questions", "Frage", "  ", "no question text"),
    ],
)
def test_a_cell_of_another_type(spoil: CHECKS, name: str, column: str, value: Any, says: str) -> None:
    assert says in spoil(name, column, value)


@pytest.mark.parametrize(
    ("name", "column", "change", "says"),
    [
        ("wikiqa", "label", lambda label: f"is {label}", "label is 'is 0', not 0 or 1"),
        ("triviaqa", "answer", lambda answer: answer["value"], '"answer" is not a record with value and aliases'),
        ("triviaqa", "answer", _without_aliases, "no column aliases; there are "),
        ("nq_open", "answer", lambda answers: {"text": answers}, '"answer" is not a list of text'),
        ("nq_open", "question", lambda text: [text], '"question" is empty or not text'),
    ],
)
def test_a_column_of_another_type(
    spoil: CHECKS, name: str, column: str, change: Callable[[Any], Any], says: str
) -> None:
    assert says in spoil(name, column, change, everywhere=True)


def _no_names(answer: dict[str, Any]) -> dict[str, Any]:
    return {**answer, "value": "", "aliases": [], "normalized_aliases": []}


@pytest.mark.parametrize(
    ("name", "column", "value", "says"),
    [
        ("entityquestions", "answers", [""], '"answers" holds no answer'),
        ("wikiqa", "answer", " ", "answering sentence is empty"),
        ("popqa", "possible_answers", "[]", '"possible_answers" holds no answer'),
        ("triviaqa", "answer", _no_names, "has no answer"),
        ("nq_open", "answer", lambda answers: [], '"answer" holds no answer'),
        ("simpleqa", "answer", "", '"answer" is empty'),
        ("questions", "Antwort", "", "has no answers"),
    ],
)
def test_a_row_without_an_answer(spoil: CHECKS, name: str, column: str, value: Any, says: str) -> None:
    assert says in spoil(name, column, value)


@pytest.mark.parametrize("name", ["popqa", "simpleqa", "questions"])
def test_a_line_of_200_mb(refused: CHECKS, tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / "data")
    path = tmp_path / "data" / PARTS[name]
    with path.open("r+b") as stream:
        stream.truncate(path.stat().st_size + (200 << 20))
    message = refused("--set", name, "--path", str(path), *OPTIONS.get(name, ()))
    lines = path.read_bytes()[: path.stat().st_size - (200 << 20)].count(b"\n")
    assert f"{path}:{lines + 1}: line of over 16 MiB" in message


@pytest.mark.parametrize("name", ["popqa", "nq_open"])
def test_a_link_out_of_the_hubs_cache(
    refused: CHECKS, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = tmp_path / "hub" / "datasets--x" / "snapshots" / "abc"
    WRITERS[name](snapshot)
    path = next(file for file in sorted(snapshot.rglob("*")) if file.is_file())
    secret = path.rename(tmp_path / "secret")
    path.symlink_to(secret)
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *args, **kwargs: str(snapshot))
    message = refused("--set", name)
    assert f"{path}: is a link that leads out of {tmp_path / 'hub' / 'datasets--x'}" in message

    path.unlink()
    blob = tmp_path / "hub" / "datasets--x" / "blobs" / "0123"
    blob.parent.mkdir()
    secret.rename(blob)
    path.symlink_to(os.path.relpath(blob, path.parent))  # as the hub's own client does
    assert "Error: /no/model" in refused("--set", name)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--set", "../../etc/passwd"), "There is no question set '../../etc/passwd'"),
        (("--set", "entityquestions", "--option", "relation=../../P17"), "names '../../P17'"),
        (("--set", "entityquestions", "--option", "variant=../slick_in"), "variant is '../slick_in'"),
        (("--set", "simpleqa", "--option", "exemplars_from=../worldfacts"), "no question set '../worldfacts'"),
        (("--split", "../test"), "'../test' is not one of 'train', 'validation', 'test', 'exemplars'"),
    ],
)
def test_a_path_instead_of_a_name(refused: CHECKS, arguments: tuple[str, ...], says: str) -> None:
    assert says in refused(*arguments, code=2)
