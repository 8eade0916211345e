"""Options that several commands share."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from kft_tasks.errors import UsageError
from kft_tasks.protocol.protocol import Protocol
from kft_tasks.questions import SPLITS

if TYPE_CHECKING:
    from kft_tasks.models.choice import ModelChoice

Command = TypeVar("Command", bound=Callable[..., Any])

json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on standard output.")


def model_options(command: Command) -> Command:
    """Which model."""
    options = [
        click.option("--model", default="smollm2-135m", show_default=True, help="Alias, local folder or hub id."),
        click.option("--adapter", type=click.Path(path_type=Path), help="PEFT adapter folder."),
        click.option("--dtype", default="auto", show_default=True, help="auto, float32, bfloat16 or float16."),
        click.option("--device", help="cpu, cuda, cuda:1 ... Default: a GPU where there is one."),
        click.option("--revision", help="Revision of a hub id."),
        click.option(
            "--backend",
            type=click.Choice(["hf", "vllm", "sglang", "local-completions"]),
            default="hf",
            show_default=True,
            help="Engine: kft's own on transformers, or another through lm-eval; of a server --model is the name.",
        ),
        click.option(
            "--backend-args",
            multiple=True,
            metavar="KEY=VALUE",
            help="Argument of lm-eval's class for the engine, such as base_url=...; repeatable.",
        ),
    ]
    return _apply(command, options)


_path_option = click.option("--path", help="Local file or folder of the set's data.")
_set_option = click.option(
    "--option",
    "set_options",
    multiple=True,
    metavar="KEY=VALUE",
    help="Option of the set (relation=P36), or a column of your own file (question=Frage); repeatable.",
)


def set_argument(command: Command) -> Command:
    """A question set as argument, its place and its options."""
    return _apply(command, [click.argument("set_", metavar="SET"), _path_option, _set_option])


def question_options(split: str) -> Callable[[Command], Command]:
    """Which questions."""

    def decorate(command: Command) -> Command:
        options = [
            click.option(
                "--set", "set_", default="worldfacts", show_default=True, help="Question set; see `kft tasks`."
            ),
            _path_option,
            _set_option,
            click.option("--split", type=click.Choice(SPLITS), default=split, show_default=True, help="Its part."),
            click.option("--limit", type=click.IntRange(1), help="That many questions, chosen by a hash of their ids."),
        ]
        return _apply(command, options)

    return decorate


def protocol_options(command: Command) -> Command:
    """How mastery is detected; defaults are SliCK's."""
    return _apply(command, _protocol_options([field.name for field in dataclasses.fields(Protocol)]))


def exemplar_options(command: Command) -> Command:
    """How questions are asked: what of the protocol the prompts depend on, chat aside."""
    return _apply(command, _protocol_options(["exemplar_sets", "shots", "seed", "template"]))


def _protocol_options(names: Sequence[str]) -> list[Callable[[Any], Any]]:
    helps = {
        "exemplar_sets": "Few-shot prompts a question.",
        "shots": "Exemplars in one set.",
        "samples": "Sampled answers an exemplar set.",
        "temperature": "Of the sampled answers.",
        "top_k": "Tokens a sampled answer chooses among.",
        "max_tokens": "Tokens of one answer at most.",
        "scorer": "Rule for a right answer.",
        "seed": "Of exemplars and samples.",
        "template": "Prompt text: qa or slick.",
        "chat": "Use the model's chat template.",
        "system": "System prompt.",
    }
    options = []
    for field in dataclasses.fields(Protocol):
        if field.name not in names:
            continue
        name, default = f"--{field.name.replace('_', '-')}", field.default
        if isinstance(default, bool):
            options.append(click.option(name, is_flag=True, help=helps[field.name]))
        else:
            shown = bool(default != "")
            options.append(click.option(name, default=default, show_default=shown, help=helps[field.name]))
    return options


def take_protocol(values: dict[str, Any]) -> Protocol:
    """Remove the protocol's options from a command's values and build it; what it has no option for is the default."""
    names = [field.name for field in dataclasses.fields(Protocol) if field.name in values]
    return Protocol.from_mapping({name: values.pop(name) for name in names})


def take_model(values: dict[str, Any]) -> ModelChoice:
    """Remove the model's options from a command's values and build the choice."""
    from kft_tasks.models.choice import ModelChoice

    names = ("adapter", "dtype", "device", "revision", "backend")
    chosen = {name: values.pop(name) for name in names}
    arguments = parse_pairs(values.pop("backend_args"), "--backend-args", typed=True)
    return ModelChoice(values.pop("model"), **chosen, backend_args=arguments)


def parse_pairs(pairs: tuple[str, ...], option: str = "--option", *, typed: bool = False) -> Mapping[str, Any]:
    """KEY=VALUE options; values are JSON where they parse, else text; numbers stay text if not ``typed``.

    Raises:
        UsageError: no "=".
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        key, sign, value = pair.partition("=")
        if not sign or not key:
            raise UsageError(f"{option} {pair!r}: write KEY=VALUE.")
        found[key] = value
        with contextlib.suppress(ValueError):
            parsed = json.loads(value)
            if typed or isinstance(parsed, (bool, list, dict)):  # a column may be called 2024
                found[key] = parsed
    return found


def _apply(command: Command, options: list[Callable[[Any], Any]]) -> Command:
    for option in reversed(options):
        command = option(command)
    return command
