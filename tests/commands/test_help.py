"""The command line describes itself: every command has help and an example, every option a text, and all stay light."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from kft_cli.main import COMMANDS, cli

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "transformers", "lm_eval", "trl", "peft", "datasets", "scipy", "matplotlib", "numpy", "pydantic")


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


@pytest.mark.parametrize(("name", "command"), commands(), ids=[name for name, _ in commands()])
def test_every_command_and_option_has_help(name: str, command: click.Command) -> None:
    assert command.help, name
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{name}: {parameter.opts}"
    result = CliRunner().invoke(cli, [*name.split(), "--help"])
    assert result.exit_code == 0
    assert CliRunner().invoke(cli, [*name.split(), "-h"]).output == result.output


@pytest.mark.parametrize("name", [name for name, command in commands() if " " not in name])
def test_every_command_shows_an_example(name: str) -> None:
    assert "Example" in CliRunner().invoke(cli, [name, "--help"]).output


def test_every_command_stands_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [name for name in COMMANDS if f"kft {name}" not in readme] == []


def test_help_loads_nothing_heavy() -> None:
    show = "import atexit, sys, kft_cli.main as m; atexit.register(lambda: print(*sys.modules, file=sys.stderr)); "
    code = show + "m.main(['-h'])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert sorted(set(HEAVY) & set(result.stderr.split())) == []
