"""results/scoring: the pairs are what its README says, and its tables are computed from them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from kft_tasks.errors import DataError
from kft_tasks.files import read_json
from kft_tasks.protocol.protocol import Protocol
from kft_tasks.scoring.scorers import exact_match
from scorer_agreement.agreement import NEVER, PARTS, Pair, insert, main, measure, read_pairs, render
from scorer_agreement.agreement_wikiqa import is_supported, measure_wikiqa, read_entries

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "results" / "scoring"
WIKIQA = ROOT.parent / "shared" / "data" / "wikiqa"
needs_wikiqa = pytest.mark.skipif(not WIKIQA.is_dir(), reason="WikiQA is not here")


@pytest.fixture(scope="module")
def pairs() -> list[Pair]:
    return read_pairs(FOLDER / "pairs.jsonl")


def test_published_numbers_are_those_of_the_pairs(pairs: list[Pair]) -> None:
    published = read_json(FOLDER / "agreement.json")
    published.pop("wikiqa")  # its data are not ours to ship
    assert published.pop("before")["digest"] == published["pairs"]["digest"]  # of rules that are no longer here
    assert published == json.loads(json.dumps(measure(pairs)))


def test_readme_is_rendered_from_the_published_numbers() -> None:
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert insert(page, render(read_json(FOLDER / "agreement.json"))) == page


def test_the_default_scorer_is_the_best_that_accepts_no_negation(pairs: list[Pair]) -> None:
    assert measure(pairs)["best"] == Protocol().scorer


def test_pairs_are_many_from_real_generations_and_on_both_sides_of_every_border(pairs: list[Pair]) -> None:
    assert sum(pair.origin == "generated" for pair in pairs) >= 300
    assert {pair.origin for pair in pairs} == {"generated", "written"}
    assert {pair.part for pair in pairs} == set(PARTS)
    for kind in ("accent", "date", "hedge", "left out", "list", "negation", "number", "plural", "title", "unit"):
        assert {pair.right for pair in pairs if pair.kind == kind} == {True, False}, kind
    assert set(NEVER) <= {pair.kind for pair in pairs}
    assert all(pair.origin == "written" or pair.set in ("worldfacts", "entityquestions") for pair in pairs)


def test_the_readme_names_every_kind(pairs: list[Pair]) -> None:
    kinds = (FOLDER / "README.md").read_text(encoding="utf-8").partition("### Kinds")[2]
    for kind in {pair.kind for pair in pairs}:
        assert f"`{kind}`" in kinds


def test_pairs_called_exact_are_equal_and_empty_ones_say_nothing(pairs: list[Pair]) -> None:
    for pair in pairs:
        if pair.kind == "exact":
            assert pair.right
            assert exact_match(pair.given, pair.answers)
        if pair.kind == "empty":
            assert not pair.right
            assert len(pair.given.strip(" .")) < 4


def _pair(given: str, right: bool, kind: str = "exact") -> Pair:
    return Pair("What is it?", ("Rome",), given, right, kind, "written", "", "", "written")


def test_precision_recall_and_f1_by_hand() -> None:
    pairs = [_pair("Rome", True), _pair("Roma", True), _pair("rome", False), _pair("Paris", False, "negation")]
    result = measure(pairs)["scorers"]["exact_match"]
    assert result["all"]["precision"]["count"] == 1
    assert result["all"]["precision"]["n"] == 2
    assert result["all"]["recall"]["n"] == 2
    assert result["all"]["f1"] == pytest.approx(0.5)
    assert result["kinds"]["negation"]["wrong_accepted"] == {
        **result["kinds"]["negation"]["wrong_accepted"],
        "count": 0,
        "n": 1,
    }
    assert result["kinds"]["negation"]["f1"] is None


def test_a_scorer_that_accepts_a_negation_is_not_the_best() -> None:
    pairs = [_pair("It is Rome or so they say", True), _pair("not Rome", False, "negation"), _pair("Rome", True)]
    assert measure(pairs)["best"] not in ("answer_contained", "paper_substring", "f1_at_least_half")


def test_broken_pairs_are_refused_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    row = {**_pair("Rome", True).__dict__, "answers": ["Rome"]}
    path.write_text(f"{json.dumps(row)}\n{json.dumps(row)}\n")
    with pytest.raises(DataError, match=r"pairs.jsonl:2: .*judged before"):
        read_pairs(path)
    path.write_text(json.dumps({**row, "mood": "good"}) + "\n")
    with pytest.raises(DataError, match=r"pairs.jsonl:1: .*mood"):
        read_pairs(path)


def test_a_page_without_marks_is_refused() -> None:
    with pytest.raises(DataError, match="rendered: begin"):
        insert("# Scoring\n", "text")


def test_the_command_keeps_the_numbers_of_data_that_are_not_here(tmp_path: Path) -> None:
    for name in ("pairs.jsonl", "agreement.json", "README.md"):
        (tmp_path / name).write_bytes((FOLDER / name).read_bytes())
    result = CliRunner().invoke(main, [str(tmp_path)])
    assert result.exit_code == 0, result.output
    for name in ("agreement.json", "README.md"):
        assert (tmp_path / name).read_bytes() == (FOLDER / name).read_bytes(), name


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    head = "QuestionID\tQuestion\tDocumentID\tDocumentTitle\tSentenceID\tSentence\tAnswerPhrase1\tAnswerPhrase2\tAnswerPhrase3"
    rows = [
        "Q1\twhere is x\tD1\tX\tD1-0\tX is in old Rome today .\tRome\told Rome\tNO_ANS",
        "Q2\twho is y\tD2\tY\tD2-0\tY is a king .\tNO_ANS\t\t",
    ]
    (tmp_path / "WikiQASent.pos.ans.train-dev.tsv").write_text("\n".join([head, *rows]) + "\n")
    return tmp_path


def test_wikiqa_tables_by_hand(corpus: Path) -> None:
    assert list(read_entries(corpus)) == ["where is x"]
    result = measure_wikiqa(corpus)
    assert (result["questions"], result["phrases"]) == (1, 2)
    assert result["annotators"]["exact_match"] == {**result["annotators"]["exact_match"], "count": 0, "n": 2}
    assert result["annotators"]["answer_contained"]["count"] == 1  # "Rome" in "old Rome"
    assert result["annotators"]["f1_at_least_half"]["count"] == 2
    spans = result["spans"]
    assert spans["rules"]["words_of_sentence"]["accepted"] == spans["count"]
    assert spans["untelling"] == 6  # X, is, in, "X is", "is in", "X is in"
    assert spans["rules"]["answer_in_sentence"]["untelling"] == 0


@pytest.mark.parametrize(
    ("given", "supported"),
    [("Rome", True), ("in Rome", True), ("old Rome today", True), ("today", False), ("X is in", False)],
)
def test_support(given: str, supported: bool) -> None:
    assert is_supported(given, ("Rome", "old Rome"), "where is x") is supported


@needs_wikiqa
def test_real_wikiqa_gives_the_published_counts() -> None:
    published = read_json(FOLDER / "agreement.json")["wikiqa"]
    result = json.loads(json.dumps(measure_wikiqa(WIKIQA)))
    assert result == {name: published[name] for name in result}


@needs_wikiqa
def test_no_text_of_wikiqa_is_published() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in FOLDER.iterdir() if path.is_file())
    questions = [question for question in read_entries(WIKIQA) if len(question.split()) > 3]
    assert not [question for question in questions if re.search(rf"\b{re.escape(question)}\b", text, re.IGNORECASE)]


def test_numbers_of_a_models_answers_are_kept_with_the_name_of_their_rules(tmp_path: Path, corpus: Path) -> None:
    for name in ("pairs.jsonl", "agreement.json", "README.md"):
        (tmp_path / name).write_bytes((FOLDER / name).read_bytes())
    before = read_json(FOLDER / "agreement.json")
    assert CliRunner().invoke(main, [str(tmp_path), "--wikiqa", str(corpus)]).exit_code == 0
    after = read_json(tmp_path / "agreement.json")["wikiqa"]
    assert after["questions"] == 1
    assert after["generations"] == before["wikiqa"]["generations"]
    assert after["generations_rules"] == before["before"]["label"]
    assert f"Generations: by the rules of {before['before']['label']}." in (tmp_path / "README.md").read_text("utf-8")


def test_before_and_after_a_change_of_the_rules(tmp_path: Path) -> None:
    for name in ("pairs.jsonl", "README.md"):
        (tmp_path / name).write_bytes((FOLDER / name).read_bytes())
    assert CliRunner().invoke(main, [str(tmp_path), "--keep-as-before", "version 0"]).exit_code == 0
    path = tmp_path / "agreement.json"
    result = read_json(path)
    assert "| answer_stated | unchanged |" in render(result)
    del result["before"]["scorers"]["squad_exact_match"]
    result["before"]["scorers"]["answer_stated"]["written"]["precision"]["count"] -= 5
    page = render(result)
    assert "| squad_exact_match | new |" in page
    lines = [
        line for line in page.splitlines() if line.startswith(("| answer_stated | before", "| answer_stated | after"))
    ]
    assert len(lines) == 2
    assert lines[0].split("|")[3] != lines[1].split("|")[3]
    assert "the rules of version 0 on the same pairs" in page
