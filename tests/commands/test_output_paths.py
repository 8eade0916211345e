"""No command writes over its input, a device, or a file that kft did not write; every output of every command."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest

from certainty_helpers import write_file
from kft_cli.commands.output_paths import STAGE, InputName, InputPath, OutputFile, OutputFolder, WritingCommand
from kft_cli.main import COMMANDS, cli, main
from kft_tasks.errors import StateError
from kft_tasks.outputs import check_output_folder
from kft_tasks.protocol.protocol import Protocol

OURS = (InputName, InputPath, OutputFile, OutputFolder)
# What each command that writes needs besides its output; in.jsonl is an input wherever it can be one.
NEEDS: dict[str, list[str]] = {
    "detect": ["--set", "questions", "--path", "in.jsonl"],
    "eval": ["--set", "questions", "--path", "in.jsonl"],
    "rescore": ["in.jsonl", "--scorer", "exact_match"],
    "grade": ["in.jsonl", "--model", "in.jsonl"],
    "import": ["in.jsonl"],
    "export": ["in.jsonl"],
    "certainty": ["in.jsonl"],
    "compare": ["in.jsonl"],
    "demo": [],
    "run": ["in.jsonl"],
    "experiment": ["in.jsonl"],
    "train": ["demo", "--stage", "stage1", "--now", "in.jsonl"],
    "benchmark": ["--model", "in.jsonl"],
    "data export": ["questions", "--path", "in.jsonl"],
}


def _commands() -> Iterator[tuple[str, click.Command]]:
    context = click.Context(cli)
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        yield name, command
        if isinstance(command, click.Group):
            yield from ((f"{name} {sub}", child) for sub, child in command.commands.items())


def _outputs() -> Iterator[tuple[str, str, bool]]:
    """Command, option, and whether it is a folder."""
    for name, command in _commands():
        for param in command.params:
            if isinstance(param.type, (OutputFile, OutputFolder)):
                yield name, param.opts[0], isinstance(param.type, OutputFolder)


OUTPUTS = list(_outputs())
FILES = [(name, option) for name, option, folder in OUTPUTS if not folder]
every_output = pytest.mark.parametrize(("name", "option", "folder"), OUTPUTS)
every_file = pytest.mark.parametrize(("name", "option"), FILES)


def test_every_path_of_every_command_is_an_input_or_a_checked_output() -> None:
    spoken = re.compile(r"\b(file|folder|path)\b", re.IGNORECASE)
    for name, command in _commands():
        outputs = [param for param in command.params if isinstance(param.type, (OutputFile, OutputFolder))]
        assert not outputs or isinstance(command, WritingCommand), name
        for param in command.params:
            where = f"{name} {param.opts[0]}"
            assert not isinstance(param.type, (click.Path, click.File)) or isinstance(param.type, OURS), where
            assert "-o" not in param.opts or param in outputs, where
            text = getattr(param, "help", None) or ""
            known = where in ("rescore --scorer", "data export --option", "benchmark --contender")
            if isinstance(param.type, click.types.StringParamType) and spoken.search(text) and not known:
                assert isinstance(param.type, OURS) or "column of your own file" in text, where
        recognised = [one.type for one in outputs if isinstance(one.type, OutputFile) or one.type.names]
        assert not recognised or any(param.name == "overwrite" for param in command.params), name
    assert {name for name, _, _ in OUTPUTS} == set(NEEDS)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.jsonl").write_text('{"question": "Q?", "answers": ["A"]}\n', encoding="utf-8")


def _exhaustive(path: Path) -> Path:
    protocol = Protocol(exemplar_sets=2, shots=1, samples=2)
    return write_file(path, {"a": ([1, 0], [0, 1]), "b": ([0, 0], [1, 0])}, protocol)


Refused = Callable[..., str]


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Refused:
    """Run a command that must fail at once and change nothing; returns its error."""

    def run(name: str, option: str, output: str, *more: str) -> str:
        before = _state()
        with pytest.raises(SystemExit) as stopped:
            main([*name.split(), *NEEDS[name], option, output, *more])
        assert stopped.value.code in (1, 2)
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.startswith("Error: ")
        assert captured.err.count("\n") == 1
        assert _state() == before
        return captured.err

    return run


def _state() -> dict[str, object]:
    return {
        str(path): path.read_bytes() if path.is_file() else os.lstat(path).st_mode for path in sorted(Path().rglob("*"))
    }


@every_output
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_device_a_pipe_and_a_wrong_kind_are_never_written(
    name: str, option: str, folder: bool, overwrite: bool, refused: Refused
) -> None:
    os.mkfifo("pipe")
    Path("link").symlink_to("/dev/full")
    more = _overwrite(name) if overwrite else []
    for output in ("/dev/null", "/dev/full", "link", "pipe"):
        assert "a pipe, a socket or a device" in refused(name, option, output, *more)
    if folder:
        Path("file").write_text("mine", encoding="utf-8")
        assert "cannot be a folder" in refused(name, option, "file", *more)
    elif name not in ("rescore", "export"):  # which write into a folder too
        Path("inner").mkdir()
        assert "it is a folder" in refused(name, option, "inner", *more)


def _overwrite(name: str) -> list[str]:
    command = dict(_commands())[name]
    return ["--overwrite"] if any(param.name == "overwrite" for param in command.params) else []


@every_file
@pytest.mark.parametrize("overwrite", [False, True])
def test_an_input_is_never_written_by_any_name(name: str, option: str, overwrite: bool, refused: Refused) -> None:
    Path("symbolic").symlink_to("in.jsonl")
    os.link("in.jsonl", "hard")
    Path("inner").mkdir()
    for output in ("in.jsonl", "./inner/../in.jsonl", str(Path("in.jsonl").absolute()), "symbolic", "hard"):
        assert "is also an input" in refused(name, option, output, *(_overwrite(name) if overwrite else []))


@every_file
def test_a_file_of_somebody_else_is_not_replaced(name: str, option: str, refused: Refused) -> None:
    for content in ("notes", '{"a": 1}\n', "\0\0"):
        Path("mine.jsonl").write_text(content, encoding="utf-8")
        assert "overwrite" in refused(name, option, "mine.jsonl")


@pytest.mark.parametrize(("name", "file"), [("certainty", "certainty.md"), ("benchmark", "benchmark.json")])
def test_a_folder_with_files_of_somebody_else_is_not_written_into(name: str, file: str, refused: Refused) -> None:
    Path("out").mkdir()
    Path("out", file).write_text("{}", encoding="utf-8")
    assert f"out/{file}: already exists" in refused(name, "--output", "out")


@pytest.mark.parametrize("name", ["run", "train", "demo"])
def test_a_folder_of_somebody_else_is_not_written_into(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("out").mkdir()
    Path("out", "notes.txt").write_text("mine", encoding="utf-8")
    arguments = ["demo", "--stage", "stage1", "--now", "in.jsonl"] if name == "train" else ["demo"][: name == "run"]
    with pytest.raises(SystemExit) as stopped:
        main([name, *arguments, "-o", "out"])
    assert stopped.value.code == 1
    assert "Error: " in capsys.readouterr().err
    assert [path.name for path in Path("out").iterdir()] == ["notes.txt"]


def test_a_finished_stage_is_known_as_kfts_own() -> None:
    old = Path(__file__).parents[1] / "fixtures" / "version_0_1_0" / "tiny-run" / "stage1"
    check_output_folder(old, marker="training.json", written=STAGE)
    with pytest.raises(StateError, match="is not the result of a stage that kft wrote"):
        check_output_folder(old.parent, marker="training.json", written=STAGE)


@pytest.mark.parametrize("page", ["README.md", "demo/report.md"])
def test_pages_of_somebody_else_are_not_rendered_over(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    published = Path(__file__).parents[2] / "results" / "worldfacts-full" / "report.json"
    Path("mine", "demo").mkdir(parents=True)
    Path("mine", "demo", "report.json").write_bytes(published.read_bytes())
    Path("mine", page).write_text("# My notes\n", encoding="utf-8")
    with pytest.raises(SystemExit) as stopped:
        main(["report", "--results", "mine"])
    assert stopped.value.code == 1
    assert f"mine/{page}: is not a page that kft wrote" in capsys.readouterr().err
    assert Path("mine", page).read_text(encoding="utf-8") == "# My notes\n"
    Path("mine", page).unlink()
    for _ in range(2):
        with pytest.raises(SystemExit) as stopped:
            main(["report", "--results", "mine"])
        assert stopped.value.code == 0, capsys.readouterr().err


def test_default_outputs_are_checked_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("questions-train.categories.jsonl").symlink_to("in.jsonl")
    with pytest.raises(SystemExit):
        main(["detect", *NEEDS["detect"], "--overwrite"])
    assert "is also an input" in capsys.readouterr().err
    full = _exhaustive(tmp_path / "a.categories.jsonl")
    questions = Path("a.exact_match.categories.jsonl")
    questions.write_text('{"id": "a", "question": "Is it a?", "answers": ["no"]}\n', encoding="utf-8")
    with pytest.raises(SystemExit):
        main(["rescore", full.name, "--questions", questions.name, "--scorer", "exact_match", "--overwrite"])
    assert f"{questions}: is also an input" in capsys.readouterr().err


def test_two_outputs_are_not_one_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    full = _exhaustive(tmp_path / "a.categories.jsonl")
    with pytest.raises(SystemExit) as stopped:
        main(["certainty", full.name, "-o", "out", "--per-question", "out/certainty.json"])
    assert stopped.value.code == 2
    assert "two outputs would be written there" in capsys.readouterr().err


@pytest.mark.usefixtures("no_certainty_figure")
def test_its_own_files_are_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    full = _exhaustive(tmp_path / "a.categories.jsonl")
    for _ in range(2):
        with pytest.raises(SystemExit) as stopped:
            main(["certainty", full.name, "-o", "out", "--per-question", "chances.jsonl"])
        assert stopped.value.code == 0, capsys.readouterr().err


@pytest.fixture
def no_certainty_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kft_cli.commands.certainty.write_certainty_figure", lambda data, path: path.touch())


def _kft(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "kft_cli.main", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("output", ["-", "/dev/stdout"])
@pytest.mark.parametrize("name", ["export", "rescore", "certainty"])
def test_standard_output_is_written_to_as_a_stream(name: str, output: str, tmp_path: Path) -> None:
    full = _exhaustive(tmp_path / "a.categories.jsonl").name
    arguments = {
        "export": ["data", "export", "questions", "--path", "in.jsonl", "-o", output],
        "rescore": ["rescore", full, "--scorer", "answer_contained", "-o", output],
        "certainty": ["certainty", full, "--per-question", output],
    }[name]
    before = Path("/dev/stdout").lstat()
    done = _kft(*arguments)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert rows
    assert all(isinstance(row, dict) for row in rows)
    assert done.stderr  # the tables go there
    assert Path("/dev/stdout").lstat().st_ino == before.st_ino
    both = _kft(*arguments, "--json")
    assert both.returncode == 2
    assert "--json goes to standard output too" in both.stderr


@pytest.mark.parametrize("name", ["detect", "run", "benchmark"])
def test_a_stream_where_none_makes_sense_is_refused(name: str, refused: Refused) -> None:
    assert "and no stream" in refused(name, "--output", "-")
