"""Descriptions of question sets: source, licence, sizes, and the options they take, which are checked here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from kft_tasks.errors import UsageError, suggest
from kft_tasks.questions import SPLITS

Kind = Literal["flag", "choice", "text", "names"]
_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


@dataclass(frozen=True)
class OptionInfo:
    """One option of a set.

    Attributes:
        name: key in ``options``.
        help: one sentence for recipes, YAML files and the command line.
        default: value when the option is not given.
        kind: ``flag``, ``choice``, ``text`` or ``names`` (list, or text with commas).
        choices: allowed values of ``choice`` and ``names``; if empty, any.
    """

    name: str
    help: str
    default: object
    kind: Kind
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class SetInfo:
    """One question set, as help, README and errors show it.

    Attributes:
        name: as in ``kft_<name>`` and ``open_set(name)``.
        title: the data set's name as its authors write it.
        description: one sentence.
        source: hub id, URL or package that the data come from.
        paper: reference, or "".
        licence: licence of the data.
        types: what ``Question.type`` means in this set.
        published: number of questions in the source, for sets whose splits are made here; or "".
        sizes: questions per split of the whole source with default options; None where not counted yet.
        digests: by split, :class:`kft_tasks.questions.QuestionDigest` of the same questions.
        options: those that a user may set.
        version: raised whenever questions, answers or splits change.
    """

    name: str
    title: str
    description: str
    source: str
    paper: str
    licence: str
    types: str
    published: str = ""
    sizes: Mapping[str, int | None] = field(default_factory=lambda: dict.fromkeys(SPLITS))
    digests: Mapping[str, str] = field(default_factory=dict)
    options: tuple[OptionInfo, ...] = ()
    version: str = "1.0"

    @property
    def splits(self) -> tuple[str, ...]:
        """Splits of the whole source, in the order of :data:`kft_tasks.questions.SPLITS`."""
        return tuple(split for split in SPLITS if split in self.sizes)

    @property
    def env(self) -> str:
        """Environment variable that names a local folder or file with this set."""
        return f"KFT_DATA_{self.name.upper()}"


def scorer_of(source: object) -> str | None:
    """The scorer that fits the accepted answers of an opened set where the general default does not, else None.

    A set says so with an attribute ``scorer``: what is accepted may depend on the files and the options it was opened
    with. It is only a default; a scorer that a user names goes first.
    """
    scorer = getattr(source, "scorer", None)
    return scorer if isinstance(scorer, str) else None


def check_options(info: SetInfo, options: Mapping[str, object] | None) -> dict[str, Any]:
    """Fill in defaults and check names and values.

    Raises:
        UsageError: an unknown option, or an invalid value.
    """
    known = {option.name: option for option in info.options}
    for name in options or {}:
        if name not in known:
            hint = suggest(name, known) if known else "It has no options."
            raise UsageError(f"{info.name}: unknown option {name!r}. {hint}")
    given = dict(options or {})
    return {name: _checked(info, option, given.get(name, option.default)) for name, option in known.items()}


def _checked(info: SetInfo, option: OptionInfo, value: object) -> object:
    if value == option.default or value is None:
        return option.default
    if option.kind == "flag":
        return _flag(info, option, value)
    if option.kind == "names":
        return _names(info, option, value)
    if not isinstance(value, str):
        raise UsageError(f"{info.name}: option {option.name} is {value!r}. Write it as text.")
    if option.kind == "choice" and value not in option.choices:
        raise UsageError(f"{info.name}: option {option.name} is {value!r}. {suggest(value, option.choices)}")
    return value


def _flag(info: SetInfo, option: OptionInfo, value: object) -> bool:
    word = str(value).lower()  # recipes give true, command lines "true"
    if isinstance(value, (bool, str)) and word in _TRUE + _FALSE:
        return word in _TRUE
    raise UsageError(f"{info.name}: option {option.name} is {value!r}. Use true or false.")


def _names(info: SetInfo, option: OptionInfo, value: object) -> tuple[str, ...]:
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
        raise UsageError(f"{info.name}: option {option.name} is {value!r}. Write names separated by commas, or a list.")
    cleaned = tuple(dict.fromkeys(name.strip() for name in names if name.strip()))
    if not cleaned:
        raise UsageError(f"{info.name}: option {option.name} is empty. Name at least one, or leave it out.")
    for name in cleaned:
        if option.choices and name not in option.choices:
            raise UsageError(f"{info.name}: option {option.name} names {name!r}. {suggest(name, option.choices)}")
    return cleaned
