from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kft_tasks.errors import UsageError
from kft_tasks.scoring.scorers import (
    SCORERS,
    answer_contained,
    exact_match,
    f1_at_least_half,
    get_scorer,
    normalize,
    paper_substring,
    squad_exact_match,
    squad_normalize,
    token_f1,
)

# Words that normalisation treats specially, mixed with arbitrary text.
PIECES = st.sampled_from(
    ["a", "an", "the", "The", "A", " ", "\n", ".", "-", "'", "\u2019", "17", "Mark", "\u00e9", "I\u0307"]
)
TEXTS = st.one_of(st.text(), st.lists(PIECES).map("".join), st.lists(PIECES).map(" ".join))


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("", ""),
        ("  Mark \n Twain ", "mark twain"),
        ("MARK TWAIN", "mark twain"),
        ("The Beatles", "beatles"),
        ("a an the", ""),
        ("theatre", "theatre"),
        ("Gone with the Wind", "gone with wind"),
        ("U.S.A.", "usa"),
        ("rock-'n'-roll!", "rocknroll"),
        ("O\u2019Brien", "obrien"),
        ("\u201cYes\u201d \u2013 no\u2026", "yes no"),
        ("3.5", "35"),
        ("caf\u00e9", "caf\u00e9"),
        ("\u00c9cole", "\u00e9cole"),
    ],
)
def test_normalize(text: str, normal: str) -> None:
    assert normalize(text) == normal


# columns: exact_match, answer_contained, f1, paper_substring
TABLE = [
    ("Mark Twain", ["Mark Twain"], True, True, True, True),
    ("mark twain", ["Mark Twain"], True, True, True, True),
    ("The Mark Twain.", ["Mark Twain"], True, True, True, True),
    ("not Mark Twain", ["Mark Twain"], False, True, True, True),
    ("Mark", ["Mark Twain"], False, False, True, False),
    ("Twain Mark", ["Mark Twain"], False, False, True, False),
    ("It was written by Samuel Clemens, called Mark Twain", ["Mark Twain"], False, True, False, True),
    ("1789", ["17"], False, False, False, True),
    ("17", ["1789"], False, False, False, False),
    ("17 89", ["17"], False, True, True, True),
    ("in the year 17", ["17"], False, True, True, True),
    ("Twain", ["Mark Twain", "Twain"], True, True, True, False),
    ("Clemens", ["Mark Twain", "Samuel Clemens", "Clemens"], True, True, True, False),
    ("Mark Twain", ["Samuel Clemens"], False, False, False, False),
    ("cafe", ["caf\u00e9"], False, False, False, False),
    ("cafe\u0301", ["caf\u00e9"], False, False, False, False),
    ("CAF\u00c9", ["caf\u00e9"], True, True, True, True),
    ("USA", ["U.S.A."], True, True, True, False),
    ("O'Brien", ["O\u2019Brien"], True, True, True, False),
    ("", ["Mark Twain"], False, False, False, False),
    ("   ", ["Mark Twain"], False, False, False, False),
    ("", ["The"], False, False, False, False),
    ("a", ["The"], False, False, False, False),
    ("The", ["The"], True, False, False, True),
    ("", ["?"], False, False, False, False),
    ("?", ["?"], True, False, False, True),
    ("Paris", [], False, False, False, None),
]


@pytest.mark.parametrize(("given_", "answers", "exact", "contained", "f1_", "substring"), TABLE)
def test_scorers(
    given_: str, answers: list[str], exact: bool, contained: bool, f1_: bool, substring: bool | None
) -> None:
    assert exact_match(given_, answers) is exact
    assert answer_contained(given_, answers) is contained
    assert f1_at_least_half(given_, answers) is f1_
    if substring is not None:  # the paper's rule needs a first answer
        assert paper_substring(given_, answers) is substring


@pytest.mark.parametrize(
    ("left", "right", "value"),
    [
        ("", "", 0.0),
        ("x", "", 0.0),
        ("x", "x", 1.0),
        ("x y", "x", 2 / 3),
        ("x y z w", "x", 2 / 5),
        ("x x", "x", 2 / 3),
        ("x x", "x x", 1.0),
        ("the x", "x", 1.0),
        ("x y", "y z", 0.5),
    ],
)
def test_token_f1(left: str, right: str, value: float) -> None:
    assert token_f1(left, right) == pytest.approx(value, abs=1e-15)


def test_f1_is_right_from_one_half_on() -> None:
    assert f1_at_least_half("x y", ["y z"])
    assert not f1_at_least_half("x y z", ["y w"])  # 2 / 5


@given(TEXTS)
def test_normalisation_is_idempotent(text: str) -> None:
    assert normalize(normalize(text)) == normalize(text)


@st.composite
def two_spellings(draw: st.DrawFn) -> tuple[str, str]:
    """The same words twice, each time with other articles, punctuation, spaces and case."""
    words = draw(st.lists(st.text("xyz\u00e917", min_size=1, max_size=3), min_size=1, max_size=4))

    def spell() -> str:
        parts = []
        for word in words:
            article = draw(st.sampled_from(["", "", "the ", "A ", "an\n"]))
            parts.append(
                article + draw(st.sampled_from(["", "'", "(", "\u201c"])) + draw(st.sampled_from([word, word.upper()]))
            )
        return draw(st.sampled_from([" ", "  ", ", ", "\n"])).join(parts) + draw(
            st.sampled_from(["", ".", " the", "?!"])
        )

    return spell(), spell()


@given(st.one_of(two_spellings(), st.tuples(TEXTS, TEXTS)))
def test_exact_match_implies_containment_and_full_f1(pair: tuple[str, str]) -> None:
    text, answer = pair
    if exact_match(text, [answer]) and normalize(answer):
        assert answer_contained(text, [answer])
        assert token_f1(text, answer) == 1.0


@given(two_spellings())
def test_spelling_is_no_matter_to_exact_match(pair: tuple[str, str]) -> None:
    assert exact_match(pair[0], [pair[1]])


@given(TEXTS, TEXTS)
def test_exact_match_and_f1_do_not_care_which_side_is_which(text: str, answer: str) -> None:
    if normalize(text) and normalize(answer):
        assert exact_match(text, [answer]) is exact_match(answer, [text])
    assert token_f1(text, answer) == token_f1(answer, text)


@given(TEXTS, st.lists(TEXTS, min_size=1, max_size=3), TEXTS)
def test_another_alias_never_makes_a_right_answer_wrong(text: str, answers: list[str], alias: str) -> None:
    for name, scorer in SCORERS.items():
        assert scorer(text, [*answers, alias]) or not scorer(text, answers), name


@given(st.lists(TEXTS, min_size=1, max_size=3))
def test_an_empty_generation_is_never_an_exact_match(answers: list[str]) -> None:
    assert not exact_match("", [answer for answer in answers if answer.strip()])


def test_unknown_scorer_suggests_the_nearest() -> None:
    with pytest.raises(UsageError, match="Unknown scorer 'exact'. Did you mean 'exact_match'"):
        get_scorer("exact")
    assert get_scorer("exact_match") is exact_match


@given(TEXTS)
def test_squad_normalisation_is_that_of_the_official_script(text: str) -> None:
    """A copy of the official script is in lm-eval: its normalisation ends with a set of characters, ours with a table."""
    from lm_eval.tasks.qasper.metrics import normalize_answer

    assert squad_normalize(text) == normalize_answer(text)


@pytest.mark.parametrize(
    ("text", "gold", "squad", "exact"),
    [
        ("-5", "5", True, True),
        ("3.5", "35", True, True),
        ("1-2", "12", True, True),
        ("The Paris.", "paris", True, True),
        ("O\u2019Brien", "O'Brien", False, True),  # typographic quotes are the difference
        ("\u201cParis\u201d", "Paris", False, True),
        ("", "The", True, False),
        ("!!!", "???", True, False),
    ],
)
def test_squads_rule_to_the_letter_and_ours(text: str, gold: str, squad: bool, exact: bool) -> None:
    assert squad_exact_match(text, [gold]) is squad
    assert exact_match(text, [gold]) is exact
