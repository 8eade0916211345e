"""A question set's own default scorer: for sentences as accepted answers, where nobody names a scorer."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

import hub_files
from kft_cli.main import main
from kft_cli.pipeline.pipeline import Pipeline
from kft_tasks.categories.category import KnowledgeCategory
from kft_tasks.categories.category_file import CategoryFile
from kft_tasks.protocol.exemplars import ExemplarPool
from kft_tasks.protocol.prompt_maker import PromptMaker, PromptRequest
from kft_tasks.protocol.protocol import Protocol
from kft_tasks.question_sets.registry import open_set
from kft_train.recipes.recipe import parse_recipe
from task_helpers import MODEL, ScriptedAnswerer

Detect = Callable[..., tuple[CategoryFile, str]]


class Knowing(ScriptedAnswerer):
    """Gives every author and every capital: words of an accepted sentence, and never the sentence."""

    def __init__(self, answers: Mapping[str, str], protocol: Protocol) -> None:
        super().__init__(lambda *_: True, protocol)
        self.answers = answers

    def text(self, request: PromptRequest, kind: str, sample: int) -> str:
        return self.answers[request.question_id]


def short(sentence: str) -> str:
    author = sentence.rpartition(" is a work by ")[2]
    return author.removesuffix(" .").partition(" is the capital of ")[0]


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    """A copy of microsoft/wiki_qa in the hub's layout: sentences, no phrases."""
    folder = tmp_path / "hub"
    hub_files.wikiqa(folder)
    return folder


@pytest.fixture
def detected(hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Detect:
    """Run ``kft detect`` on the copy with a model that knows everything; gives the file and what was said."""
    answers = {q.id: short(q.answers[0]) for q in open_set("wikiqa", hub).split("validation")}
    monkeypatch.setattr("kft_cli.commands.detect.identify_choice", lambda choice: MODEL)
    monkeypatch.setattr(
        "kft_cli.commands.detect.open_model",
        lambda choice, protocol, pool: (Knowing(answers, protocol), PromptMaker(protocol, pool)),
    )

    def run(*more: str) -> tuple[CategoryFile, str]:
        output = tmp_path / "out.categories.jsonl"
        small = ("--exemplar-sets", "2", "--shots", "2", "--samples", "2", "--split", "validation")
        with pytest.raises(SystemExit) as stop:
            main(["detect", "--set", "wikiqa", "--path", str(hub), *small, "-o", str(output), *more])
        said = capsys.readouterr().err
        assert not stop.value.code, said
        return CategoryFile(output), said

    return run


def test_detection_on_sentences_uses_the_scorer_for_sentences_and_says_so_once(detected: Detect) -> None:
    file, said = detected()
    assert file.header.protocol.scorer == "answer_in_sentence"
    assert file.header.counts[KnowledgeCategory.HIGHLY_KNOWN.value] == file.header.questions.count > 0
    assert said.count("Scorer: answer_in_sentence") == 1
    assert "--scorer answer_stated" in said


def test_a_named_scorer_goes_first_even_if_it_is_the_default(detected: Detect) -> None:
    file, said = detected("--scorer", "answer_stated")
    assert file.header.protocol.scorer == "answer_stated"
    assert file.header.counts[KnowledgeCategory.UNKNOWN.value] == file.header.questions.count
    assert "Scorer:" not in said


def test_a_cleaned_set_keeps_its_own_scorer(detected: Detect) -> None:
    file, _ = detected("--option", "deduplicate=true")
    assert file.header.protocol.scorer == "answer_in_sentence"


def test_a_set_of_short_answers_keeps_the_general_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[Protocol] = []

    def stop(target: Any, protocol: Protocol, *args: Any, **kwargs: Any) -> None:
        assert isinstance(kwargs["exemplars"], ExemplarPool)
        seen.append(protocol)
        raise KeyboardInterrupt

    monkeypatch.setattr("kft_cli.commands.detect.identify_choice", lambda choice: MODEL)
    monkeypatch.setattr("kft_cli.commands.detect.detect", stop)
    with pytest.raises(SystemExit):
        main(["detect", "--limit", "2", "-o", str(tmp_path / "out")])
    assert seen[0].scorer == Protocol().scorer
    assert "Scorer:" not in capsys.readouterr().err


def test_evaluation_on_sentences_uses_the_scorer_for_sentences(
    hub: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = {q.id: short(q.answers[0]) for q in open_set("wikiqa", hub).split("validation")}
    monkeypatch.setattr(
        "kft_cli.commands.eval.open_model",
        lambda choice, protocol, pool: (Knowing(answers, protocol), PromptMaker(protocol, pool)),
    )

    def evaluate(*more: str) -> tuple[list[float], str]:
        few = ("--exemplar-sets", "1", "--shots", "2", "--with-shots", "2", "--split", "validation", "--json")
        with pytest.raises(SystemExit) as stop:
            main(["eval", "--set", "wikiqa", "--path", str(hub), *few, *more])
        captured = capsys.readouterr()
        assert not stop.value.code, captured.err
        return [one["accuracy"] for one in json.loads(captured.out)["results"]], captured.err

    found, said = evaluate()
    assert found == [1.0]
    assert said.count("Scorer: answer_in_sentence") == 1
    assert evaluate("--scorer", "answer_stated")[0] == [0.0]


def test_a_run_on_sentences_records_the_scorer_for_sentences_and_says_so_once(
    hub: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = {
        "name": "mine",
        "model": {"id": str(tiny_model)},
        "questions": {"set": "wikiqa", "path": str(hub)},
        "stages": [{"name": "one", "mixture": [{"name": "all"}]}],
    }
    recipe = Pipeline(parse_recipe(tree, "mine.yaml"), tmp_path / "run", ["kft", "run"]).recipe
    assert recipe.protocol["scorer"] == "answer_in_sentence"
    assert capsys.readouterr().err.count("Scorer: answer_in_sentence") == 1
    named = parse_recipe({**tree, "protocol": {"scorer": "answer_stated"}}, "mine.yaml")
    assert Pipeline(named, tmp_path / "other", ["kft", "run"]).recipe == named
    assert "Scorer:" not in capsys.readouterr().err
