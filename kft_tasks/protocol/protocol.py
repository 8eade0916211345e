"""Everything a category depends on besides the model and the questions."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kft_tasks.errors import UsageError, suggest
from kft_tasks.files import sha256_of_json
from kft_tasks.protocol.prompts import get_template
from kft_tasks.scoring.scorers import get_scorer, is_graded

DRAWS = ("fixed", "per_question")

EARLIER: Mapping[str, Any] = {"skip_blank_lines": False, "exemplars": "fixed"}
"""Fields that files of kft 0.1.0 do not have, with what that version did."""

ALWAYS_KNOWN = ("exemplar_sets", "samples", "scorer", "skip_blank_lines")
"""Fields that every category file knows: without them its answers could not be counted."""


@dataclass(frozen=True)
class RecordedProtocol:
    """How the answers of a category file were asked for, as far as that was recorded.

    The fields are those of :class:`Protocol`, which knows all of them. In a file made from another program's log (see
    :mod:`kft_tasks.lm_eval_logs`), None stands for what the log does not say.
    """

    exemplar_sets: int
    shots: int | None
    samples: int
    temperature: float | None
    top_k: int | None
    max_tokens: int | None
    scorer: str
    seed: int | None
    template: str | None
    chat: bool | None
    system: str | None
    exemplars: str | None
    skip_blank_lines: bool

    def __post_init__(self) -> None:
        for field in dataclasses.fields(Protocol):
            value = getattr(self, field.name)
            if value is not None or isinstance(self, Protocol) or field.name in ALWAYS_KNOWN:
                _check_type(field.name, value, field.default)
        if self.temperature is not None:
            object.__setattr__(self, "temperature", float(self.temperature))
        for name, minimum in (("exemplar_sets", 1), ("shots", 0), ("samples", 0), ("top_k", 1), ("max_tokens", 1)):
            if (number := getattr(self, name)) is not None and number < minimum:
                raise UsageError(f"Protocol: {name} is {number}. Use {minimum} or more.")
        if self.seed is not None and not 0 <= self.seed < 1 << 63:
            raise UsageError(f"Protocol: seed {self.seed} is out of range. Use 0 to 2^63 - 1.")
        if self.temperature is not None and not 0 < self.temperature < float("inf"):
            raise UsageError(
                f"Protocol: temperature is {self.temperature}. Use a number above 0; greedy answers are asked anyway."
            )
        if self.exemplars not in (*DRAWS, None):
            raise UsageError(f"Protocol: exemplars is {self.exemplars!r}. Use {' or '.join(DRAWS)}.")
        if not is_graded(self.scorer):
            get_scorer(self.scorer)
        if self.template is not None:
            get_template(self.template)

    @property
    def sampled_total(self) -> int:
        """Sampled answers per question under the exhaustive protocol."""
        return self.exemplar_sets * self.samples

    def unrecorded(self) -> list[str]:
        """Names of the fields that were not recorded."""
        return [name for name, value in self.to_json().items() if value is None]

    def to_json(self) -> dict[str, Any]:
        """Field names and values, in the order of definition."""
        return dataclasses.asdict(self)

    def stored(self) -> dict[str, Any]:
        """The values as files and digests have them: as :meth:`to_json`, without what an earlier version did anyway.

        Files, journals and finished steps of that version thus belong to the same protocol still.
        """
        return {key: value for key, value in self.to_json().items() if key not in EARLIER or value != EARLIER[key]}

    def digest(self) -> str:
        """SHA-256 over all fields: two protocols with the same digest ask the same."""
        return sha256_of_json(self.stored())


@dataclass(frozen=True)
class Protocol(RecordedProtocol):
    """How mastery is detected. The defaults are SliCK's (Gekhman et al. 2024, section 3).

    Attributes:
        exemplar_sets: few-shot prompts per question; each gives one greedy answer.
        shots: exemplars per set.
        samples: sampled answers per exemplar set.
        temperature: of the sampled answers.
        top_k: number of likeliest tokens that a sampled token is drawn from.
        max_tokens: largest number of tokens in an answer.
        scorer: rule for "right", see :mod:`kft_tasks.scoring.scorers`; or "graded:" and the name of the model that gave
            the verdicts on stored answers, see :mod:`kft_tasks.grading`.
        seed: of the exemplar draw and of sampling.
        template: prompt text, see :mod:`kft_tasks.protocol.prompts`.
        chat: apply the model's own chat template.
        system: system prompt, or "".
        exemplars: ``fixed``: all questions of a type share the exemplar sets (SliCK); ``per_question``: every question
            has sets of its own (Li et al. 2024), so that prompts share nothing and cost more.
        skip_blank_lines: blank lines (white space that contains a stop string) before the answer are skipped, so that
            an answer on the next line counts; without it such an answer is empty, and wrong. They are frequent where
            a prompt has no exemplars. Files that do not have this field are of a version that did not skip them.
    """

    exemplar_sets: int = 10
    shots: int = 4
    samples: int = 16
    temperature: float = 0.5
    top_k: int = 40
    max_tokens: int = 16
    scorer: str = "answer_stated"  # chosen by measurement, see results/scoring
    seed: int = 0
    template: str = "qa"
    chat: bool = False
    system: str = ""
    exemplars: str = "fixed"
    skip_blank_lines: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.shots == 0 and self.exemplar_sets > 1:
            raise UsageError("Protocol: with 0 shots all exemplar sets are the same. Set exemplar_sets to 1.")

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any], where: str = "protocol") -> Protocol:
        """Build from recipe or command-line values.

        Raises:
            UsageError: an unknown key, a value out of range, or a scorer that is no rule.
        """
        protocol = cls._checked(values, where)
        get_scorer(protocol.scorer)
        return protocol

    @classmethod
    def _checked(cls, values: Mapping[str, Any], where: str) -> Protocol:
        known = {field.name for field in dataclasses.fields(cls)}
        for key in values:
            if key not in known:
                raise UsageError(f"{where}: unknown key {key!r}. {suggest(key, known)}")
        return cls(**values)

    @classmethod
    def from_stored(cls, values: Mapping[str, Any], where: str = "protocol") -> Protocol:
        """Build from a file that kft wrote, of this version or an earlier one: the inverse of :meth:`stored`.

        Raises:
            UsageError: an unknown key or a value out of range.
        """
        return cls._checked({**EARLIER, **values}, where)

    def with_system(self, system: str | None) -> Protocol:
        """The same protocol with another system prompt; None keeps this one."""
        return self if system is None else dataclasses.replace(self, system=system)


def recorded_protocol(values: Mapping[str, Any], where: str = "protocol") -> RecordedProtocol:
    """The inverse of :meth:`RecordedProtocol.stored`; a :class:`Protocol` if nothing is missing.

    Raises:
        UsageError: an unknown or missing key, or a value out of range.
    """
    if None not in values.values():
        return Protocol.from_stored(values, where)
    known = {field.name for field in dataclasses.fields(RecordedProtocol)}
    for key in values:
        if key not in known:
            raise UsageError(f"{where}: unknown key {key!r}. {suggest(key, known)}")
    try:
        return RecordedProtocol(**{**EARLIER, **values})
    except TypeError as error:
        raise UsageError(f"{where}: a key is missing ({error}). Import the log again.") from error


def _check_type(name: str, value: object, default: object) -> None:
    if isinstance(default, bool) or isinstance(value, bool):
        right = isinstance(value, bool) and isinstance(default, bool)
    elif isinstance(default, float):
        right = isinstance(value, (int, float))
    else:
        right = isinstance(value, type(default))
    if not right:
        raise UsageError(f"Protocol: {name} is {value!r}. Use a value like {default!r}.")
    if isinstance(value, int) and abs(value) >= 1 << 63:  # cannot be shown or become a float if it has many digits
        raise UsageError(f"Protocol: {name} is out of range. Use a value like {default!r}.")
