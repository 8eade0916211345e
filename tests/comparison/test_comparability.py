"""The truth table of what forbids a comparison, held against the code that asks and scores."""

from __future__ import annotations

import copy
import dataclasses
import re
from collections.abc import Sequence
from typing import Any

import pytest
from comparison_runs import run_with

from kft_cli.comparison import comparability
from kft_cli.comparison.comparability import EFFECTS, accuracy_differences, category_differences, listed
from kft_cli.report.report import build_report
from kft_tasks.engine.token_count import TokenCount
from kft_tasks.evaluation.evaluate import evaluate
from kft_tasks.protocol.exemplars import ExemplarPool
from kft_tasks.protocol.generation import generation_kwargs
from kft_tasks.protocol.prompt_maker import PromptMaker, PromptRequest
from kft_tasks.protocol.protocol import Protocol
from task_helpers import make_exemplars, make_question

OTHER: dict[str, Any] = {
    "exemplar_sets": 5,
    "shots": 3,
    "samples": 9,
    "temperature": 0.9,
    "top_k": 7,
    "max_tokens": 9,
    "scorer": "paper_substring",
    "seed": 9,
    "template": "slick",
    "chat": True,
    "system": "Be brief.",
    "skip_blank_lines": False,
}
SCORERS = ("exact_match", "exact_match")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return build_report(run_with(tmp_path_factory.mktemp("one") / "run", [True] * 10))


def changed(report: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    """The same report of a run with another protocol value, in its recipe and in its detections."""
    report = copy.deepcopy(report)
    report["run"]["protocol"][key] = report["run"]["settings"]["protocol"][key] = value
    return report


def test_every_protocol_value_has_a_decided_effect() -> None:
    assert {field.name for field in dataclasses.fields(Protocol)} == set(OTHER)
    assert set(OTHER) <= set(EFFECTS)


def test_the_docstring_has_the_table_that_the_code_follows() -> None:
    text = str(comparability.__doc__)
    rows = re.findall(
        r"^(\S[\w ]*?)  +(forbids|exemplars|named) +(forbids|exemplars|named) +(\S.*)$", text, re.MULTILINE
    )
    assert {key: (accuracy, categories) for key, accuracy, categories, _ in rows} == {
        key: (accuracy.value, categories.value) for key, (accuracy, categories) in EFFECTS.items()
    }
    assert all(reason for *_, reason in rows)


class Recorder:
    """Answers every request with "no" and remembers the prompts."""

    def __init__(self) -> None:
        self.prompts: list[str] = []
        self.tokens = TokenCount()

    def open(self, requests: Sequence[PromptRequest]) -> Recorder:
        self.prompts += [request.prompt for request in requests]
        return self

    def greedy(self, which: Sequence[int]) -> list[str]:
        return ["no"] * len(which)

    def sample(self, which: Sequence[int]) -> list[tuple[str, ...]]:
        raise AssertionError("a test has no samples")

    def keep(self, which: Sequence[int]) -> None: ...


def measured(protocol: Protocol, shots: int) -> tuple[list[str], dict[str, Any], list[bool]]:
    """All that a test depends on: prompts, settings of generation, and how the same answers are scored."""
    recorder = Recorder()
    questions = [make_question(name, answers=("no, never", "no")) for name in ("one", "two")]
    prompts = PromptMaker(protocol, ExemplarPool(make_exemplars(), protocol), repr if protocol.chat else None)
    answered = evaluate(questions, recorder, prompts, protocol, [shots])
    return recorder.prompts, generation_kwargs(protocol, sampled=False), [item.right for item in answered]


@pytest.mark.parametrize("shots", [0, 2])
@pytest.mark.parametrize("key", OTHER)
def test_a_protocol_value_forbids_a_paired_test_exactly_if_the_test_depends_on_it(
    report: dict[str, Any], key: str, shots: int
) -> None:
    protocol = Protocol.from_mapping(report["run"]["protocol"] | {"scorer": "exact_match"})
    depends = measured(protocol, shots) != measured(dataclasses.replace(protocol, **{key: OTHER[key]}), shots)
    scorers = ("exact_match", OTHER["scorer"] if key == "scorer" else "exact_match")
    found = accuracy_differences(report, changed(report, key, OTHER[key]), shots=shots, scorers=scorers)
    assert [one.key for one in (found.forbidding if depends else found.named)] == [key]
    assert not (found.named if depends else found.forbidding)


def test_a_report_that_does_not_say_whether_blank_lines_are_skipped_is_of_a_version_that_did_not(
    report: dict[str, Any],
) -> None:
    stopped, older = (changed(report, "skip_blank_lines", False) for _ in range(2))
    for protocol in (older["run"]["protocol"], older["run"]["settings"]["protocol"]):
        del protocol["skip_blank_lines"]
    for found in (
        accuracy_differences(older, report, shots=0, scorers=SCORERS),
        category_differences(older, report),
    ):
        assert [str(one) for one in found.forbidding] == ["skip_blank_lines True, the first run False"]
    same = accuracy_differences(older, stopped, shots=0, scorers=SCORERS), category_differences(older, stopped)
    assert not any(found.forbidding or found.named for found in same)


@pytest.mark.parametrize("key", OTHER)
def test_every_protocol_value_but_the_seed_makes_categories_incomparable(report: dict[str, Any], key: str) -> None:
    found = category_differences(report, changed(report, key, OTHER[key]))
    assert [one.key for one in (found.named if key == "seed" else found.forbidding)] == [key]
    assert not (found.forbidding if key == "seed" else found.named)


@pytest.mark.parametrize(
    ("path", "key", "accuracy", "categories"),
    [
        (("repeat", "digests", "exemplars"), "pool of exemplars", "forbidding", "forbidding"),
        (("repeat", "digests", "training questions"), "training questions", "named", "forbidding"),
        (("repeat", "kft_version"), "version of kft", "named", "named"),
        (("run", "model"), "model", "named", "named"),
        (("run", "weights"), "weights", "named", "named"),
        (("run", "dtype"), "precision", "named", "named"),
        (("run", "question_set"), "set of questions", "named", "named"),
        (("run", "question_set_version"), "version of the set", "named", "named"),
    ],
)
def test_model_and_questions_are_named(
    report: dict[str, Any], path: tuple[str, ...], key: str, accuracy: str, categories: str
) -> None:
    other = copy.deepcopy(report)
    inner = other
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = "another"
    found = accuracy_differences(report, other, shots=4, scorers=SCORERS)
    assert [one.key for one in getattr(found, accuracy)] == [key]
    assert [one.key for one in getattr(category_differences(report, other), categories)] == [key]
    without = accuracy_differences(report, other, shots=0, scorers=SCORERS)
    assert not without.forbidding  # no exemplars in the prompt


def test_equal_runs_have_no_differences(report: dict[str, Any]) -> None:
    for found in (
        accuracy_differences(report, report, shots=4, scorers=SCORERS),
        category_differences(report, copy.deepcopy(report)),
    ):
        assert (found.forbidding, found.named) == ((), ())


def test_a_value_that_an_older_report_lacks_is_the_default(report: dict[str, Any]) -> None:
    older = copy.deepcopy(report)
    for protocol in (older["run"]["protocol"], older["run"]["settings"]["protocol"]):
        del protocol["system"]
    assert accuracy_differences(report, older, shots=4, scorers=SCORERS).forbidding == ()


def test_a_value_of_a_newer_version_forbids(report: dict[str, Any]) -> None:
    newer = changed(report, "language", "de")
    assert [one.key for one in accuracy_differences(report, newer, shots=0, scorers=SCORERS).forbidding] == ["language"]
    assert [one.key for one in category_differences(report, newer).forbidding] == ["language"]


def test_differences_are_listed_in_words(report: dict[str, Any]) -> None:
    other = changed(changed(report, "max_tokens", 8), "system", "Be brief.")
    found = accuracy_differences(report, other, shots=0, scorers=SCORERS)
    assert listed(found.forbidding) == "max_tokens 8, the first run 16; system Be brief., the first run none"
