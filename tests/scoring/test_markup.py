from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kft_tasks.scoring.markup import plain_text


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("Paris", "Paris"),
        # Markdown
        ("**Paris**", "Paris"),
        ("*Paris*", "Paris"),
        ("_Paris_", "Paris"),
        ("`Paris`", "Paris"),
        ("# Paris", "Paris"),
        ("> Paris", "Paris"),
        ("- Paris\n- Lyon", "Paris\nLyon"),
        ("1. Paris\n2. Lyon", "Paris\nLyon"),
        ("[Paris](https://example.org/Paris)", "Paris"),
        ("~~Lyon~~ Paris", "Paris"),
        ("snake_case_name", "snake_case_name"),
        ("2 * 3 * 4", "2 * 3 * 4"),
        ("-5", "-5"),
        ("C#", "C#"),
        # HTML
        ("<b>Paris</b>", "Paris"),
        ("<answer>Paris</answer>", "Paris"),
        ("H<sub>2</sub>O", "H2O"),
        ("<del>Lyon</del> Paris", "Paris"),
        ("Simon &amp; Garfunkel", "Simon & Garfunkel"),
        ("<s>Paris</s>", "Paris"),  # begin and end of a sequence, not struck out
        ("Paris<|im_end|>", "Paris"),
        ("1 < 2 > 0", "1 < 2 > 0"),
        # LaTeX
        (r"\boxed{Paris}", "Paris"),
        (r"$\boxed{\text{Paris}}$", "Paris"),
        (r"\(42\)", "42"),
        ("$42$", "42"),
        ("H_2O", "H2O"),
        ("x^{10}", "x10"),
        ("$5 or $6", "$5 or $6"),
        ("$5-$6", "$5-$6"),
        # labels, and what follows the answer
        ("Answer: Paris", "Paris"),
        ("**Final answer:** Paris", "Paris"),
        ("A: Paris", "Paris"),
        ("Paris\nQ: And of Spain?\nA: Madrid", "Paris"),
        ("Answer:", "Answer:"),
    ],
)
def test_plain_text(text: str, plain: str) -> None:
    assert plain_text(text) == plain


@given(
    st.one_of(
        st.text(), st.lists(st.sampled_from(["**", "\\text{", "}", "$", "<b>", "~~", "_", "`", "a", " "])).map("".join)
    )
)
def test_any_text_can_be_read(text: str) -> None:
    assert isinstance(plain_text(text), str)


@given(st.text("abc XYZ 123 .,-'éß"))
def test_a_text_without_marks_stays_as_it_is(text: str) -> None:
    assert plain_text(text) == text
