"""The command ``kft``: a lazy click group. Each command module is imported when its command runs."""

from __future__ import annotations

import importlib
import json
import os
import sys
import warnings
from collections.abc import Sequence

import click

from kft_tasks.errors import KftError
from kft_tasks.version import __version__

COMMANDS = {
    "demo": "Run the whole method on an embedded model and embedded questions.",
    "run": "Run a recipe: detect, train in two stages, evaluate, report.",
    "detect": "Find out how well a model knows each question; write a category file.",
    "rescore": "Score stored answers again, by another rule or with corrected answers; no model.",
    "certainty": "Show what cheaper protocols would have found, and what a re-test would change.",
    "train": "Train one stage of a recipe from category files.",
    "eval": "Measure plain greedy accuracy on a split.",
    "report": "Write the report of a finished run.",
    "compare": "Compare runs with one another and with the paper.",
    "benchmark": "Time stock lm-eval, a careful script and kft side by side.",
    "model": "List, fetch and locate embedded models.",
    "data": "List, fetch, check, show, export and count question sets.",
    "tasks": "List the lm-eval tasks; --path prints their folder for --include_path.",
}


class LazyGroup(click.Group):
    """A group that knows its commands by name and imports one only when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names, in the order of the pipeline."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"kft_cli.commands.{cmd_name}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Suggest the nearest command for an unknown one."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from kft_tasks.errors import suggest

            raise click.UsageError(f"{error.message} {suggest(args[0], COMMANDS)}", ctx) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="kft")
def cli() -> None:
    """Knowledge fine-tuning: find out what a language model half knows, and train on that.

    Start with `kft demo`. Data goes to standard output, narration to standard error.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; every expected error becomes one message and an exit code (1 failed, 2 wrong use)."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # waiting threads that spin stop each other where another program keeps a core busy: steps took 13 s, not 2
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    for library in (
        "transformers",
        "peft",
        "trl",
        "accelerate",
        "lm_eval",
    ):  # among themselves; users can change nothing
        warnings.filterwarnings("ignore", category=FutureWarning, module=library)
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        result = cli.main(args=given, prog_name="kft", standalone_mode=False)
        sys.exit(result if isinstance(result, int) else 0)
    except click.ClickException as error:
        if "--json" in given:
            _print_json_error(error.format_message())
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        click.echo("Interrupted. Run the same command again to go on.", err=True)
        sys.exit(130)
    except KftError as error:
        if "--json" in given:
            _print_json_error(str(error))
        click.echo(f"Error: {error}", err=True)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except OSError as error:  # a full disk, a folder that vanished: the system's own words are the best there are
        click.echo(f"Error: {error.filename or 'file system'}: {error.strerror or error}.", err=True)
        sys.exit(1)


def _print_json_error(message: str) -> None:
    click.echo(json.dumps({"error": message}, ensure_ascii=False))


if __name__ == "__main__":
    main()
