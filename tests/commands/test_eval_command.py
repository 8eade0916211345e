from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from kft_cli.commands import eval as eval_command
from kft_cli.main import main
from kft_tasks.evaluation.evaluate import read_answers
from kft_tasks.protocol.exemplars import ExemplarPool
from kft_tasks.protocol.prompt_maker import PromptMaker
from kft_tasks.protocol.protocol import Protocol
from kft_tasks.questions import write_questions
from task_helpers import ScriptedAnswerer, make_exemplars, make_question

Run = Callable[..., tuple[int, str, str]]


def half_right(id_: str, exemplar_set: int, kind: str, sample: int) -> bool:
    """Question 0 always, question 1 under exemplar set 0 only, question 2 and 3 never."""
    return id_ == "q0" or (id_ == "q1" and exemplar_set == 0)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """``kft eval`` of a scripted model on four questions of two types, two subjects each."""
    asked = [make_question(f"q{number}", "tu"[number % 2]) for number in range(4)]
    write_questions(tmp_path / "questions.jsonl", [*asked, *make_exemplars("tu")])

    def opened(choice: object, protocol: Protocol, pool: ExemplarPool) -> tuple[ScriptedAnswerer, PromptMaker]:
        return ScriptedAnswerer(half_right, protocol), PromptMaker(protocol, pool)

    monkeypatch.setattr(eval_command, "open_model", opened)

    def call(*arguments: object) -> tuple[int, str, str]:
        file = ["--set", "questions", "--path", str(tmp_path / "questions.jsonl")]
        protocol = ["--exemplar-sets", "2", "--shots", "2", "--with-shots", "2", "--with-shots", "0"]
        with pytest.raises(SystemExit) as stop:
            main(["eval", *file, *protocol, *map(str, arguments)])
        captured = capsys.readouterr()
        return int(stop.value.code or 0), captured.out, captured.err

    return call


def test_accuracy_is_the_mean_over_exemplar_sets(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("--other-type", "--json", "-o", tmp_path / "answers.jsonl")
    assert code == 0
    results = json.loads(out)["results"]
    found = [(one["shots"], one["other_type"], one["sets"], one["n"], one["accuracy"]) for one in results]
    assert found == [(2, False, 2, 4, 3 / 8), (0, False, 1, 4, 0.5), (2, True, 1, 4, 0.5)]
    assert all(one["low"] < one["accuracy"] < one["high"] for one in results)
    assert len(read_answers(tmp_path / "answers.jsonl")) == 4 * 4


def test_the_table_says_how_often_each_question_was_asked_and_what_the_interval_is_for(run: Run) -> None:
    code, out, _ = run("--other-type")
    assert code == 0
    rows = [" ".join(line.split()) for line in out.splitlines()]
    assert next(row for row in rows if "37.5 %" in row).startswith("2 (2 sets) 4 37.5 % (")
    assert [row for row in rows if row.startswith("2 of another type 4 50.0 % (")]
    assert next(row for row in rows if row.startswith("none (0-shot) 4 50.0 % (")).endswith("types like these")
    fewer = run("--exemplar-sets", "1", "--json")[1]
    assert [(one["sets"], one["accuracy"]) for one in json.loads(fewer)["results"]] == [(1, 0.5), (1, 0.5)]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--with-shots", "3"), "--with-shots 3 is more than the 2 exemplars"),
        (("--other-type", "--limit", "1"), "--other-type needs questions of two types"),
    ],
)
def test_what_cannot_be_asked_is_refused(run: Run, arguments: tuple[str, ...], words: str) -> None:
    code, _, err = run(*arguments)
    assert code != 0
    assert words in " ".join(err.split())


def test_exemplars_of_another_type_need_exemplars(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["eval", "--with-shots", "0", "--other-type"])
    assert stop.value.code != 0
    assert "--other-type needs exemplars" in " ".join(capsys.readouterr().err.split())
