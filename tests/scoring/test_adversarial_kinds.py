"""One case, often with its opposite, of each kind of answer that once misled the default scorer."""

from __future__ import annotations

import pytest

from kft_tasks.protocol.protocol import Protocol
from kft_tasks.scoring.scorers import get_scorer

LANGUAGE = "Which programming language is the kernel written in?"
BAND = "Which band recorded Louden Up Now?"
STREET = "On which avenue is the shop?"
BASTILLE = "When was the storming of the Bastille?"
FRANCE = "What is the capital of France?"
WATER = "At what temperature does water boil at sea level?"
AUSTRALIA = "What is the capital of Australia?"
KENYA = "On which continent is Kenya located?"
PLAY = "Who wrote the play?"
HOW_MANY = "How many are there?"


@pytest.mark.parametrize(
    ("question", "accepted", "given", "right"),
    [
        (LANGUAGE, "C", "C", True),
        (LANGUAGE, "C", "C++", False),
        (LANGUAGE, "C", "C#", False),
        (LANGUAGE, "C++", "C", False),
        (LANGUAGE, "C++", "C#", False),
        (LANGUAGE, "C++", "C plus plus", True),
        (LANGUAGE, "C#", "C", False),
        (LANGUAGE, "C#", "C sharp", True),
        (BAND, "!!!", "!!!", True),
        (BAND, "!!!", "???", False),
        (STREET, "sixth", "6th", True),
        (STREET, "6th", "Sixth", True),
        (STREET, "6th", "16th", False),
        (BASTILLE, "14 July 1789", "14/07/1789", True),
        (BASTILLE, "14 July 1789", "14/07/1788", False),
        (FRANCE, "Paris", r"\boxed{Paris}", True),
        (FRANCE, "Paris", r"$\boxed{\text{Paris}}$", True),
        (FRANCE, "Paris", r"\boxed{Lyon}", False),
        (WATER, "100 °C", "100 degrees Celsius", True),
        (WATER, "100 °C", "100 degrees Fahrenheit", False),
        (AUSTRALIA, "Canberra", "Canberra, not Sydney", True),
        (AUSTRALIA, "Sydney", "Canberra, not Sydney", False),
        ("What is the capital of Greece?", "Athens", "Αθήνα", True),
        ("What is the capital of Russia?", "Moscow", "Москва", True),
        ("Which country is Osaka in?", "Japan", "日本", True),
        ("Which country is Cairo in?", "Egypt", "مصر", True),
        ("Which country is Osaka in?", "Japan", "中国", False),
        (KENYA, "Africa", "South Africa", False),
        (KENYA, "Africa", "Sub-Saharan Africa", True),
        (FRANCE, "Paris", "Paris. Actually, it is Lyon.", False),
        (FRANCE, "Lyon", "Paris. Actually, it is Lyon.", True),
        (PLAY, "William Shakespeare", "written by somebody before William Shakespeare", False),
        (PLAY, "William Shakespeare", "It was written by somebody before William Shakespeare.", False),
        (PLAY, "William Shakespeare", "It was written by William Shakespeare.", True),
        (HOW_MANY, "5", "-5", False),
        (HOW_MANY, "35", "3.5", False),
        (HOW_MANY, "12", "1-2", False),
    ],
)
def test_the_default_tells_them_apart(question: str, accepted: str, given: str, right: bool) -> None:
    assert get_scorer(Protocol().scorer)(given, [accepted], question) is right


@pytest.mark.parametrize(
    ("accepted", "given"), [("5", "-5"), ("35", "3.5"), ("12", "1-2"), ("C", "C++"), ("C", "C#"), ("!!!", "!!!")]
)
def test_squads_rule_accepts_what_only_looks_alike_so_no_default_rests_on_it(accepted: str, given: str) -> None:
    assert get_scorer("squad_exact_match")(given, [accepted], "")
    assert Protocol().scorer not in ("squad_exact_match", "exact_match")
