"""Bad input: one clear message, exit code 1 or 2, no traceback, nothing overwritten."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kft_cli.commands.options import parse_pairs
from kft_cli.main import main
from tiny import make_tiny_model

GOOD = '{"id": "a", "question": "What is one plus one?", "answers": ["2"], "split": "train"}\n'


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    captured = capsys.readouterr()
    assert isinstance(stopped.value.code, int)
    return stopped.value.code, captured.out, captured.err


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_tiny_model(tmp_path_factory.mktemp("model")))


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "missing.jsonl"),
        (GOOD + "{broken\n", ":2"),
        (GOOD + GOOD, "'a'"),
        ("", "no questions"),
        ('{"id": "a", "question": "Q?", "answers": []}\n', "answers"),
    ],
    ids=["missing file", "broken line", "duplicate id", "empty set", "no answers"],
)
def test_bad_question_files(
    content: str | None, says: str, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "missing.jsonl"
    if content is not None:
        path = tmp_path / "questions.jsonl"
        path.write_text(content, encoding="utf-8")
    before = sorted(tmp_path.iterdir())
    code, out, err = run(capsys, "detect", "--model", model, "--set", "questions", "--path", str(path))
    assert code in (1, 2)
    assert out == ""
    assert says in err
    assert err.count("Error:") == 1
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("run", "demmo"), "Did you mean 'demo'?"),
        (("run", "demo", "--set", "stages.0.lerning_rate=1"), "Did you mean 'learning_rate'?"),
        (("detect", "--set", "worldfact"), "Did you mean 'worldfacts'?"),
        (("detect", "--scorer", "exactmatch"), "Did you mean 'exact_match'?"),
        (("detect", "--exemplar-sets", "0"), "exemplar_sets"),
        (("model", "path", "smollm"), "smollm2-135m"),
        (("detcet",), "Did you mean 'detect'?"),
        (("train", "demo", "--stage", "stage3", "--now", "x", "-o", "y"), "stage1"),
    ],
)
def test_wrong_use_is_exit_code_2_with_a_suggestion(
    arguments: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert says in err


def test_json_gives_json_even_for_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "run", "demmo", "--json")
    assert code == 2
    assert "demmo" in json.loads(out)["error"]
    assert "demmo" in err


def test_a_foreign_output_is_not_overwritten(model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work", encoding="utf-8")
    code, _, err = run(capsys, "run", "demo", "-o", "mine", "--set", f"model.id={model}")
    assert code == 1
    assert "not a run of kft" in err
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]

    (tmp_path / "categories.jsonl").write_text("notes\n", encoding="utf-8")
    code, _, err = run(capsys, "detect", "--model", model, "--limit", "4", "-o", "categories.jsonl")
    assert code == 1
    assert "categories.jsonl" in err
    assert (tmp_path / "categories.jsonl").read_text(encoding="utf-8") == "notes\n"


def test_no_write_permission(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "detect", "--model", model, "--limit", "4", "-o", "/proc/here/categories.jsonl")
    assert code == 1
    assert "cannot be written" in err
    code, _, err = run(capsys, "run", "demo", "-o", "/proc/here", "--set", f"model.id={model}")
    assert code == 1
    assert "cannot be written" in err


def test_a_category_file_of_another_model_is_refused(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ("--exemplar-sets", "1", "--samples", "0", "--max-tokens", "1", "--limit", "4")
    code, _, err = run(capsys, "detect", "--model", model, *small, "-o", "one.jsonl")
    assert code == 0, err
    other = str(make_tiny_model(tmp_path / "other", seed=7))
    code, _, err = run(capsys, "detect", "--model", other, *small, "-o", "one.jsonl")
    assert code == 1
    assert "another model" in err
    assert "--overwrite" in err
    arguments = (
        "train",
        "demo",
        "--set",
        f"model.id={other}",
        "--stage",
        "stage1",
        "--now",
        "one.jsonl",
        "-o",
        "stage1",
    )
    code, _, err = run(capsys, *arguments)
    assert code == 1
    assert "made for" in err
    assert not (tmp_path / "stage1").exists()


@pytest.mark.parametrize(
    ("given", "typed", "found"),
    [
        ("question=2024", False, "2024"),
        ("question=2024", True, 2024),
        ("flag=true", False, True),
        ('relation=["P17", "P36"]', False, ["P17", "P36"]),
        ("a=b=c", False, "b=c"),
        ("name=null", False, "null"),
    ],
)
def test_values_of_options_are_json_but_numbers_may_be_names(given: str, typed: bool, found: object) -> None:
    assert parse_pairs((given,), typed=typed) == {given.partition("=")[0]: found}


@pytest.mark.parametrize("arguments", [("tasks", "\x1b]0;owned\x07x"), ("data", "check", "no\x9b31m", "--json")])
def test_an_error_that_quotes_control_characters_cannot_steer_a_terminal(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, *arguments)
    assert code == 2
    assert "⟨U+" in err
    assert not [one for one in out + err if (ord(one) < 32 and one != "\n") or 127 <= ord(one) < 160]
