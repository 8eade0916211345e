from __future__ import annotations

import pytest

from kft_tasks import limits
from kft_train.errors import RecipeError
from kft_train.recipes.strict_yaml import dump_yaml, parse_yaml


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &a [*a]\n", r"r\.yaml:1: alias 'a' stands inside what it names\. Correct the YAML\."),
        ("x:\n" + "".join(" " * n + "- \n" for n in range(1, 60)) + "\n", r"r\.yaml:\d+: "),
        ("x: " + "[" * 60 + "]" * 60, r"r\.yaml:1: nested deeper than 50"),
        ("a: 1\nx: !!int " + "1:" * 100, r"r\.yaml:2: a number or date of over 100 characters"),
        ("x: !!float " + "1" * 101, r"r\.yaml:1: a number or date of over 100 characters"),
        ('x: "\\ud800"', r"r\.yaml:1: half a surrogate pair"),
        ("x: !!int ''", r"r\.yaml: cannot be read \(IndexError"),
        ("x: !!bool q", r"r\.yaml: cannot be read \(KeyError"),
        ("x: !!timestamp q", r"r\.yaml: cannot be read \(AttributeError"),
        ("a: 1\nx: !!binary gA==", r"r\.yaml:2: !!binary is no value of a recipe\. Correct the YAML\."),
        ("x: !!set {a, b}", r"r\.yaml:1: !!set is no value of a recipe"),
        ("x: 2024-13-45", r"r\.yaml: cannot be read \(ValueError"),
        ("x: " + "y" * (1 << 20), r"r\.yaml: larger than 1 MiB"),
    ],
)
def test_one_error_with_the_line(text: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        parse_yaml(text, "r.yaml")


def test_a_list_of_values_is_bounded_and_aliases_count_as_often_as_they_are_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "MAX_YAML_NODES", 30)
    assert parse_yaml(dump_yaml(list(range(25))), "r.yaml") == list(range(25))
    with pytest.raises(RecipeError, match=r"r.yaml:\d+: stands for over 30 values, aliases written out"):
        parse_yaml(dump_yaml(list(range(40))), "r.yaml")
    once = "a: &a [1, 2, 3, 4, 5, 6, 7, 8]\n"
    assert parse_yaml(once + "b: *a\n", "r.yaml")["b"] == [1, 2, 3, 4, 5, 6, 7, 8]
    with pytest.raises(RecipeError, match="r.yaml:3: stands for over 30"):
        parse_yaml(once + "b: *a\nc: *a\n", "r.yaml")


def test_aliases_are_read() -> None:
    text = "base: &b {x: 1, y: 2}\nsame: *b\n"
    assert parse_yaml(text, "r.yaml")["same"] == {"x": 1, "y": 2}


def test_a_long_number_is_text_unless_it_is_said_to_be_a_number() -> None:
    assert parse_yaml("x: " + "1" * 101, "r.yaml") == {"x": "1" * 101}
    assert parse_yaml("x: 1e-4\ny: 12\nz: 2024-01-02\n", "r.yaml")["x"] == 1e-4
