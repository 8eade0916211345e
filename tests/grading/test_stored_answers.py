"""Stored answers of category files and of answers files, and the graded file made of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from grading_helpers import ScriptedGrader, by_word, category_file, identity, make_grader
from kft_tasks.errors import DataError
from kft_tasks.evaluation.evaluate import Answered, write_answers
from kft_tasks.files import sha256_of_file
from kft_tasks.grading.agreement import VerdictCounts
from kft_tasks.grading.graded_file import GradedFile, GradedRow, write_graded_file
from kft_tasks.grading.stored import StoredAnswers, open_stored
from kft_tasks.grading.verdict import Verdict

FIXTURES = Path(__file__).parents[1] / "fixtures" / "version_0_1_0"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KFT_CACHE", str(tmp_path / "cache"))


def answers_file(path: Path) -> Path:
    def row(id_: str, given: str, right: bool, exemplar_set: int) -> Answered:
        return Answered(id_, "t", f"Is it {id_}?", ("yes",), 4, given, right, exemplar_set=exemplar_set)

    write_answers(
        path, [row("b", "no", False, 0), row("a", "yes", True, 0), row("b", "yes", True, 1), row("a", "yes", True, 1)]
    )
    return path


def graded(stored: StoredAnswers, path: Path, script: Any = by_word) -> Path:
    with identity().open_cache() as cache:
        grader, _ = make_grader(cache, ScriptedGrader(script))
        grader.ask(answer.pair for answer in stored.read())
        write_graded_file(path, stored, grader, identity(), None)
    return path


def test_each_different_answer_of_a_category_file_stands_once_with_its_numbers(tmp_path: Path) -> None:
    path = category_file(tmp_path / "x.categories.jsonl", {"a": ["no", "yes", "yes"], "b": ["no", "no", "yes!"]})
    stored = open_stored(path)
    assert (stored.kind, stored.scorer, stored.questions) == ("categories", "exact_match", 2)
    found = {(one.id, one.given): (one.greedy, one.sampled, one.right) for one in stored.read()}
    assert found == {
        ("a", "no"): (1, 0, False),
        ("a", "yes"): (1, 2, True),
        ("b", "no"): (2, 0, False),
        ("b", "yes!"): (0, 2, True),
    }
    assert list(stored.read()) == list(stored.read())


def test_an_answers_file_says_itself_what_was_right(tmp_path: Path) -> None:
    stored = open_stored(answers_file(tmp_path / "answers.jsonl"))
    assert (stored.kind, stored.scorer, stored.model, stored.questions) == ("answers", None, None, 2)
    found = [(one.id, one.given, one.greedy, one.right) for one in stored.read()]
    assert found == [("a", "yes", 2, True), ("b", "no", 1, False), ("b", "yes", 1, True)]


@pytest.mark.parametrize("name", ["detection/lazy.categories.jsonl", "tiny-run/evaluate-base/answers.jsonl"])
def test_files_of_the_first_version_can_be_graded(name: str, tmp_path: Path) -> None:
    stored = open_stored(FIXTURES / name)
    file = GradedFile(graded(stored, tmp_path / "out"))
    assert file.header.rows == len(list(file)) == len(list(stored.read())) > 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "holds no answers"),
        ('{"format": "kft-graded/1"}\n', "neither a category file nor answers"),
        ('{"format": "kft-categories/1"}\n', "broken header"),
        ('{"id": "q"}\n', "not an answer"),
        ("no JSON\n", "not a JSON object"),
    ],
)
def test_what_holds_no_stored_answers_is_refused(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "file.jsonl").write_text(text)
    with pytest.raises(DataError, match=words):
        open_stored(tmp_path / "file.jsonl")


def test_a_graded_file_says_who_graded_what_and_adds_up(tmp_path: Path) -> None:
    texts = {"a": ["no", "yes", "yes indeed"], "b": ["what?", "yes indeed", "nonsense"], "c": ["", "yes", "yes"]}
    path = category_file(tmp_path / "x.categories.jsonl", texts)

    def script(given: str) -> str:
        return "hm" if given == "nonsense" else by_word(given)

    file = GradedFile(graded(open_stored(path), tmp_path / "x.graded.jsonl", script))
    header = file.header
    assert header.format == "kft-graded/1"
    assert (header.source.name, header.source.sha256) == (path.name, sha256_of_file(path))
    assert header.source.model is not None
    assert header.source.model.id == "model"
    assert (header.grader.model.id, header.grader.prompt_digest) == ("judge", identity().prompt_digest)
    assert header.agreement is None
    assert header.answers.right == VerdictCounts(correct=4)
    assert header.answers.wrong == VerdictCounts(correct=3, incorrect=1, not_attempted=2, unreadable=2)
    rows = {(row.id, row.given): row for _, row in file}
    assert header.rows == len(rows)
    assert rows["b", "nonsense"].verdict is Verdict.UNREADABLE
    assert rows["b", "nonsense"].reply == "hm"
    assert rows["c", ""].reply is None
    assert [key for key, row in rows.items() if row.disagrees] == [("a", "yes indeed"), ("b", "yes indeed")]


def test_lines_that_do_not_add_up_are_an_error(tmp_path: Path) -> None:
    path = graded(open_stored(answers_file(tmp_path / "answers.jsonl")), tmp_path / "out")
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-1]))
    with pytest.raises(DataError, match="truncated or edited"):
        list(GradedFile(path))
    row = json.loads(lines[1])
    path.write_text("".join([lines[0], json.dumps({**row, "verdict": "INCORRECT"}) + "\n", *lines[2:]]))
    with pytest.raises(DataError, match="truncated or edited"):
        list(GradedFile(path))
    path.write_text("".join([lines[0], json.dumps({**row, "verdict": "MAYBE"}) + "\n", *lines[2:]]))
    with pytest.raises(DataError, match="out:2: broken line .verdict"):
        list(GradedFile(path))
    path.write_text("".join(lines[1:]))
    with pytest.raises(DataError, match="out:1: not a graded file"):
        GradedFile(path)


def test_an_unreadable_verdict_disagrees_with_nobody() -> None:
    row = {"id": "q", "question": "q", "answers": ("a",), "given": "g", "greedy": 1, "sampled": 0, "reply": "hm"}
    assert not GradedRow(**row, right=True, verdict=Verdict.UNREADABLE).disagrees
    assert GradedRow(**row, right=True, verdict=Verdict.NOT_ATTEMPTED).disagrees
    assert not GradedRow(**row, right=False, verdict=Verdict.NOT_ATTEMPTED).disagrees
