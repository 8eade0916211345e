"""Shared options become typed records; errors of the library get the option that helps."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from certainty_helpers import write_file
from kft_cli.commands.options import (
    QuestionChoice,
    model_options,
    parse_pairs,
    protocol_options,
    question_options,
    remedy,
)
from kft_cli.main import main
from kft_tasks.errors import DataError, KftError, StateError, UnavailableError, UsageError
from kft_tasks.models.choice import ModelChoice
from kft_tasks.protocol.protocol import Protocol

Failing = Callable[[str, type[KftError], str], None]


def records(*arguments: str) -> dict[str, Any]:
    """What a command with all shared options is called with."""
    given: dict[str, Any] = {}

    @click.command()
    @model_options
    @question_options("validation")
    @protocol_options
    @click.option("--own", default=1)
    def command(choice: ModelChoice, questions: QuestionChoice, protocol: Protocol, own: int) -> None:
        given.update(choice=choice, questions=questions, protocol=protocol, own=own)

    result = CliRunner().invoke(command, list(arguments))
    if result.exception is not None:
        raise result.exception
    return given


def test_without_options_the_records_hold_the_defaults() -> None:
    assert records() == {
        "choice": ModelChoice("smollm2-135m"),
        "questions": QuestionChoice("worldfacts", None, {}, "validation", None),
        "protocol": Protocol(),
        "own": 1,
    }


def test_every_option_reaches_its_record() -> None:
    given = records(
        *("--model", "m", "--adapter", "a", "--dtype", "float32", "--device", "cpu", "--revision", "r"),
        *("--backend", "vllm", "--backend-args", "tensor_parallel_size=2"),
        *("--set", "questions", "--path", "p", "--option", "question=2024", "--split", "test", "--limit", "3"),
        *("--exemplar-sets", "2", "--shots", "1", "--samples", "0", "--temperature", "1", "--top-k", "5"),
        *("--max-tokens", "7", "--scorer", "exact_match", "--seed", "9", "--template", "slick", "--chat"),
        *("--system", "Be brief.", "--exemplars", "per_question", "--no-skip-blank-lines", "--own", "2"),
    )
    assert given == {
        "choice": ModelChoice("m", Path("a"), "float32", "cpu", "r", 16, "vllm", {"tensor_parallel_size": 2}),
        "questions": QuestionChoice("questions", "p", {"question": "2024"}, "test", 3),
        "protocol": Protocol(2, 1, 0, 1.0, 5, 7, "exact_match", 9, "slick", True, "Be brief.", "per_question", False),
        "own": 2,
    }


def test_a_wrong_value_is_refused_before_the_command_runs() -> None:
    with pytest.raises(UsageError, match="exemplar_sets"):
        records("--exemplar-sets", "0")
    with pytest.raises(UsageError, match="--backend-args 'x': write KEY=VALUE"):
        records("--backend-args", "x")


def test_a_choice_of_questions_opens_as_a_target() -> None:
    target = QuestionChoice("worldfacts", None, {}, "test", 4).open()
    assert (target.source.name, target.split, target.limit) == ("worldfacts", "test", 4)
    assert len(list(target.stream()())) == 4


def test_a_remedy_is_added_once_and_only_where_it_applies() -> None:
    def raised(error: KftError, **applies: Any) -> str:
        with pytest.raises(type(error)) as caught, remedy(StateError, "--force", "Use --force.", **applies):
            raise error
        return str(caught.value)

    assert raised(StateError("x exists.")) == "x exists. Use --force."
    assert raised(StateError("x exists. Try --force.")) == "x exists. Try --force."
    assert raised(StateError("x exists."), applies=lambda error: False) == "x exists."
    assert raised(DataError("x is broken.")) == "x is broken."


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Failing:
    """Let a function of a command raise an error that names no options."""

    def replace(place: str, kind: type[KftError], message: str) -> None:
        def fail(*args: object, **values: object) -> None:
            raise kind(message)

        monkeypatch.setattr(f"kft_cli.commands.{place}", fail)

    return replace


def said(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    with pytest.raises(SystemExit) as stopped:
        main([*map(str, arguments), "--json"])
    assert stopped.value.code == 1
    return str(json.loads(capsys.readouterr().out)["error"])


def test_detect_names_the_options_for_an_output_in_the_way(
    failing: Failing, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("kft_cli.commands.detect.identify_choice", lambda choice: choice)
    failing("detect.detect", StateError, "out: exists.")
    arguments = ("detect", "--limit", 1, "-o", tmp_path / "out")
    assert said(capsys, *arguments) == "out: exists."  # there is no such file: something else is in the way
    (tmp_path / "out").touch()
    expected = "out: exists. (-o FILE, --overwrite)"
    assert said(capsys, *arguments) == expected
    assert said(capsys, *arguments, "--overwrite") == "out: exists."


def test_rescore_names_the_options_for_an_output_in_the_way_and_for_the_undecided(
    failing: Failing, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").touch()
    arguments = ("rescore", "in", "--scorer", "exact_match", "-o", tmp_path / "out")
    (tmp_path / "out").write_text("mine")
    assert said(capsys, *arguments).endswith("(-o FILE, --overwrite)")
    (tmp_path / "out").unlink()
    failing("rescore.rescore", DataError, "in: 3 questions are undecided.")
    assert "--allow-undecided" in said(capsys, *arguments)
    failing("rescore.rescore", DataError, "in: not a category file.")
    assert said(capsys, *arguments) == "in: not a category file."


def test_certainty_names_the_option_that_keeps_all_answers(
    failing: Failing, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    failing("certainty.measure_certainty", DataError, "f: lacks answers.")
    protocol = Protocol(exemplar_sets=1, samples=0)
    lazy = write_file(tmp_path / "lazy", {"q": ([1], [0])}, protocol, exhaustive=False)
    full = write_file(tmp_path / "full", {"q": ([1], [0])}, protocol)
    assert said(capsys, "certainty", lazy) == "f: lacks answers. Use `kft detect --exhaustive`."
    assert said(capsys, "certainty", full) == "f: lacks answers."
    assert said(capsys, "certainty", tmp_path / "missing") == "f: lacks answers."


def test_missing_data_are_a_matter_of_the_path(failing: Failing, capsys: pytest.CaptureFixture[str]) -> None:
    failing("options.open_set", UnavailableError, "entityquestions: not here.")
    expected = "entityquestions: not here. Use --path to name a local copy."
    assert said(capsys, "detect", "--set", "entityquestions") == expected


@pytest.mark.parametrize("option", ["--restart", "--overwrite"])
def test_several_processes_cannot_start_over(
    option: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    output = tmp_path / "out"
    with pytest.raises(SystemExit) as stopped:
        main(["detect", "--limit", "1", "-o", str(output), option])
    assert stopped.value.code == 2
    assert f"{option} does not work with several processes. Remove {output}" in capsys.readouterr().err


def test_brackets_in_brackets_are_text() -> None:
    deep = "[" * 100_000
    assert parse_pairs((f"a={deep}",)) == {"a": deep}
