"""What stands around a command: variables, paths of other users, names of rules, and errors that nobody thought of."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from kft_cli import main as main_module
from kft_cli.main import main
from kft_tasks.categories.rescore import default_output
from kft_tasks.errors import UsageError
from kft_tasks.files import cache_folder, home_path
from kft_tasks.launcher import local_rank, this_process
from kft_tasks.question_sets.registry import open_set

FIXTURES = Path(__file__).parents[1] / "fixtures" / "version_0_1_0"


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    captured = capsys.readouterr()
    assert isinstance(stopped.value.code, int)
    return stopped.value.code, captured.out, captured.err


@pytest.mark.parametrize(
    ("rank", "world", "names"),
    [
        ("a", "2", "RANK='a'"),
        ("", "2", "RANK=''"),
        ("-1", "2", "RANK='-1'"),
        ("1" * 5000, "2", "RANK='111"),
        ("²", "2", "RANK='²'"),
        ("0", "x", "WORLD_SIZE='x'"),
        ("0", "0", "WORLD_SIZE=0"),
        ("2", "2", "RANK=2 and WORLD_SIZE=2"),
    ],
)
def test_a_wrong_number_of_the_launcher_is_named(
    rank: str, world: str, names: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", world)
    code, _, err = run(
        capsys, "detect", "--model", "m", "--set", "questions", "--path", str(FIXTURES / "questions.jsonl")
    )
    assert code == 2
    assert names in err
    assert err.count("\n") == 1
    assert len(err) < 300


def test_right_numbers_of_the_launcher_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (this_process().rank, this_process().world, local_rank()) == (0, 1, None)
    for name, value in (("RANK", "1"), ("WORLD_SIZE", "2"), ("LOCAL_RANK", "3")):
        monkeypatch.setenv(name, value)
    assert (this_process().rank, this_process().world, local_rank()) == (1, 2, 3)
    monkeypatch.setenv("LOCAL_RANK", "b")
    with pytest.raises(UsageError, match="LOCAL_RANK='b' is not a number from 0"):
        local_rank()


def test_the_home_folder_of_nobody_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    nobody = "~nosuchuser/x"
    with pytest.raises(UsageError, match="path: '~nosuchuser/x' is in the home folder of nobody"):
        list(open_set("questions", Path(nobody)).split("train"))
    code, _, err = run(capsys, "run", nobody, "--dry-run")
    assert (code, err.count("\n")) == (2, 1)
    assert nobody in err
    code, _, err = run(capsys, "model", "path", nobody)
    assert code == 2
    monkeypatch.setenv("KFT_CACHE", nobody)
    with pytest.raises(UsageError, match="KFT_CACHE: '~nosuchuser/x'"):
        cache_folder()
    monkeypatch.delenv("KFT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", nobody)
    with pytest.raises(UsageError, match="XDG_CACHE_HOME"):
        cache_folder()
    assert home_path("~/x", "path") == Path.home() / "x"


def test_a_rule_that_is_a_path_is_no_rule(capsys: pytest.CaptureFixture[str]) -> None:
    file = FIXTURES / "detection" / "exhaustive.categories.jsonl"
    before = sorted(file.parent.iterdir())
    with pytest.raises(UsageError, match=re.escape("../x")):
        default_output(file, "../x")
    code, out, err = run(capsys, "rescore", str(file), "--scorer", "../x")
    assert (code, out, err.count("Error:")) == (2, "", 1)
    assert "'../x'" in err
    assert sorted(file.parent.iterdir()) == before


@pytest.mark.parametrize(
    "value", ['!!int ""', "!!bool q", "!!timestamp q", "2024-13-45", "{<<: [1]}", "1" * 400, "[" * 99]
)
def test_a_value_that_is_no_yaml_is_named(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "run", "demo", "--dry-run", "--set", f"seed={value}")
    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith("Error: ")


def _break(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    def broken(**_: object) -> None:
        raise ZeroDivisionError("a fault\nof two lines " + "x" * 1000)

    monkeypatch.setattr(main_module.cli, "main", broken)
    monkeypatch.setattr("tempfile.tempdir", str(folder))


def test_an_error_that_nobody_thought_of_is_one_line_and_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _break(monkeypatch, tmp_path)
    code, out, err = run(capsys, "compare", "--json")
    assert code == 70
    assert err.startswith(
        "Error: unexpected, a fault of kft or of a library (ZeroDivisionError: a fault of two lines xxx"
    )
    assert err.count("\n") == 1
    assert len(err) < 500
    (details,) = tmp_path.glob("kft-error-*.txt")
    assert str(details) in err
    assert "Traceback" in details.read_text(encoding="utf-8")
    assert str(details) in json.loads(out)["error"]


def test_the_traceback_is_shown_if_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _break(monkeypatch, tmp_path)
    monkeypatch.setenv("KFT_DEBUG", "1")
    code, _, err = run(capsys, "compare")
    assert code == 70
    assert "Traceback (most recent call last)" in err
    assert not list(tmp_path.glob("kft-error-*.txt"))


def test_without_a_temporary_folder_the_line_says_how_to_see_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _break(monkeypatch, tmp_path / "missing")
    code, _, err = run(capsys, "compare")
    assert code == 70
    assert err.rstrip().endswith("KFT_DEBUG=1 shows details.")
