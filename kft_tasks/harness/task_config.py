"""Settings of an lm-eval task: from its YAML (``kft:``), then from ``--metadata kft_...``."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kft_tasks.errors import UsageError, suggest
from kft_tasks.protocol.generation import NEUTRAL, NEUTRAL_SAMPLED, length_and_stop, stop_strings
from kft_tasks.protocol.protocol import Protocol
from kft_tasks.questions import SPLITS

_OWN_KEYS = ("set", "split", "path", "options")
_PREFIX = "kft_"
_LENGTHS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")  # synonyms to lm-eval
_YAML_KEYS = ("task", "task_alias", "tag", "group", "num_fewshot", "generation_kwargs", "metadata")


@dataclass(frozen=True)
class TaskSettings:
    """What a task asks: which questions and under which protocol.

    Attributes:
        set: name of the question set.
        split: the split under test.
        path: local file or folder of the data, or None.
        options: options of the question set.
        protocol: how mastery is detected.
        scorer_named: whether the task or the user names the scorer; if not, the set's own default goes first.
    """

    set: str
    split: str = "test"
    path: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    protocol: Protocol = field(default_factory=Protocol)
    scorer_named: bool = False


def task_settings(yaml: Mapping[str, Any], metadata: Mapping[str, Any]) -> TaskSettings:
    """Merge a task's ``kft:`` block with ``--metadata``.

    lm-eval merges ``--model_args`` into the metadata, so keys without the prefix are ignored, unless they are the bare
    name of one of ours: a slip that would otherwise go unnoticed.

    Raises:
        UsageError: an unknown key or a value out of range.
    """
    # lm-eval decides whether there is a chat template
    fields = tuple(field.name for field in dataclasses.fields(Protocol) if field.name != "chat")
    known = {_PREFIX + name for name in (*fields, "split", "path", "options")}
    values: dict[str, Any] = dict(yaml)
    for key, value in metadata.items():
        if key.startswith(_PREFIX):
            if key == "kft_chat":
                raise UsageError("--metadata: 'kft_chat' is not used. Use --apply_chat_template.")
            if key not in known:
                raise UsageError(f"--metadata: unknown key {key!r}. {suggest(key, known)}")
            name = key.removeprefix(_PREFIX)
            values[name] = (
                {**values.get(name, {}), **value} if name == "options" and isinstance(value, Mapping) else value
            )
        elif key in ("exemplar_sets", "shots", "samples", "scorer", "template"):
            raise UsageError(f"--metadata: {key!r} is not used. Did you mean {_PREFIX + key!r}?")
    for key in values:
        if key not in (*fields, *_OWN_KEYS):
            raise UsageError(f"kft block of the task: unknown key {key!r}. {suggest(key, (*fields, *_OWN_KEYS))}")
    if not values.get("set"):
        raise UsageError(
            "A kft task needs a `kft:` block that names its question set, such as `kft: {set: worldfacts}`."
        )
    if not isinstance(values.get("options", {}), Mapping):
        raise UsageError(
            f'kft_options is {values["options"]!r}. Write names and values, such as {{"relation": "P36"}}.'
        )
    if values.get("split", "test") not in SPLITS:
        raise UsageError(f"kft_split is {values['split']!r}. Use one of {', '.join(SPLITS)}.")
    protocol = Protocol.from_mapping({key: value for key, value in values.items() if key in fields}, "--metadata")
    own = {key: value for key, value in values.items() if key in _OWN_KEYS}
    return TaskSettings(**own, protocol=protocol, scorer_named="scorer" in values)


def check_generation(given: Mapping[str, Any], protocol: Protocol, where: str = "--gen_kwargs") -> None:
    """Refuse generation settings (``--gen_kwargs``, or ``generation_kwargs`` in a YAML) that contradict the protocol.

    The results record the protocol, so they must not name settings that were not used.

    Raises:
        UsageError: a setting differs; the message names the key that changes the protocol.
    """
    for key, value in given.items():
        fits, instead = _compare(key, value, protocol)
        if not fits:
            remedy = f"Use --metadata {instead}, so that the results record it too."
            raise UsageError(
                f"{where} {key}={value!r} contradicts the protocol of the kft tasks. "
                + (remedy if instead else "The protocol has no such setting: leave it out.")
            )


def _compare(key: str, value: object, protocol: Protocol) -> tuple[bool, str]:
    """Whether a generation setting matches the protocol, and what to set if it does not ("" if there is nothing)."""
    if key in _LENGTHS:
        return value == protocol.max_tokens, f"kft_max_tokens={value}"
    if key == "temperature":
        return value == protocol.temperature, f"kft_temperature={value}" if value else "kft_samples=0"
    if key == "top_k":
        return value == protocol.top_k, f"kft_top_k={value}"
    if key == "do_sample":
        more = (
            "kft_samples=16 (sampled answers beside the greedy ones)"
            if value
            else "kft_samples=0 (greedy answers only)"
        )
        return bool(value) == bool(protocol.samples), more
    if key == "until":
        given = [value] if isinstance(value, str) else value
        return given in (
            stop_strings(protocol),
            length_and_stop(protocol)["until"],
        ), "kft_template=NAME (the template defines the stop strings)"
    neutral = NEUTRAL | NEUTRAL_SAMPLED
    return key in neutral and value == neutral[key], ""


def check_yaml(config: Mapping[str, Any]) -> None:
    """Refuse keys of a task's YAML that a kft task would ignore.

    Raises:
        UsageError: there is such a key.
    """
    for key in config:
        if key not in _YAML_KEYS:
            raise UsageError(
                f"task {config.get('task')}: {key!r} has no effect on a kft task, whose protocol makes the prompts. "
                "Set `template`, `system` or the like under `kft:`, or remove the key."
            )
