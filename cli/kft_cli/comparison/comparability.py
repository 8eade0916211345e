"""Which differences between two runs forbid a comparison, which are only named, and why.

A paired test asks whether two runs answer the same questions differently well. It is meaningless where the answers were
asked for or scored in different ways, because then a difference says nothing about the models. Shares of categories are
meaningless side by side where a category means something different in each run.

=====================  =============  ==========  ==========================================================
value that differs     test accuracy  categories  reason
=====================  =============  ==========  ==========================================================
scorer                 forbids        forbids     another rule for a right answer; scoring again cures it
max_tokens             forbids        forbids     answers are cut off at another length
template               forbids        forbids     the model reads another text
chat                   forbids        forbids     the model reads another text
system                 forbids        forbids     the model reads another text
skip_blank_lines       forbids        forbids     an answer on the next line is an answer, or none
seed                   exemplars      named       another draw of exemplars, and some help more: types would differ
                                                  by luck; categories come from draws of the same kind
exemplars              exemplars      forbids     one draw for all questions of a type, or one for each question
pool of exemplars      exemplars      forbids     exemplars come from other questions
exemplar_sets          sets           forbids     a mean over prompts that the other run was not asked with; more
                                                  prompts find more answers
shots                  sets           forbids     a test has its own numbers, but the sets are cut from one shuffled
                                                  pool, so that all but the first have other exemplars
samples                named          forbids     more samples find more answers; a test has none
later samples          named          forbids     the same, for the points after the first
temperature            named          forbids     a test has no samples
top_k                  named          forbids     a test has no samples
draw                   named          forbids     categories of the draw that chose the training questions fall back
                                                  to the mean, those of a draw of its own do not
training questions     named          forbids     shares of different questions
measured questions     named          named       a random part of them, larger or smaller
model                  named          named       what runs are compared for
weights                named          named       what runs are compared for
precision              named          named       changes few answers, as another machine does
set of questions       named          named       the questions themselves are compared by their digest
version of the set     named          named       the questions themselves are compared by their digest
version of kft         named          named       prompts and rules rarely change, but they can
=====================  =============  ==========  ==========================================================

The test depends on the test's protocol, categories on that of the draw they come from, see
:mod:`kft_cli.comparison.settings`.
"exemplars": forbids where the test prompt has exemplars, else named. "sets": forbids where answers under several
exemplar sets are averaged, else named; exemplars of another type come from one set. Different test questions leave
nothing to pair. A protocol value that this version of kft does not know forbids both comparisons.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

from kft_cli.comparison.settings import EXEMPLARS, Report, protocol_of_categories, protocol_of_test, settings_of
from kft_tasks.evaluation.evaluate import Asking
from kft_tasks.visible_text import visible


class Effect(Enum):
    """What a difference in one value does to a comparison."""

    FORBIDS = "forbids"
    WITH_EXEMPLARS = "exemplars"
    WITH_SETS = "sets"
    NAMED = "named"


_FORBIDS, _WITH_EXEMPLARS, _WITH_SETS, _NAMED = Effect
_DIGEST = 64  # hex digits

# By value: effect on a paired test of test accuracy, effect on shares of categories.
EFFECTS: Mapping[str, tuple[Effect, Effect]] = {
    "scorer": (_FORBIDS, _FORBIDS),
    "max_tokens": (_FORBIDS, _FORBIDS),
    "template": (_FORBIDS, _FORBIDS),
    "chat": (_FORBIDS, _FORBIDS),
    "system": (_FORBIDS, _FORBIDS),
    "skip_blank_lines": (_FORBIDS, _FORBIDS),
    "seed": (_WITH_EXEMPLARS, _NAMED),
    "exemplars": (_WITH_EXEMPLARS, _FORBIDS),
    EXEMPLARS: (_WITH_EXEMPLARS, _FORBIDS),
    "exemplar_sets": (_WITH_SETS, _FORBIDS),
    "shots": (_WITH_SETS, _FORBIDS),
    "samples": (_NAMED, _FORBIDS),
    "later samples": (_NAMED, _FORBIDS),
    "temperature": (_NAMED, _FORBIDS),
    "top_k": (_NAMED, _FORBIDS),
    "draw": (_NAMED, _FORBIDS),
    "training questions": (_NAMED, _FORBIDS),
    "measured questions": (_NAMED, _NAMED),
    "model": (_NAMED, _NAMED),
    "weights": (_NAMED, _NAMED),
    "precision": (_NAMED, _NAMED),
    "set of questions": (_NAMED, _NAMED),
    "version of the set": (_NAMED, _NAMED),
    "version of kft": (_NAMED, _NAMED),
}


@dataclass(frozen=True)
class Difference:
    """A value that differs between the first run and another one."""

    key: str
    first: Any
    other: Any

    def __str__(self) -> str:
        return f"{self.key} {_shown(self.other)}, the first run {_shown(self.first)}"

    def to_json(self) -> dict[str, Any]:
        """The record as JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class Differences:
    """What forbids a comparison of two runs, and what is only named."""

    forbidding: tuple[Difference, ...]
    named: tuple[Difference, ...]


def accuracy_differences(first: Report, other: Report, *, asking: Asking, scorers: tuple[str, str]) -> Differences:
    """Differences between two runs for a paired test of their test accuracy.

    Args:
        asking: the exemplars in the prompt.
        scorers: rules by which the answers of the two runs are scored now.
    """
    one, two = (
        {**_values(report), **protocol_of_test(report), "scorer": scorer}
        for report, scorer in zip((first, other), scorers, strict=True)
    )
    forbidding = {_FORBIDS}
    if asking.shots:
        forbidding.add(_WITH_EXEMPLARS)
        if not asking.other_type and max(one["exemplar_sets"], two["exemplar_sets"]) > 1:
            forbidding.add(_WITH_SETS)
    return _divided(one, two, column=0, forbids=forbidding)


def category_differences(first: Report, other: Report) -> Differences:
    """Differences between two runs for their shares of categories, and for how these moved."""
    one, two = ({**_values(report), **protocol_of_categories(report)} for report in (first, other))
    return _divided(one, two, column=1, forbids={_FORBIDS})


def listed(differences: Sequence[Difference]) -> str:
    """``"samples 8, the first run 16; top_k 1, the first run 40"``."""
    return "; ".join(str(one) for one in differences)


def _values(report: Report) -> dict[str, Any]:
    """Everything besides a protocol that can forbid or be named."""
    run, repeat = report["run"], report["repeat"]
    return {
        EXEMPLARS: repeat["digests"]["exemplars"],
        "training questions": repeat["digests"]["training questions"],
        "measured questions": settings_of(report)["questions"]["limit"].get("measurement", "all"),
        "model": run["model"],
        "weights": run["weights"],
        "precision": run["dtype"],
        "set of questions": run["question_set"],
        "version of the set": run["question_set_version"],
        "version of kft": repeat["kft_version"],
    }


def _divided(
    one: Mapping[str, Any], two: Mapping[str, Any], *, column: int, forbids: Collection[Effect]
) -> Differences:
    forbidding: list[Difference] = []
    named: list[Difference] = []
    for key in dict.fromkeys((*one, *two)):
        if one.get(key) != two.get(key):
            effect = EFFECTS[key][column] if key in EFFECTS else _FORBIDS
            (forbidding if effect in forbids else named).append(Difference(key, one.get(key), two.get(key)))
    return Differences(tuple(forbidding), tuple(named))


def _shown(value: Any) -> str:
    text = str(value)
    if len(text) == _DIGEST and " " not in text:
        return text[:12]
    return visible(text, 40) or "none"
