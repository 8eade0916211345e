"""Options that several commands share, handed to the command as one typed record per group."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from kft_cli.commands.output_paths import InputName, InputPath
from kft_cli.display.console import narrate
from kft_tasks.detection.target import Target
from kft_tasks.errors import KftError, UnavailableError, UsageError
from kft_tasks.models.choice import ModelChoice
from kft_tasks.protocol.protocol import Protocol
from kft_tasks.question_sets.info import scorer_of
from kft_tasks.question_sets.registry import open_set
from kft_tasks.questions import SPLITS, QuestionSet
from kft_tasks.scoring.scorers import SCORERS
from kft_tasks.strict_json import parse_json

Command = TypeVar("Command", bound=Callable[..., Any])
Result = TypeVar("Result")
OptionDecorator = Callable[[Callable[..., Any]], Callable[..., Any]]

SCORER_NAMES = ", ".join(SCORERS)

json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on standard output.")
open_option = click.option("--open", "opened", is_flag=True, help="Open the page in the browser.")
overrides_option = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override a value of the recipe, such as stages.0.learning_rate=1e-4; repeatable.",
)
workers_option = click.option(
    "--workers",
    type=click.IntRange(1, 64),
    help="Processes that do steps at the same time.  [default: 2 on a CPU with memory for two models, else 1]",
)


def model_options(command: Callable[..., Result]) -> Callable[..., Result]:
    """Which model: the command gets ``choice``, a :class:`ModelChoice`."""
    options = [
        click.option(
            "--model",
            type=InputName(),
            default="smollm2-135m",
            show_default=True,
            help="Alias from `kft model list`, local folder or Hugging Face hub id.",
        ),
        click.option("--adapter", type=InputPath(), help="Folder of a PEFT adapter.  [default: no adapter]"),
        click.option(
            "--dtype",
            default="auto",
            show_default=True,
            help="Precision of the weights: auto, float32, bfloat16 or float16.",
        ),
        click.option("--device", help="cpu, cuda, cuda:1 ...  [default: a GPU if there is one]"),
        click.option("--revision", help="Branch, tag or commit of a hub id.  [default: the main branch]"),
        click.option(
            "--backend",
            type=click.Choice(["hf", "vllm", "sglang", "local-completions"]),
            default="hf",
            show_default=True,
            help="What runs the model: hf is kft's own engine on transformers, the others go through lm-eval. "
            "With local-completions, --model is the name the server gives the model.",
        ),
        click.option(
            "--backend-args",
            multiple=True,
            metavar="KEY=VALUE",
            help="Argument of lm-eval's class for the backend, such as base_url=...; repeatable.",
        ),
    ]
    return _hand_over(command, options, "choice", _take_model)


_path_option = click.option(
    "--path",
    type=InputName(),
    help="Local file or folder with the set's data.  [default: where `kft data list` finds it]",
)
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


@dataclass(frozen=True)
class QuestionChoice:
    """Which questions, as a user names them.

    Attributes:
        set: name of the question set.
        path: local file or folder with its data; None lets the set find them.
        options: of the set.
        limit: number of questions, chosen by a hash of their ids; None for all.
    """

    set: str
    path: str | None
    options: Mapping[str, Any]
    split: str
    limit: int | None

    def open(self) -> Target:
        """Open the set.

        Raises:
            UsageError: an unknown set, an unknown option or a wrong value.
            DataError: the data are not here or cannot be used.
        """
        with remedy(UnavailableError, "--path", "Use --path to name a local copy."):
            source = open_set(self.set, self.path, self.options)
        return Target(source, self.split, self.limit, self.options)


def question_options(split: str) -> Callable[[Callable[..., Result]], Callable[..., Result]]:
    """Which questions: the command gets ``questions``, a :class:`QuestionChoice`.

    Args:
        split: the default one.
    """
    options = [
        click.option(
            "--set",
            "set_",
            default="worldfacts",
            show_default=True,
            help="Question set; `kft data list` shows them all.",
        ),
        _path_option,
        _set_option,
        click.option(
            "--split", type=click.Choice(SPLITS), default=split, show_default=True, help="Split of the question set."
        ),
        click.option(
            "--limit",
            type=click.IntRange(1),
            help="Number of questions, chosen by a hash of their ids.  [default: all]",
        ),
    ]
    return lambda command: _hand_over(command, options, "questions", _take_questions)


_PROTOCOL_HELP = {
    "exemplar_sets": "Few-shot prompts per question, each with exemplars of its own.",
    "shots": "Exemplars per prompt.",
    "samples": "Sampled answers per prompt, besides the greedy one.",
    "temperature": "Temperature of the sampled answers.",
    "top_k": "Sample among this many most likely tokens.",
    "max_tokens": "Length limit of an answer, in tokens.",
    "scorer": f"Rule that decides whether an answer is right: {SCORER_NAMES}.",
    "seed": "Seed for drawing exemplars and for sampling.",
    "template": "Wording of the prompt: qa or slick.",
    "chat": "Put prompts through the model's chat template.",
    "system": "System prompt.  [default: none]",
    "exemplars": "fixed: all questions of a type share the exemplars; per_question: each has its own.",
    "skip_blank_lines": "Skip blank lines before an answer, so that an answer on the next line counts.",
}


def protocol_options(command: Callable[..., Result]) -> Callable[..., Result]:
    """How mastery is detected, by default as in SliCK: the command gets ``protocol``, a :class:`Protocol`."""
    return _protocol_of(command, [field.name for field in dataclasses.fields(Protocol)])


def exemplar_options(command: Callable[..., Result]) -> Callable[..., Result]:
    """How questions are asked: the command gets ``protocol``, with options for what prompts depend on (except chat)."""
    return _protocol_of(command, ["exemplar_sets", "shots", "seed", "template"])


def fitting_protocol(protocol: Protocol, source: QuestionSet, *, told: bool = True) -> Protocol:
    """The protocol with the question set's own default scorer, if it has one and the user named no other.

    Args:
        told: whether to say so.
    """
    scorer = scorer_of(source)
    named = click.get_current_context().get_parameter_source("scorer") is not ParameterSource.DEFAULT
    if scorer is None or named or scorer == protocol.scorer:
        return protocol
    if told:
        narrate(
            f"Scorer: {scorer}, because the accepted answers of {source.name} are whole sentences here "
            f"(--scorer {protocol.scorer} for the usual rule)."
        )
    return dataclasses.replace(protocol, scorer=scorer)


def _protocol_of(command: Callable[..., Result], names: Sequence[str]) -> Callable[..., Result]:
    return _hand_over(command, _protocol_options(names), "protocol", _take_protocol)


def _protocol_options(names: Sequence[str]) -> list[OptionDecorator]:
    options: list[OptionDecorator] = []
    for field in dataclasses.fields(Protocol):
        if field.name not in names:
            continue
        name, default, text = f"--{field.name.replace('_', '-')}", field.default, _PROTOCOL_HELP[field.name]
        if default is True:
            options.append(click.option(f"{name}/--no-{name[2:]}", default=default, show_default=True, help=text))
        elif isinstance(default, bool):
            options.append(click.option(name, is_flag=True, help=text))
        else:
            options.append(click.option(name, default=default, show_default=default != "", help=text))
    return options


def _take_protocol(values: dict[str, Any]) -> Protocol:
    """Remove the protocol's options from a command's values and build it; fields without an option get the default."""
    names = [field.name for field in dataclasses.fields(Protocol) if field.name in values]
    return Protocol.from_mapping({name: values.pop(name) for name in names})


def _take_model(values: dict[str, Any]) -> ModelChoice:
    names = ("adapter", "dtype", "device", "revision", "backend")
    chosen = {name: values.pop(name) for name in names}
    arguments = parse_pairs(values.pop("backend_args"), "--backend-args", typed=True)
    return ModelChoice(values.pop("model"), **chosen, backend_args=arguments)


def _take_questions(values: dict[str, Any]) -> QuestionChoice:
    name, path, options = values.pop("set_"), values.pop("path"), parse_pairs(values.pop("set_options"))
    return QuestionChoice(name, path, options, values.pop("split"), values.pop("limit"))


def parse_pairs(pairs: tuple[str, ...], option: str = "--option", *, typed: bool = False) -> Mapping[str, Any]:
    """Parse KEY=VALUE options; values are JSON if they parse as such, else text.

    Args:
        typed: numbers and null are JSON too; otherwise they stay text, as a column may be called 2024.

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
            parsed = parse_json(value)  # of brackets in brackets too a ValueError
            if typed or isinstance(parsed, (bool, list, dict)):
                found[key] = parsed
    return found


@contextlib.contextmanager
def remedy(
    kind: type[KftError], option: str, hint: str, *, applies: Callable[[KftError], bool] = lambda error: True
) -> Iterator[None]:
    """Add to an error of the library what to type: the library knows no options.

    Args:
        option: errors that name it already stay as they are.
        hint: a sentence, added to the message.
        applies: whether the hint helps with this error of the kind.
    """
    try:
        yield
    except kind as error:
        if option not in str(error) and applies(error):
            error.args = (f"{error} {hint}",)
        raise


def _hand_over(
    command: Callable[..., Result],
    options: Sequence[OptionDecorator],
    name: str,
    take: Callable[[dict[str, Any]], object],
) -> Callable[..., Result]:
    """Add options to a command that gets what ``take`` makes of their values, as its parameter ``name``."""

    @functools.wraps(command)
    def with_record(**values: Any) -> Result:
        record = take(values)
        return command(**values, **{name: record})

    return _apply(with_record, options)


def _apply(command: Command, options: Sequence[Callable[[Any], Any]]) -> Command:
    for option in reversed(options):
        command = option(command)
    return command
