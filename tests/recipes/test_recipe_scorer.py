"""A recipe that names no scorer takes the question set's own, else the general default."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from kft_tasks.protocol.protocol import Protocol
from kft_train.recipes.recipe import Recipe, parse_recipe
from kft_train.recipes.strict_yaml import parse_yaml

SENTENCES = SimpleNamespace(scorer="answer_in_sentence")
SHORT = SimpleNamespace()


def recipe(protocol: dict[str, Any] | None = None, **changes: Any) -> Recipe:
    tree = {
        "name": "mine",
        "model": {"id": "somewhere"},
        "protocol": protocol or {},
        "stages": [{"name": "one", "mixture": [{"name": "all"}]}],
        **changes,
    }
    return parse_recipe(tree, "mine.yaml")


def test_the_sets_own_scorer_is_taken_for_every_purpose_and_recorded() -> None:
    mine = recipe().with_scorer_of(SENTENCES)
    assert mine.protocol_object().scorer == "answer_in_sentence"
    assert mine.protocol_for("test").scorer == mine.protocol_for("validation").scorer == "answer_in_sentence"
    assert parse_yaml(mine.to_yaml(), "recipe.yaml")["protocol"]["scorer"] == "answer_in_sentence"


def test_a_set_without_one_leaves_the_general_default_which_is_recorded_too() -> None:
    mine = recipe().with_scorer_of(SHORT)
    assert mine.protocol["scorer"] == Protocol().scorer
    assert list(mine.protocol) == list(Protocol().to_json())


def test_a_named_scorer_goes_first_even_if_it_is_the_default() -> None:
    mine = recipe({"scorer": Protocol().scorer})
    assert mine.with_scorer_of(SENTENCES) == mine
    assert mine.protocol_object().scorer == Protocol().scorer


def test_a_purpose_keeps_the_scorer_that_it_names() -> None:
    mine = recipe(protocols={"validation": {"scorer": "answer_contained"}}).with_scorer_of(SENTENCES)
    assert mine.protocol_for("validation").scorer == "answer_contained"
    assert mine.protocol_for("test").scorer == "answer_in_sentence"


def test_writing_a_recipe_out_and_loading_it_again_does_not_name_the_scorer() -> None:
    mine = recipe()
    again = parse_recipe(parse_yaml(mine.to_yaml(), "again.yaml"), "again.yaml")
    assert again == mine
    assert again.digest() == mine.digest() == mine.with_scorer_of(SHORT).digest()
    assert again.with_scorer_of(SENTENCES).digest() != mine.digest()
