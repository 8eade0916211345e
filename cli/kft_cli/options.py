"""Options that several commands share."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from kft_tasks.errors import UsageError
from kft_tasks.protocol import Protocol
from kft_tasks.questions import SPLITS

if TYPE_CHECKING:
    from kft_tasks.loading import ModelChoice

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


def question_options(split: str) -> Callable[[Command], Command]:
    """Which questions."""

    def decorate(command: Command) -> Command:
        options = [
            click.option(
                "--set", "set_", default="worldfacts", show_default=True, help="Question set; see `kft tasks`."
            ),
            click.option("--path", help="Local file or folder of the set's data."),
            click.option(
                "--option",
                "set_options",
                multiple=True,
                metavar="KEY=VALUE",
                help="Option of the set (relation=P36), or a column of your own file (question=Frage); repeatable.",
            ),
            click.option("--split", type=click.Choice(SPLITS), default=split, show_default=True, help="Its part."),
            click.option("--limit", type=click.IntRange(1), help="That many questions, chosen by a hash of their ids."),
        ]
        return _apply(command, options)

    return decorate


def protocol_options(command: Command) -> Command:
    """How mastery is detected; defaults are SliCK's."""
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
        name, default = f"--{field.name.replace('_', '-')}", field.default
        if isinstance(default, bool):
            options.append(click.option(name, is_flag=True, help=helps[field.name]))
        else:
            shown = bool(default != "")
            options.append(click.option(name, default=default, show_default=shown, help=helps[field.name]))
    return _apply(command, options)


def take_protocol(values: dict[str, Any]) -> Protocol:
    """Remove the protocol's options from a command's values and build it."""
    return Protocol.from_mapping({field.name: values.pop(field.name) for field in dataclasses.fields(Protocol)})


def take_model(values: dict[str, Any]) -> ModelChoice:
    """Remove the model's options from a command's values and build the choice."""
    from kft_tasks.loading import ModelChoice

    names = ("adapter", "dtype", "device", "revision", "backend")
    chosen = {name: values.pop(name) for name in names}
    arguments = parse_pairs(values.pop("backend_args"), "--backend-args", typed=True)
    return ModelChoice(values.pop("model"), **chosen, backend_args=arguments)


def parse_pairs(pairs: tuple[str, ...], option: str = "--option", *, typed: bool = False) -> Mapping[str, Any]:
    """KEY=VALUE options; values are text, or JSON lists and mappings; if ``typed`` JSON of any kind.

    Raises:
        UsageError: no "=".
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        key, sign, value = pair.partition("=")
        if not sign or not key:
            raise UsageError(f"{option} {pair!r}: write KEY=VALUE.")
        found[key] = value
        if typed or value[:1] in ("[", "{"):
            with contextlib.suppress(ValueError):
                found[key] = json.loads(value)
    return found


def _apply(command: Command, options: list[Callable[[Any], Any]]) -> Command:
    for option in reversed(options):
        command = option(command)
    return command
