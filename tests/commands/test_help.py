"""The command line describes itself: every command has help and an example, every option a text, and all stay light."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
import typing
from collections import Counter
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from kft_cli.main import COMMANDS, GROUPS, cli

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "cli" / "kft_cli" / "commands"
HEAVY = ("torch", "transformers", "lm_eval", "trl", "peft", "datasets", "accelerate", "scipy")


def commands() -> list[tuple[str, click.Command]]:
    context = click.Context(cli)
    found = []
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        found.append((name, command))
        if isinstance(command, click.Group):
            found += [(f"{name} {sub}", child) for sub, child in command.commands.items()]
    return found


def options(command: click.Command) -> list[click.Option]:
    return [parameter for parameter in command.params if isinstance(parameter, click.Option)]


ALL = commands()
every_command = pytest.mark.parametrize(("name", "command"), ALL, ids=[name for name, _ in ALL])
# the commands under `kft data` list the exemplar options one by one and keep looser rules
STRICT = [(name, command) for name, command in ALL if not name.startswith("data ")]
strict_command = pytest.mark.parametrize(("name", "command"), STRICT, ids=[name for name, _ in STRICT])


@every_command
def test_every_command_and_option_has_help(name: str, command: click.Command) -> None:
    assert command.help, name
    for option in options(command):
        assert option.help, f"{name}: {option.opts}"
    result = CliRunner().invoke(cli, [*name.split(), "--help"])
    assert result.exit_code == 0
    assert CliRunner().invoke(cli, [*name.split(), "-h"]).output == result.output


@strict_command
def test_every_command_begins_with_a_summary_of_one_sentence(name: str, command: click.Command) -> None:
    summary = (command.help or "").split("\n\n")[0]
    assert summary.endswith("."), summary
    assert ". " not in summary, summary


@every_command
def test_every_command_shows_one_example(name: str, command: click.Command) -> None:
    assert (command.help or "").count("Example: ") == 1


@strict_command
def test_every_option_says_its_default(name: str, command: click.Command) -> None:
    for option in options(command):
        assert option.help is not None
        if option.is_flag or option.required or (option.multiple and option.default is None):
            continue
        shown = option.show_default or "[default: " in option.help
        assert shown or "repeatable" in option.help, f"{name} {option.opts}"


@strict_command
def test_help_texts_are_sentences(name: str, command: click.Command) -> None:
    for option in options(command):
        text = (option.help or "").partition("  [default: ")[0]
        assert text.endswith((".", "...")), f"{name} {option.opts}: {text}"
        assert not text.startswith("Of "), f"{name} {option.opts}: {text}"


def test_every_command_stands_in_one_group() -> None:
    counts = Counter(name for group in GROUPS.values() for name in group)
    modules = {file.stem.rstrip("_") for file in FOLDER.glob("*.py")} - {"__init", "options", "output_paths"}
    assert counts == Counter(modules)
    assert list(COMMANDS) == list(counts)


def test_help_lists_the_groups_with_a_line_per_command() -> None:
    lines = CliRunner().invoke(cli, ["--help"], terminal_width=80).output.splitlines()
    positions = [lines.index(f"{title}:") for title in GROUPS]
    assert positions == sorted(positions)
    for position, group in zip(positions, GROUPS.values(), strict=True):
        shown = [tuple(line.split(maxsplit=1)) for line in lines[position + 1 : position + 1 + len(group)]]
        assert shown == list(group.items())


@strict_command
def test_every_parameter_of_a_command_is_typed(name: str, command: click.Command) -> None:
    assert command.callback is not None
    callback = inspect.unwrap(command.callback)
    assert inspect.Parameter.VAR_KEYWORD not in {
        parameter.kind for parameter in inspect.signature(callback).parameters.values()
    }
    assert Any not in typing.get_type_hints(callback).values()


def test_the_readme_of_the_commands_lists_them_as_the_help_does() -> None:
    readme = (ROOT / "cli" / "README.md").read_text(encoding="utf-8")
    for name, summary in COMMANDS.items():
        assert f"| `kft {name}` | {summary} |" in readme


def _loaded_by(code: str) -> set[str]:
    show = "import atexit, sys; atexit.register(lambda: print(*sys.modules, file=sys.stderr)); "
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "cli")])}
    result = subprocess.run(
        [sys.executable, "-c", show + code], capture_output=True, text=True, check=True, env=environment
    )
    return set(result.stderr.split())


def test_help_loads_nothing_heavy() -> None:
    loaded = _loaded_by("import kft_cli.main as m; m.main(['-h'])")
    assert sorted({*HEAVY, "numpy", "pydantic", "rich"} & loaded) == []


def test_no_command_loads_anything_heavy_before_it_runs() -> None:
    imports = "".join(f"import kft_cli.commands.{file.stem}; " for file in FOLDER.glob("[a-z]*.py"))
    assert sorted(set(HEAVY) & _loaded_by(imports)) == []
