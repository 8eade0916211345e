from __future__ import annotations

import pytest

from kft_tasks.scoring.answer_rules import answer_match
from kft_tasks.scoring.other_languages import is_country, names_said

CAPITAL = "What is the capital of the country?"


@pytest.mark.parametrize(
    ("given", "answer", "said"),
    [
        ("Москва", "Moscow", True),
        ("Moskau", "Moscow", True),
        ("東京", "Tokyo", True),
        ("京都", "Tokyo", False),
        ("Wien", "Vienna", True),
        ("Deutschland", "Germany", True),
        ("Österreich", "Germany", False),
        ("대한민국", "South Korea", True),
        ("북한", "South Korea", False),
        ("Corée du Nord", "South Korea", False),
        ("Estados Unidos", "United States of America", True),
        ("español", "Spanish", True),
        ("Spanish", "Portuguese", False),
        # other languages' names of one thing that are English names of another
        ("Nigeria", "Niger", False),
        ("Monaco", "Munich", False),
        ("America", "South America", False),
        ("Guinea", "Equatorial Guinea", False),
        # no name that CLDR has
        ("Лев Толстой", "Leo Tolstoy", False),
    ],
)
def test_names(given: str, answer: str, said: bool) -> None:
    assert bool(names_said(given, [answer])) is said
    assert answer_match(given, [answer], CAPITAL) is said


def test_a_name_in_another_language_obeys_the_other_rules() -> None:
    assert answer_match("The capital is Wien.", ["Vienna"], "What is the capital of Austria?")
    assert not answer_match("not Wien", ["Vienna"], "What is the capital of Austria?")
    assert not answer_match("Wien, Graz", ["Vienna"], "What is the capital of Austria?")


@pytest.mark.parametrize(
    ("words", "country"),
    [("south africa", True), ("southern africa", False), ("africa", False), ("north america", False), ("paris", False)],
)
def test_countries(words: str, country: bool) -> None:
    assert is_country(tuple(words.split())) is country
