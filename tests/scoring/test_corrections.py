from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kft_tasks.scoring.corrections import (
    correction,
    may_qualify,
    without_denied_others,
    without_remarks_of_certainty,
)


@pytest.mark.parametrize(
    ("text", "later"),
    [
        ("Paris. Actually, it is Lyon.", "it is Lyon."),
        ("Paris. Actually Lyon", "Lyon"),
        ("Paris. Wait, Lyon.", "Lyon."),
        ("Paris. No wait, Lyon.", "Lyon."),
        ("Paris. Correction: Lyon", "Lyon"),
        ("Paris, I mean Lyon", "Lyon"),
        ("Paris - no, Lyon", "Lyon"),
        ("Paris? No, Lyon.", "Lyon."),
        ("Paris. Sorry, Lyon. No, Nice.", "Nice."),  # the last one stands
        # nothing is taken back
        ("Paris", None),
        ("Paris. It is large.", None),
        ("Paris, actually.", None),
        ("Paris, rather than Lyon", None),
        ("Paris; actually the largest city of France", None),
        ("Paris. Actually, it is a lovely city.", None),
        ("Paris. Actually, the games took five months.", None),
        ("Paris. Sorry for the delay.", None),
        ("No, Paris", None),
    ],
)
def test_correction(text: str, later: str | None) -> None:
    assert correction(text) == later


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Canberra, not Sydney", [("Canberra", "Sydney")]),
        ("Canberra and not Sydney.", [("Canberra.", "Sydney")]),
        ("Canberra (not Sydney)", [("Canberra", "Sydney")]),
        ("Canberra rather than Sydney", [("Canberra", "Sydney")]),
        ("Canberra instead of Sydney", [("Canberra", "Sydney")]),
        ("It was Einstein, not Newton, who did it.", [("It was Einstein  who did it.", "Newton")]),
        ("Not Sydney but Canberra", [("Canberra", "Sydney")]),
        ("It is not the tiger, it is the lion.", [("it is the lion.", "the tiger")]),
        ("Many think it is Sydney, but it is Canberra.", [("it is Canberra.", " it is Sydney")]),
        # only the answer itself is denied, or nothing is
        ("not Canberra", []),
        ("It is not Canberra.", []),
        ("Canberra, not sure", []),
        ("not only Canberra but Sydney", []),
        ("Canberra", []),
    ],
)
def test_denied_others(text: str, found: list[tuple[str, str]]) -> None:
    assert list(without_denied_others(text)) == found


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("the lion, no doubt", "the lion"),
        ("There is no doubt that it is gold.", "it is gold."),
        ("It is gold, isn't it?", "It is gold"),
        ("Paris, of course", "Paris"),
        ("Of course it is Paris", "it is Paris"),
        ("the school of course design", "the school of course design"),
        ("Paris, if I remember correctly", "Paris"),
        ("As far as I know, Paris", "Paris"),
        ("I'm not sure, but I think it's Paris.", "I think it's Paris."),
        ("It might be Paris, but I am not sure.", "It might be Paris, but I am not sure."),
        ("I don't know, Paris?", "I don't know, Paris?"),
    ],
)
def test_remarks_of_certainty(text: str, plain: str) -> None:
    assert without_remarks_of_certainty(text) == plain


WORDS = [
    "Paris",
    "Lyon",
    "not,",
    "no",
    "but",
    ",",
    ".",
    "?",
    "actually",
    "it",
    "is",
    "I",
    "mean",
    "sorry",
    "rather",
    "than",
    "isn't",
    "doubt",
    "if",
    "right",
]


@given(st.lists(st.sampled_from(WORDS), max_size=9).map(" ".join))
def test_only_texts_with_a_cue_change(text: str) -> None:
    changed = correction(text) is not None or list(without_denied_others(text))
    if changed or without_remarks_of_certainty(text) != text.strip():
        assert may_qualify(text)
