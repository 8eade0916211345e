"""lm-eval's task takes a question set's own default scorer, unless the task or the user names one."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

import hub_files
from kft_tasks.harness.task import KnowledgeTask


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    hub_files.wikiqa(tmp_path)
    return tmp_path


SMALL = {"kft_exemplar_sets": 2, "kft_shots": 2}


def test_sentences_are_scored_by_the_rule_for_sentences(hub: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "kft_tasks"):
        task = KnowledgeTask({"task": "t", "kft": {"set": "wikiqa"}, "metadata": {"kft_path": str(hub), **SMALL}})
    assert task.settings.protocol.scorer == "answer_in_sentence"
    assert task.config.metadata["kft_scorer"] == "answer_in_sentence"
    assert [record.message for record in caplog.records if "answer_in_sentence" in record.message]
    question = next(row for row in task.dataset["test"] if row["answers"][0].endswith(" ."))
    answer = question["answers"][0].rpartition(" is a work by ")[2].partition(" is the capital of ")[0]
    sets = [[answer]] * 2
    values = task.process_results(question, [value for given in sets for value in (given, given * 16)])
    assert values["greedy_accuracy"] == 1.0


@pytest.mark.parametrize(
    ("block", "metadata"), [({"scorer": "answer_stated"}, {}), ({}, {"kft_scorer": "answer_stated"})]
)
def test_a_named_scorer_goes_first(hub: Path, block: dict[str, str], metadata: dict[str, str]) -> None:
    config = {"task": "t", "kft": {"set": "wikiqa", **block}, "metadata": {"kft_path": str(hub), **SMALL, **metadata}}
    task = KnowledgeTask(config)
    assert task.settings.protocol.scorer == "answer_stated"
    assert task.config.metadata["kft_scorer"] == "answer_stated"


def test_short_answers_keep_the_general_default() -> None:
    task = KnowledgeTask({"task": "t", "kft": {"set": "worldfacts"}})
    assert task.settings.protocol.scorer == "answer_stated"
