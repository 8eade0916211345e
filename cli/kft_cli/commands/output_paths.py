"""Paths that commands read and write, as click types, so that no command writes over what it must not.

Every path on the command line is an :class:`InputPath` or an :class:`OutputFile` or :class:`OutputFolder`; a command
with one of the latter is a :class:`WritingCommand`, which checks them before it runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from kft_cli.display.console import STDOUT_TAKEN
from kft_tasks.errors import StateError, UsageError
from kft_tasks.files import is_stdout
from kft_tasks.outputs import Written, check_output, check_output_folder

overwrite_option = click.option("--overwrite", is_flag=True, help="Replace an existing output.")

CATEGORY_FILE = Written("a category file", lambda row: str(row.get("format", "")).startswith("kft-categories/"))
ANSWERS = Written("a file of answers", lambda row: {"id", "question", "shots", "given", "right"} <= set(row))
CHANCES = Written("a file of chances", lambda row: {"id", "category", "change", "retest"} <= set(row))
CERTAINTY = Written("a certainty.json", lambda value: {"file_digest", "grid", "retest"} <= set(value))
BENCHMARK = Written("a benchmark.json", lambda value: {"settings", "hardware", "versions", "results"} <= set(value))
COMPARISON = Written("a comparison.json", lambda value: str(value.get("format", "")).startswith("kft-comparison/"))
STAGE = Written("the result of a stage", lambda value: str(value.get("format", "")).startswith("kft-training/"))


class InputPath(click.Path):
    """A file or folder that a command reads."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)


class InputName(click.types.StringParamType):
    """A name, or the path of a file or folder that a command reads."""


class OutputFile(click.Path):
    """A file that a command writes.

    Args:
        written: by which an existing file is known as kft's own, and replaced; without it, only ``--overwrite`` does.
        stream: whether it may be standard output (``-``).
        or_folder: whether it may be a folder for several files, which the command checks with :func:`checked`.
    """

    def __init__(self, written: Written | None = None, *, stream: bool = False, or_folder: bool = False) -> None:
        super().__init__(path_type=Path)
        self.written = written
        self.stream = stream
        self.or_folder = or_folder

    def files(self, output: Path) -> list[Path]:
        """The files that are written."""
        return [output]

    def check(self, output: Path, inputs: Sequence[Path], *, overwrite: bool) -> None:
        """Refuse what would destroy something, see :func:`kft_tasks.outputs.check_output`."""
        if is_stdout(output) and not self.stream:
            raise UsageError(f"{output}: this command writes a file, and no stream. Name a file.")
        if self.or_folder and output.is_dir():
            check_output_folder(output, inputs)
            return
        check_output(output, inputs, written=self.written, overwrite=overwrite)


class OutputFolder(click.Path):
    """A folder that a command writes into.

    Args:
        names: files that are written; none for a folder that its writer recognises itself, such as a run.
        marker: the one of them by which all are known as kft's own.
        written: how it is recognised.
    """

    def __init__(self, *names: str, marker: str = "", written: Written | None = None) -> None:
        super().__init__(path_type=Path)
        self.names = names
        self.marker = marker
        self.written = written

    def files(self, output: Path) -> list[Path]:
        """The files that are written."""
        return [output / name for name in self.names]

    def check(self, output: Path, inputs: Sequence[Path], *, overwrite: bool) -> None:
        """Refuse what would destroy something, see :func:`kft_tasks.outputs.check_output_folder`."""
        if is_stdout(output):
            raise UsageError(f"{output}: this command writes a folder, and no stream. Name a folder.")
        check_output_folder(
            output, inputs, names=self.names, marker=self.marker, written=self.written, overwrite=overwrite
        )


class WritingCommand(click.Command):
    """A command with outputs, which are checked before it runs; :func:`checked` is for those that it names itself."""

    def invoke(self, ctx: click.Context) -> Any:
        """Check the outputs, then run."""
        places: set[Path] = set()
        for param, kind in _outputs_of(self):
            output = ctx.params.get(param.name or "")
            if output is None:
                continue
            _check(ctx, param, kind, output)
            if is_stdout(output):
                ctx.meta[STDOUT_TAKEN] = True
                if ctx.params.get("as_json"):
                    raise UsageError(f"{_option(param)}: --json goes to standard output too. Name a file.")
            for place in (file.absolute() for file in kind.files(output)):
                if place in places:
                    raise UsageError(f"{place}: two outputs would be written there. Name another file.")
                places.add(place)
        return super().invoke(ctx)


def checked(output: Path) -> Path:
    """An output of the command that runs, in place of what its option does not name; checked in the same way.

    Raises:
        UsageError: it is an input.
        DataError: it is a folder or a device.
        StateError: it exists and is not kft's own.
    """
    ctx = click.get_current_context()
    ((param, kind),) = (pair for pair in _outputs_of(ctx.command) if pair[0].name == "output")
    _check(ctx, param, kind, output)
    return output


def _outputs_of(command: click.Command) -> list[tuple[click.Parameter, OutputFile | OutputFolder]]:
    pairs = ((param, param.type) for param in command.params)
    return [(param, kind) for param, kind in pairs if isinstance(kind, (OutputFile, OutputFolder))]


def _check(ctx: click.Context, param: click.Parameter, kind: OutputFile | OutputFolder, output: Path) -> None:
    inputs = [path for one in ctx.command.params for path in _inputs_of(one, ctx.params.get(one.name or ""))]
    try:
        kind.check(output, inputs, overwrite=bool(ctx.params.get("overwrite")))
    except StateError as error:
        if "overwrite" not in ctx.params:
            raise
        raise StateError(f"{error} ({_option(param)}, --overwrite)") from error


def _option(param: click.Parameter) -> str:
    """How an output is named, such as "-o FILE"."""
    return f"{min(param.opts, key=len)} {'FILE' if isinstance(param.type, OutputFile) else 'FOLDER'}"


def _inputs_of(param: click.Parameter, value: Any) -> Iterator[Path]:
    """The files and folders that a parameter names."""
    if isinstance(value, tuple):
        for one in value:
            yield from _inputs_of(param, one)
    elif value is not None and isinstance(param.type, (InputPath, InputName)):
        try:
            path = Path(value).expanduser()
        except RuntimeError:  # of an unknown user: the command says so
            return
        if isinstance(param.type, InputPath) or path.exists():
            yield path
