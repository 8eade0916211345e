from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kft_tasks.scoring.normalization import canonical_words, find_words, singular


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ""),
        ("?", "?"),
        ("!!!", "!!!"),
        ("@ !", "@ !"),
        # signs that tell names apart
        ("C", "c"),
        ("C++", "c++"),
        ("c plus plus.", "c++"),
        ("C#", "c#"),
        ("C sharp", "c#"),
        ("C♯", "c#"),
        ("Apple TV+", "apple tv+"),
        ("Apple TV Plus", "apple tv+"),
        ("AB-", "ab-"),
        ("AB negative", "ab-"),
        ("O+", "o+"),
        ("vitamin B-12", "vitamin b12"),
        ("1+1", "1 1"),
        ("A-level", "level"),
        ("The", "the"),
        ("a", "a"),
        ("The Hague", "hague"),
        ("Brasília", "brasilia"),
        ("Łódź", "lodz"),
        ("L’Aquila", "laquila"),
        ("O'Brien", "obrien"),
        ("Jean-Michel Jarre", "jean michel jarre"),
        ("P. G. Wodehouse", "pg wodehouse"),
        ("P.G. Wodehouse", "pg wodehouse"),
        ("P G Wodehouse", "pg wodehouse"),
        ("A. A. Milne", "aa milne"),
        ("St. Louis", "saint louis"),
        ("Simon & Garfunkel", "simon and garfunkel"),
        # countries
        ("the United States of America", "usa"),
        ("U.S.A.", "usa"),
        ("the U.S.", "usa"),
        ("America", "usa"),
        ("South America", "south america"),
        ("Great Britain", "uk"),
        ("New Britain", "new britain"),
        ("People's Republic of China", "china"),
        ("Republic of China", "taiwan"),
        ("Côte d'Ivoire", "cotedivoire"),
        ("Ivory Coast", "cotedivoire"),
        # numbers
        ("twenty-five", "25"),
        ("a hundred and five", "105"),
        ("One Direction", "1 direction"),
        ("Second World War", "ww2"),
        ("World War II", "ww2"),
        ("WWI", "ww1"),
        ("the Ninth", "9th"),
        ("No. 9", "number 9"),
        ("number nine", "number 9"),
        ("Henry VIII", "henry 8"),
        ("Henry the Eighth", "henry 8"),
        ("henry viii", "henry 8"),
        ("Henry V", "henry 5"),
        ("Elizabeth I", "elizabeth 1"),
        ("Super Bowl XLII", "super bowl 42"),
        ("Washington DC", "washington dc"),
        ("Xi Jinping", "xi jinping"),
        ("am I right", "am i right"),
        ("three and four", "3 and 4"),
        ("1,000,000", "1000000"),
        ("2.5 million", "2500000"),
        ("two point five million", "2500000"),
        ("380 000", "380000"),
        ("1.380.000", "1380000"),
        ("3,14", "3.14"),
        ("1,2,3", "1 2 3"),
        ("3.50", "3.5"),
        ("3.5", "3.5"),
        ("35", "35"),
        ("-40", "-40"),
        ("1939-1945", "1939 1945"),
        ("007", "007"),
        ("+40", "40"),
        ("50%", "50 percent"),
        # units and prices
        ("15 mL", "15 milliliter"),
        ("15ml", "15 milliliter"),
        ("15 millilitres", "15 milliliter"),
        ("5 km", "5 kilometer"),
        ("100 mph", "100 mile per hour"),
        ("km", "km"),
        ("100 °C", "100 celsius"),
        ("100°C", "100 celsius"),
        ("100 ℃", "100 celsius"),
        ("100 degrees Celsius", "100 celsius"),
        ("100 degrees centigrade", "100 celsius"),
        ("100 degrees", "100 degree"),
        ("451 F", "451 fahrenheit"),
        ("70 km/h", "70 kilometer per hour"),
        ("70 kmh", "70 kilometer per hour"),
        ("seventy miles an hour", "70 mile per hour"),
        ("about an hour", "about hour"),
        ("299,792 kilometres per second", "299792 kilometer per sec"),
        ("64KB", "64 kilobyte"),
        ("50 Hz", "50 hertz"),
        ("60 kilos", "60 kilogram"),
        ("2 km²", "2 square kilometer"),
        ("2 sq km", "2 square kilometer"),
        ("two square kilometres", "2 square kilometer"),
        ("5,50 €", "5.5 euro"),
        ("EUR 5.50", "5.5 euro"),
        ("7.2 million US dollars", "7200000 dollar"),
        ("44 BCE", "44 bc"),
        ("44 B.C.", "44 bc"),
        ("$7.2 million", "7200000 dollar"),
        ("7.2 million dollars", "7200000 dollar"),
        ("£5", "5 pound"),
        # dates: from large to small
        ("14 July 1789", "1789 m7 d14"),
        ("July 14, 1789", "1789 m7 d14"),
        ("the 14th of July, 1789", "1789 m7 d14"),
        ("the Fourth of July, 1776", "1776 m7 d4"),
        ("1789-07-14", "1789 m7 d14"),
        ("July 1789", "1789 m7"),
        ("14 July", "m7 d14"),
        ("29 February 2000", "2000 m2 d29"),
        ("14/07/1789", "1789 m7 d14"),
        ("14.7.1789", "1789 m7 d14"),
        ("07/14/1789", "1789 m7 d14"),
        ("1789/07/14", "1789 m7 d14"),
        ("9/11/1989", "1989 m11 d9"),
        ("31/06/1789", "31 06 1789"),
        ("Sunday, 20 July 1969", "1969 m7 d20"),
        ("the 20th day of July in 1969", "1969 m7 d20"),
        ("Sunday", "sunday"),
        ("July", "july"),
        ("Sept.", "september"),
        ("31 June 1789", "31 june 1789"),
        ("market 1999", "market 1999"),
    ],
)
def test_spell(text: str, words: str) -> None:
    assert " ".join(canonical_words(text)) == words


@given(st.one_of(st.text(), st.text("0123456789.,-$ mayJul'twohundred%")))
def test_every_text_has_a_spelling_without_spaces_in_its_words(text: str) -> None:
    assert all(word and not any(character.isspace() for character in word) for word in canonical_words(text))


@pytest.mark.parametrize(
    ("word", "one"),
    [
        ("politicians", "politician"),
        ("countries", "country"),
        ("boxes", "box"),
        ("classes", "class"),
        ("class", "class"),
        ("bus", "bus"),
        ("paris", "paris"),
        ("gas", "gas"),
        ("apple", "apple"),
    ],
)
def test_singular(word: str, one: str) -> None:
    assert singular(word) == one


@given(st.lists(st.sampled_from("ab"), max_size=8), st.lists(st.sampled_from("ab"), min_size=1, max_size=3))
def test_find_gives_the_first_place(words: list[str], sought: list[str]) -> None:
    places = [i for i in range(len(words)) if words[i : i + len(sought)] == sought]
    assert find_words(words, sought) == (places[0] if places else -1)
    if len(places) > 1:
        assert find_words(words, sought, places[0] + 1) == places[1]
