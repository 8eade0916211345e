from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kft_tasks.errors import UsageError
from kft_tasks.scoring import explanation
from kft_tasks.scoring.explanation import Explanation, explain
from kft_tasks.scoring.scorers import SCORERS
from scorer_agreement.agreement import Pair, read_pairs

PAIRS = Path(__file__).parents[2] / "results" / "scoring" / "pairs.jsonl"
CAPITAL = "What is the capital of France?"


@pytest.fixture(scope="module")
def pairs() -> list[Pair]:
    return read_pairs(PAIRS)


@pytest.mark.parametrize("name", SCORERS)
def test_verdicts_of_all_judged_pairs_are_the_scorers_own_and_have_a_reason(name: str, pairs: list[Pair]) -> None:
    for pair in pairs:
        found = explain(name, pair.given, pair.answers, pair.question)
        assert found.verdict is SCORERS[name](pair.given, pair.answers, pair.question)
        assert found.rule
        assert "gives no reason" not in found.rule, pair
        assert found.words or not pair.given.strip() or name == "f1_at_least_half", pair


@given(
    st.sampled_from(sorted(SCORERS)),
    st.lists(
        st.sampled_from(["Paris", "Lyon", "not", "or", "is", "it", "the", ".", ",", "actually", "France", "!!!", "5"]),
        max_size=6,
    ).map(" ".join),
    st.sampled_from(["Paris", "the", "!!!", "5", "Paris and Lyon"]),
)
def test_verdicts_are_the_scorers_own_for_any_text(name: str, text: str, answer: str) -> None:
    assert explain(name, text, [answer], CAPITAL).verdict is SCORERS[name](text, [answer], CAPITAL)


@pytest.mark.parametrize(
    ("given", "verdict", "rule", "words"),
    [
        ("paris", True, "the same words in another spelling", "paris"),
        ("It is Paris.", True, "nothing but the answer", "paris"),
        ("Paris, not Lyon", True, "another answer is denied", "paris"),
        ("Lyon. No, Paris.", True, "the answer after a correction", "paris"),
        ("Parigi", True, "a name in another language", "parigi"),
        ("It is Paris. It is large.", True, "the first sentence", "paris"),
        ("It lies in the lovely old city of Paris.", True, "stated in a sentence", "paris"),
        ("", False, "the answer is empty", ""),
        ("Lyon", False, "no accepted answer is in it", "lyon"),
        ("It is not Paris", False, "a denial, an alternative or a doubt", "not"),
        ("Paris. No, Lyon.", False, "it takes back what it said, and the later answer is not accepted", "Lyon."),
        ("Paris Hilton", False, "the answer stands among other words that may mean something else", "hilton"),
        ("after Paris", False, "it says what the answer is related to", "after paris"),
    ],
)
def test_answer_stated_says_why(given: str, verdict: bool, rule: str, words: str) -> None:
    assert explain("answer_stated", given, ["Paris"], CAPITAL) == Explanation(verdict, rule, words)


@pytest.mark.parametrize(
    ("scorer", "given", "rule", "words"),
    [
        ("exact_match", "The Paris!", "equal to an accepted answer after SQuAD's normalisation", "paris"),
        ("squad_exact_match", "Lyon", "equal to no accepted answer after SQuAD's normalisation", "lyon"),
        ("answer_contained", "in Paris now", "all words of an accepted answer are in it", "paris"),
        ("f1_at_least_half", "Paris now", "F1 with 'Paris' is 0.67", "paris"),
        ("paper_substring", "Parisian", "the first accepted answer is a substring", "paris"),
        ("paper_substring", "Lyon", "the first accepted answer, 'Paris', is no substring", "lyon"),
        ("answer_in_sentence", "the capital", "it has no words of its own", "capital"),
        ("answer_in_sentence", "Lyon", "its own words are in no accepted sentence", "lyon"),
        ("answer_in_sentence", "not Paris", "a denial", "not"),
    ],
)
def test_other_scorers_say_why(scorer: str, given: str, rule: str, words: str) -> None:
    found = explain(scorer, given, ["Paris"], CAPITAL)
    assert found.rule.startswith(rule)
    assert found.words == words


def test_a_scorer_without_reasons_still_gives_its_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explanation, "get_scorer", lambda name: lambda given, answers, question="": True)
    assert explain("own", "Paris", ["Lyon"]) == Explanation(True, "the scorer gives no reason", "Paris")


def test_an_unknown_scorer_is_refused() -> None:
    with pytest.raises(UsageError, match="Unknown scorer"):
        explain("answer_state", "Paris", ["Paris"])
