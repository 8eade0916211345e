"""Category files by a grader's verdicts: only where it was measured, and nothing guessed for unreadable replies."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from grading_helpers import MODEL, ScriptedGrader, by_word, category_file, identity, judged_pairs, make_grader
from kft_tasks.categories.category import KnowledgeCategory
from kft_tasks.categories.category_file import CategoryFile
from kft_tasks.categories.rescore import Rescoring, rescore
from kft_tasks.certainty.measure import measure_certainty
from kft_tasks.errors import DataError, StateError, UsageError
from kft_tasks.grading.agreement import known_agreement, measure_agreement, read_judged_pairs
from kft_tasks.grading.apply import apply_verdicts
from kft_tasks.grading.stored import open_stored
from kft_tasks.protocol.protocol import Protocol
from kft_tasks.scoring.scorers import GRADED, get_scorer, is_graded

H, M, W, U = KnowledgeCategory
TEXTS = {
    "highly": ["yes indeed", "oh yes", "no"],
    "maybe": ["yes indeed", "no", "no"],
    "weakly": ["no", "no", "well, yes"],
    "unknown": ["no", "no", "what?"],
}


@pytest.fixture
def applied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Rescoring]:
    """Grade a category file by a script and apply the verdicts."""
    monkeypatch.setenv("KFT_CACHE", str(tmp_path / "cache"))
    pairs = read_judged_pairs(judged_pairs(tmp_path / "pairs.jsonl", [("yes", True), ("no", True), ("never", False)]))

    def call(
        path: Path, script: Any = by_word, *, measured: bool = True, output: str = "out", **options: Any
    ) -> Rescoring:
        stored = open_stored(path)
        with identity().open_cache() as cache:
            grader, _ = make_grader(cache, ScriptedGrader(script))
            if measured:
                measure_agreement(grader, identity(), pairs, "pairs.jsonl")
            grader.ask(answer.pair for answer in stored.read())
            known = known_agreement(identity())
            return apply_verdicts(stored, tmp_path / output, grader, identity(), known, **options)

    return call


def categories(path: Path) -> dict[str, KnowledgeCategory]:
    return {item.question.id: item.category for item in CategoryFile(path)}


def test_the_categories_are_those_of_the_verdicts(applied: Callable[..., Rescoring], tmp_path: Path) -> None:
    path = category_file(tmp_path / "x.categories.jsonl", TEXTS)
    assert set(categories(path).values()) == {U}
    result = applied(path)
    assert categories(result.output) == {"highly": H, "maybe": M, "weakly": W, "unknown": U}
    assert result.moves[U, H] == result.moves[U, M] == result.moves[U, W] == 1
    example = result.examples[U, H][0]
    assert example.given == ("yes indeed", True)


def test_the_file_says_who_decided_and_how_well_that_is_known(
    applied: Callable[..., Rescoring], tmp_path: Path
) -> None:
    path = category_file(tmp_path / "x.categories.jsonl", TEXTS)
    header = CategoryFile(applied(path).output).header
    assert header.protocol.scorer == "graded:judge"
    assert header.rescored is not None
    assert header.rescored.scorer == "exact_match"
    assert header.graded is not None
    assert header.graded.model == MODEL
    assert header.graded.prompt_digest == identity().prompt_digest
    assert (header.graded.judged, header.graded.agreed, header.graded.unreadable) == (3, 2, 0)
    assert header.model == CategoryFile(path).header.model
    assert header.exhaustive


def test_a_grader_that_was_never_measured_makes_no_categories(
    applied: Callable[..., Rescoring], tmp_path: Path
) -> None:
    path = category_file(tmp_path / "x.categories.jsonl", TEXTS)
    with pytest.raises(UsageError, match="Grader judge: never measured on judged answers"):
        applied(path, measured=False)
    assert not (tmp_path / "out").exists()


def test_an_unreadable_answer_counts_as_not_asked(applied: Callable[..., Rescoring], tmp_path: Path) -> None:
    def script(given: str) -> str:
        return "hm" if given == "nonsense" else by_word(given)

    texts = {
        "decided": ["yes indeed", "no", "nonsense"],  # one right and one wrong greedy answer decide
        "sampled": ["nonsense", "no", "well, yes"],  # a greedy answer is missing: nothing decides
        "unknown": ["no", "no", "nonsense"],  # without its samples it could be weakly known
    }
    path = category_file(tmp_path / "x.categories.jsonl", texts)
    with pytest.raises(DataError, match="2 of 3 questions are undecided"):
        applied(path, script)
    result = applied(path, script, allow_undecided=True)
    assert categories(result.output) == {"decided": M}
    assert result.undecided == ["sampled", "unknown"]
    file = CategoryFile(result.output)
    (item,) = file
    assert item.sampled_answers == ((), ())
    assert file.header.graded is not None
    assert file.header.graded.unreadable == 5
    assert not file.header.exhaustive


def test_answers_without_categories_and_outputs_in_the_way_are_refused(
    applied: Callable[..., Rescoring], tmp_path: Path
) -> None:
    path = category_file(tmp_path / "x.categories.jsonl", TEXTS)
    applied(path)
    with pytest.raises(StateError, match="exists"):
        applied(path)
    applied(path, overwrite=True)
    answers = Path(__file__).parents[1] / "fixtures" / "version_0_1_0" / "tiny-run" / "evaluate-base" / "answers.jsonl"
    with pytest.raises(UsageError, match="holds no categories"):
        applied(answers, output="other")


def test_a_graded_category_file_can_be_scored_by_a_rule_again_but_not_by_its_own_name(
    applied: Callable[..., Rescoring], tmp_path: Path
) -> None:
    source = category_file(tmp_path / "x.categories.jsonl", TEXTS)
    path = applied(source).output
    again = rescore(path, tmp_path / "again", scorer="exact_match", explained=True)
    assert categories(again.output) == categories(source)
    header = CategoryFile(again.output).header
    assert header.graded is None
    assert header.rescored is not None
    assert header.rescored.scorer == "graded:judge"
    with pytest.raises(UsageError, match="a model gave these verdicts"):
        rescore(path, tmp_path / "third", scorer="graded:judge")
    with pytest.raises(UsageError, match="a model gave these verdicts"):
        measure_certainty(path)
    with pytest.raises(DataError, match="Grade the file that it was made from"):
        open_stored(path)


def test_name_and_grader_go_together(applied: Callable[..., Rescoring], tmp_path: Path) -> None:
    path = applied(category_file(tmp_path / "x.categories.jsonl", TEXTS)).output
    first, rest = path.read_text().split("\n", 1)
    header = json.loads(first)
    for changed in (
        {key: value for key, value in header.items() if key != "graded"},
        {**header, "graded": None},
        {**header, "graded": {**header["graded"], "judged": -1}},
        {**header, "graded": {**header["graded"], "mood": "good"}},
    ):
        path.write_text(f"{json.dumps(changed)}\n{rest}")
        with pytest.raises(DataError, match="broken header"):
            CategoryFile(path)


def test_a_model_is_no_rule_that_could_be_asked_for() -> None:
    assert is_graded("graded:judge")
    assert not any(map(is_graded, ("graded:", "answer_stated", "Graded:judge", "")))
    with pytest.raises(UsageError, match="no rule computes them"):
        get_scorer("graded:judge")
    with pytest.raises(UsageError, match="Unknown scorer"):
        get_scorer(GRADED)
    with pytest.raises(UsageError, match="no rule computes them"):
        Protocol.from_mapping({"scorer": "graded:judge"})
    stored = Protocol(scorer="graded:judge").stored()
    assert Protocol.from_stored(stored).scorer == "graded:judge"
