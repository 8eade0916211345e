"""The command ``kft``: a lazy click group. Each command module is imported when its command runs."""

from __future__ import annotations

import importlib
import io
import json
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Sequence
from typing import NoReturn

import click

from kft_cli.display.libraries import calm_libraries
from kft_tasks.errors import DISK_FULL, KftError, suggest
from kft_tasks.signals import Interrupted, exit_code, raise_on_termination
from kft_tasks.version import __version__
from kft_tasks.visible_text import visible_line, visible_lines, visible_message

GROUPS = {
    "Ask a model": {
        "detect": "Find out how well a model knows each question.",
        "eval": "Measure plain greedy accuracy.",
        "import": "Make a category file from sample logs of lm-eval.",
        "rescore": "Score stored answers by another rule, without a model.",
        "grade": "Let a model judge stored answers, and measure how well it does.",
        "certainty": "Show what cheaper protocols would have found.",
    },
    "Train it": {
        "demo": "Run the whole method on a small model.",
        "run": "Run a recipe: detect, train, evaluate, report.",
        "experiment": "Run arms and seeds of a recipe, each step once.",
        "train": "Train one stage of a recipe.",
        "export": "Write chosen questions as training data, or results as records.",
        "recipes": "List and show the recipes that come with kft.",
    },
    "Report": {
        "report": "Write the report of a finished run.",
        "compare": "Compare runs with one another and with the paper.",
        "check": "Check that a run has not forgotten too much.",
    },
    "Data and models": {
        "data": "List, fetch, check, show and export question sets.",
        "model": "List, fetch and locate the models of kft.",
        "tasks": "List the lm-eval tasks of kft.",
    },
    "Develop": {
        "benchmark": "Time detection or training with kft against other ways.",
    },
}
"""Commands with their summaries, in the order of work; a summary fits on one line of 80 columns."""

UNEXPECTED = 70
"""Exit code of an error that nobody thought of: EX_SOFTWARE of sysexits.h."""

_MODULES = {"import": "import_"}
"""Modules that cannot be called as their command is."""

COMMANDS = {name: summary for commands in GROUPS.values() for name, summary in commands.items()}


class LazyGroup(click.Group):
    """A group that knows its commands by name and imports one only when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names, in the order of work."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"kft_cli.commands.{_MODULES.get(cmd_name, cmd_name)}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Suggest the nearest command for an unknown one."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            raise click.UsageError(f"{error.message} {suggest(args[0], COMMANDS)}", ctx) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands by group, without importing them."""
        widest = max(map(len, COMMANDS))
        for title, commands in GROUPS.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(widest), summary) for name, summary in commands.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="kft")
def cli() -> None:
    """Knowledge fine-tuning: find out what a language model half knows, and train on that.

    Start with `kft demo`. Results go to standard output, narration to standard error.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; every error becomes one message and an exit code.

    Codes: 1 failed, 2 wrong use, 130, 143 or 129 interrupted by SIGINT, SIGTERM or SIGHUP, 70 for an error that nobody
    thought of. ``KFT_DEBUG=1`` shows the traceback of the last kind.
    """
    restore = raise_on_termination()
    try:
        _run(sys.argv[1:] if arguments is None else list(arguments))
    finally:
        restore()


def _run(given: list[str]) -> NoReturn:
    """Run the command line and end with its exit code."""
    calm_libraries()
    try:
        result = cli.main(args=given, prog_name="kft", standalone_mode=False)
        sys.exit(result if isinstance(result, int) else 0)
    except click.ClickException as error:
        vars(error)["message"] = _in_one_line(error.message, given)  # before click cuts escapes out of it
        usage = io.StringIO()
        error.show(usage)
        _print_error(error.format_message(), usage.getvalue().rstrip("\n"), as_json="--json" in given)
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt) as error:
        sys.exit(_interrupted(error))
    except KftError as error:
        _print_error(_in_one_line(str(error), given), as_json="--json" in given)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except OSError as error:  # a full disk, a folder that vanished: nothing says it better than the system itself
        remedy = " Free space and run the same command again." if error.errno in DISK_FULL else ""
        _print_error(f"{visible_line(str(error.filename or 'file system'))}: {error.strerror or error}.{remedy}")
        sys.exit(1)
    except Exception as error:
        _print_error(_unexpected(error), as_json="--json" in given)
        sys.exit(UNEXPECTED)


def _interrupted(error: BaseException) -> int:
    """One line about the signal that ended the command; its exit code."""
    cause = next((one for one in (error, error.__cause__) if isinstance(one, Interrupted)), None)
    by = f" by {cause}" if cause else ""
    click.echo(f"Interrupted{by}. Run the same command again to resume.", err=True)
    return exit_code(cause.number if cause else signal.SIGINT)


def _in_one_line(message: str, given: Sequence[str]) -> str:
    """A message that quotes what was typed, with its line ends as code points: they are not the message's own."""
    for word in given:
        for part in (word, word.partition("=")[2]):
            if part != visible_line(part):
                message = message.replace(part, visible_line(part))
    return message


def _unexpected(error: Exception) -> str:
    """One line about an error that nobody thought of; its traceback goes to a file, or is shown if asked for."""
    text = "".join(traceback.format_exception(error))
    words = " ".join(f"{type(error).__name__}: {error}".split())
    words = words if len(words) <= 200 else f"{words[:200]}..."
    if os.environ.get("KFT_DEBUG", "") not in ("", "0"):
        click.echo(visible_lines(text), err=True)
        return f"unexpected, a fault of kft or of a library ({words}). Details are above; please report them."
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="kft-error-", suffix=".txt", delete=False, encoding="utf-8", errors="backslashreplace"
        ) as stream:
            stream.write(f"kft {__version__}: {' '.join(sys.argv)}\n\n{text}")
        where = f"Details are in {stream.name}; please report them"
    except OSError:
        where = "KFT_DEBUG=1 shows details"
    return f"unexpected, a fault of kft or of a library ({words}). {where}."


def _print_error(message: str, shown: str | None = None, *, as_json: bool = False) -> None:
    """Print an error, and as JSON too where that was asked for; what it quotes from files cannot steer a terminal.

    Args:
        shown: what is printed for people; "Error: " and the message where it is not given.
    """
    if as_json:
        click.echo(json.dumps({"error": visible_lines(message)}, ensure_ascii=False))
    click.echo(visible_lines(shown) if shown else visible_message(f"Error: {message}"), err=True)


if __name__ == "__main__":
    main()
