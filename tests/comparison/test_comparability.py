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
from kft_cli.comparison.comparability import (
    EFFECTS,
    Difference,
    accuracy_differences,
    category_differences,
    listed,
)
from kft_cli.report.report import build_report
from kft_tasks.engine.token_count import TokenCount
from kft_tasks.evaluation.evaluate import Asking, evaluate
from kft_tasks.protocol.exemplars import ExemplarPool
from kft_tasks.protocol.generation import generation_kwargs
from kft_tasks.protocol.prompt_maker import PromptMaker, PromptRequest
from kft_tasks.protocol.protocol import Protocol
from task_helpers import make_exemplars, make_question

FIELDS = {field.name for field in dataclasses.fields(Protocol)}
_OTHER: dict[str, Any] = {
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
    "exemplars": "per_question",
    "skip_blank_lines": False,
}
OTHER = {key: value for key, value in _OTHER.items() if key in FIELDS}
SCORERS = ("exact_match", "exact_match")
FOUR, NONE = Asking(4), Asking(0)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return build_report(run_with(tmp_path_factory.mktemp("one") / "run", [True] * 10))


def changed(report: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    """The same report of a run with another protocol value, in its recipe, its detections and its test."""
    report = copy.deepcopy(report)
    report["run"]["protocol"][key] = report["run"]["settings"]["protocol"][key] = value
    report["run"]["settings"]["protocols"]["test"].pop(key, None)
    return report


def with_protocol(report: dict[str, Any], purpose: str, **values: Any) -> dict[str, Any]:
    """The same report with another protocol for one purpose."""
    report = copy.deepcopy(report)
    report["run"]["settings"]["protocols"].setdefault(purpose, {}).update(values)
    return report


def keys(differences: Sequence[Difference]) -> list[str]:
    return [one.key for one in differences]


def test_every_protocol_value_has_a_decided_effect() -> None:
    assert set(OTHER) == FIELDS
    assert set(EFFECTS) >= FIELDS


def test_the_docstring_has_the_table_that_the_code_follows() -> None:
    text = str(comparability.__doc__)
    rows = re.findall(r"^(\S[\w ]*?)  +(forbids|exemplars|sets|named) +(forbids|named) +(\S.*)$", text, re.MULTILINE)
    assert {key: (accuracy, categories) for key, accuracy, categories, _ in rows} == {
        key: (accuracy.value, categories.value) for key, (accuracy, categories) in EFFECTS.items()
    }
    assert all(reason for *_, reason in rows)


class Recorder:
    """Answers every request with "no" and remembers the prompts."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.tokens = TokenCount()

    def open(self, requests: Sequence[PromptRequest]) -> Recorder:
        self.batches.append([request.prompt for request in requests])
        return self

    def greedy(self, which: Sequence[int]) -> list[str]:
        return ["no"] * len(which)

    def sample(self, which: Sequence[int]) -> list[tuple[str, ...]]:
        raise AssertionError("a test has no samples")

    def keep(self, which: Sequence[int]) -> None: ...


def asked(protocol: Protocol, asking: Asking) -> tuple[list[list[str]], dict[str, Any], list[bool]]:
    """All that a test depends on: prompts, settings of generation, and how the same answers are scored."""
    recorder = Recorder()
    types = {"one": "capital", "two": "river"}
    questions = [make_question(name, answers=("no, never", "no"), type_=type_) for name, type_ in types.items()]
    pool = ExemplarPool(make_exemplars(types.values()), protocol)
    prompts = PromptMaker(protocol, pool, repr if protocol.chat else None)
    answered = evaluate(questions, recorder, prompts, protocol, [asking.shots], other_type=asking.other_type)
    batches = recorder.batches[-1:] if asking.other_type else recorder.batches
    right = [item.right for item in answered if item.asking == asking]
    return batches, generation_kwargs(protocol, sampled=False), right


@pytest.mark.parametrize("sets", [1, 2])
@pytest.mark.parametrize("asking", [Asking(0), Asking(2), Asking(2, other_type=True)], ids=str)
@pytest.mark.parametrize("key", OTHER)
def test_a_protocol_value_forbids_a_paired_test_exactly_if_the_test_depends_on_it(
    report: dict[str, Any], key: str, asking: Asking, sets: int
) -> None:
    report = changed(report, "exemplar_sets", sets)
    protocol = Protocol.from_mapping(report["run"]["protocol"] | {"scorer": "exact_match"})
    depends = asked(protocol, asking) != asked(dataclasses.replace(protocol, **{key: OTHER[key]}), asking)
    scorers = ("exact_match", OTHER["scorer"] if key == "scorer" else "exact_match")
    found = accuracy_differences(report, changed(report, key, OTHER[key]), asking=asking, scorers=scorers)
    assert keys(found.forbidding if depends else found.named) == [key]
    assert not (found.named if depends else found.forbidding)


@pytest.mark.parametrize("key", ["seed", "exemplar_sets", "template", "chat", "system", "max_tokens"])
def test_the_test_depends_on_its_own_protocol_and_not_on_that_of_the_detection(
    report: dict[str, Any], key: str
) -> None:
    other = with_protocol(report, "test", **{key: OTHER[key]})
    assert keys(accuracy_differences(report, other, asking=FOUR, scorers=SCORERS).forbidding) == [key]
    assert category_differences(report, other).forbidding == ()
    own = {key: report["run"]["protocol"][key]}
    same, detected = (with_protocol(one, "test", **own) for one in (report, changed(report, key, OTHER[key])))
    assert accuracy_differences(same, detected, asking=FOUR, scorers=SCORERS).forbidding == ()


def measured(report: dict[str, Any], **protocol: Any) -> dict[str, Any]:
    """The report of a run whose categories come from a draw of its own."""
    report = with_protocol(report, "measurement", **protocol)
    report["run"]["settings"]["evaluation"]["measurement"] = True
    return report


def test_categories_depend_on_the_draw_that_they_come_from(report: dict[str, Any]) -> None:
    one = measured(report, samples=0, seed=7)
    assert keys(category_differences(report, one).forbidding) == ["samples", "draw"]
    assert keys(category_differences(one, measured(report, samples=8, seed=7)).forbidding) == ["samples"]
    again = category_differences(one, measured(report, samples=0, seed=9))
    assert (keys(again.forbidding), keys(again.named)) == ([], ["seed"])
    # how the questions were chosen is no matter to a measurement
    assert category_differences(one, measured(changed(report, "samples", 99), samples=0, seed=7)).forbidding == ()
    # a test has no categories
    assert accuracy_differences(report, one, asking=FOUR, scorers=SCORERS).forbidding == ()


def test_fewer_samples_at_later_points_make_categories_incomparable(report: dict[str, Any]) -> None:
    greedy = with_protocol(report, "redetection", samples=0)
    assert keys(category_differences(report, greedy).forbidding) == ["later samples"]
    assert category_differences(report, with_protocol(report, "redetection", samples=8)).forbidding == ()


def test_a_random_part_of_the_measured_questions_is_named(report: dict[str, Any]) -> None:
    part = copy.deepcopy(report)
    part["run"]["settings"]["questions"]["limit"]["measurement"] = 100
    found = category_differences(report, part)
    assert (found.forbidding, keys(found.named)) == ((), ["measured questions"])


def test_reports_of_the_first_version_were_tested_under_one_exemplar_set_of_the_detections_draw(
    report: dict[str, Any],
) -> None:
    old = copy.deepcopy(report)
    del old["run"]["settings"]["protocols"]
    old["run"]["settings"]["evaluation"] = {"shots": [4, 0], "retest": True, "first_categories": True}
    found = accuracy_differences(report, old, asking=FOUR, scorers=SCORERS)
    assert keys(found.forbidding) == ["exemplar_sets", "seed"]
    same = with_protocol(report, "test", seed=report["run"]["protocol"]["seed"], exemplar_sets=1)
    assert accuracy_differences(same, old, asking=FOUR, scorers=SCORERS).forbidding == ()
    assert category_differences(report, old).forbidding == ()  # a retest is no measurement of every point


def test_reports_that_do_not_know_blank_lines_did_not_skip_them(report: dict[str, Any]) -> None:
    old = copy.deepcopy(report)
    for protocol in (old["run"]["protocol"], old["run"]["settings"]["protocol"]):
        protocol.pop("skip_blank_lines", None)
    skipping = changed(report, "skip_blank_lines", True)
    assert keys(accuracy_differences(old, skipping, asking=NONE, scorers=SCORERS).forbidding) == ["skip_blank_lines"]
    assert keys(category_differences(old, skipping).forbidding) == ["skip_blank_lines"]
    assert category_differences(old, changed(report, "skip_blank_lines", False)).forbidding == ()


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
    found = accuracy_differences(report, other, asking=FOUR, scorers=SCORERS)
    assert [one.key for one in getattr(found, accuracy)] == [key]
    assert [one.key for one in getattr(category_differences(report, other), categories)] == [key]
    without = accuracy_differences(report, other, asking=NONE, scorers=SCORERS)
    assert not without.forbidding  # no exemplars in the prompt


def test_equal_runs_have_no_differences(report: dict[str, Any]) -> None:
    for found in (
        accuracy_differences(report, report, asking=FOUR, scorers=SCORERS),
        category_differences(report, copy.deepcopy(report)),
    ):
        assert (found.forbidding, found.named) == ((), ())


def test_a_value_that_an_older_report_lacks_is_the_default(report: dict[str, Any]) -> None:
    older = copy.deepcopy(report)
    for protocol in (older["run"]["protocol"], older["run"]["settings"]["protocol"]):
        del protocol["system"]
    assert accuracy_differences(report, older, asking=FOUR, scorers=SCORERS).forbidding == ()


def test_a_value_of_a_newer_version_forbids(report: dict[str, Any]) -> None:
    newer = changed(report, "language", "de")
    assert [one.key for one in accuracy_differences(report, newer, asking=NONE, scorers=SCORERS).forbidding] == [
        "language"
    ]
    assert [one.key for one in category_differences(report, newer).forbidding] == ["language"]


def test_differences_are_listed_in_words(report: dict[str, Any]) -> None:
    other = changed(changed(report, "max_tokens", 8), "system", "Be brief.")
    found = accuracy_differences(report, other, asking=NONE, scorers=SCORERS)
    assert listed(found.forbidding) == "max_tokens 8, the first run 16; system Be brief., the first run none"
