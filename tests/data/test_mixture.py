from __future__ import annotations

import json
import random
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kft_tasks.categories.category import KnowledgeCategory, Tally
from kft_tasks.categories.category_file import CategorizedQuestion, Header
from kft_tasks.errors import DataError
from kft_tasks.protocol.identity import ModelIdentity, QuestionsIdentity
from kft_tasks.protocol.protocol import Protocol
from kft_train.data.mixture import Mixture, build_mixture, check_model, read_mixture, write_mixture
from kft_train.recipes.recipe import MixturePart, load_recipe
from train_helpers import make_question

HIGH, MAYBE, WEAK, UNKNOWN = KnowledgeCategory
NAMES = {"H": HIGH, "M": MAYBE, "W": WEAK, "U": UNKNOWN}

STILL = {"name": "still_maybe_known", "before": ["MaybeKnown"], "now": ["MaybeKnown"]}
UPGRADED = {"name": "upgraded", "before": ["WeaklyKnown", "Unknown"], "now": ["MaybeKnown"]}
FELL = {"name": "fell", "before": ["HighlyKnown"], "now": ["MaybeKnown"]}
REPLAY = {"name": "replay", "now": ["HighlyKnown"], "ratio": 0.2}

# Question i was PAIRS[i][0] before and is PAIRS[i][1] now.
PAIRS = ["MM"] * 10 + ["WM"] * 4 + ["UM"] * 1 + ["HH"] * 8 + ["MH"] * 4 + ["HM"] * 2 + ["MW"] * 3 + ["UU"] * 5


def parts(*rows: dict[str, Any]) -> list[MixturePart]:
    return [MixturePart.model_validate(row) for row in rows]


def categorized(codes: Iterable[str]) -> list[CategorizedQuestion]:
    return [
        CategorizedQuestion(make_question(i), NAMES[code[-1]], Tally(), Tally(), (), ()) for i, code in enumerate(codes)
    ]


NOW = categorized(PAIRS)
BEFORE = {item.question.id: NAMES[code[0]] for item, code in zip(NOW, PAIRS, strict=True)}


@pytest.mark.parametrize(
    ("rows", "taken"),
    [
        ([STILL], [10]),
        ([STILL, REPLAY], [10, 2]),
        ([UPGRADED], [5]),
        ([STILL, UPGRADED], [10, 5]),
        ([STILL, UPGRADED, REPLAY], [10, 5, 3]),
        ([REPLAY, STILL, UPGRADED], [3, 10, 5]),
        ([STILL, UPGRADED, FELL, REPLAY], [10, 5, 2, 3]),
        ([{"name": "all_data"}], [37]),
        ([{"name": "random", "limit": 7}], [7]),
        ([{"name": "random", "same_size_as": {"now": ["MaybeKnown"]}}], [17]),
        ([{"name": "highly_known", "now": ["HighlyKnown"], "limit": 100}], [12]),
    ],
)
def test_every_composition_of_the_paper_and_every_baseline_can_be_expressed(
    rows: list[dict[str, Any]], taken: list[int]
) -> None:
    mixture = build_mixture(parts(*rows), NOW, BEFORE, seed=1)
    assert [part.taken for part in mixture.parts] == taken
    assert [part.name for part in mixture.parts] == [row["name"] for row in rows]
    assert len(mixture.items) == sum(taken)


def stage_two(recipe: str) -> Mixture:
    """The second stage's mixture of a packaged recipe."""
    return build_mixture(load_recipe(recipe).stages[1].mixture, NOW, BEFORE, seed=1)


@pytest.mark.parametrize("recipe", ["demo", "worldfacts-full", "paper-qwen2-7b"])
def test_stage_two_trains_on_all_that_is_maybe_known_now_also_on_what_fell(recipe: str) -> None:
    mixture = stage_two(recipe)
    maybe = {item.question.id for item in NOW if item.category is MAYBE}
    replayed = {item.question.id for item in mixture.items if item.part == "replay"}
    assert {item.question.id for item in mixture.items} - replayed == maybe
    assert [(part.name, part.taken) for part in mixture.parts] == [
        ("still_maybe_known", 10),
        ("upgraded", 5),
        ("fell", 2),
        ("replay", 3),  # 0.2 of the 17 others
    ]
    assert {item.now for item in mixture.items if item.part == "replay"} == {HIGH}  # also what was MaybeKnown before
    assert len(mixture.pools.get("replay", ())) == (12 if recipe == "paper-qwen2-7b" else 0)


def test_without_fell_leaves_out_what_fell_and_nothing_else() -> None:
    fell = {item.question.id for item in stage_two("demo").items if item.part == "fell"}
    assert len(fell) == 2
    mixture = stage_two("demo-without-fell")
    assert [(part.name, part.taken) for part in mixture.parts] == [
        ("still_maybe_known", 10),
        ("upgraded", 5),
        ("replay", 3),
    ]
    assert not fell & {item.question.id for item in mixture.items}


def test_the_random_baseline_trains_on_as_many_questions_as_the_method_in_every_stage() -> None:
    for stage, before in ((0, None), (1, BEFORE)):
        sizes = [
            len(build_mixture(load_recipe(name).stages[stage].mixture, NOW, before, seed=1).items)
            for name in ("demo", "demo-random")
        ]
        assert sizes[0] == sizes[1] > 0


def test_reasons_are_given_in_words() -> None:
    mixture = build_mixture(parts(STILL, UPGRADED, FELL), NOW, BEFORE, 1)
    assert {(item.part, item.reason) for item in mixture.items} == {
        ("still_maybe_known", "MaybeKnown before and now"),
        ("upgraded", "upgraded from WeaklyKnown to MaybeKnown"),
        ("upgraded", "upgraded from Unknown to MaybeKnown"),
        ("fell", "fell from HighlyKnown to MaybeKnown"),
    }
    first = build_mixture(parts({"name": "maybe_known", "now": ["MaybeKnown"]}), NOW, None, 1)
    assert {item.reason for item in first.items} == {"MaybeKnown now"}


def test_the_choice_depends_on_seed_and_ids_and_not_on_order() -> None:
    shuffled = list(NOW)
    random.Random(3).shuffle(shuffled)
    chosen = parts(STILL, UPGRADED, REPLAY)
    assert build_mixture(chosen, shuffled, BEFORE, 1) == build_mixture(chosen, NOW, BEFORE, 1)
    limited = parts({"name": "random", "limit": 10})
    picks = [{item.question.id for item in build_mixture(limited, NOW, BEFORE, seed).items} for seed in (1, 2)]
    assert picks[0] != picks[1]


def test_a_question_belongs_to_the_first_part_that_takes_it() -> None:
    mixture = build_mixture(
        parts({"name": "some", "limit": 4, "now": ["MaybeKnown"]}, {"name": "rest"}), NOW, BEFORE, 1
    )
    ids = [item.question.id for item in mixture.items]
    assert len(set(ids)) == len(ids) == len(NOW)
    assert [part.taken for part in mixture.parts] == [4, len(NOW) - 4]
    assert [part.available for part in mixture.parts] == [17, len(NOW) - 4]


@pytest.mark.parametrize("split", ["test", "validation", "exemplars"])
def test_questions_of_other_splits_are_refused(split: str) -> None:
    foreign = replace(NOW[0], question=make_question(0, split))
    with pytest.raises(DataError, match=f"is from the {split} split"):
        build_mixture(parts({"name": "highly_known", "now": ["Unknown"]}), [*NOW[1:], foreign], None, 1)


def test_an_empty_mixture_says_which_parts_are_empty_and_what_to_do() -> None:
    with pytest.raises(
        DataError, match=r"parts \(weak, replay\) are empty.*HighlyKnown 1, MaybeKnown 1.*Raise questions.limit"
    ):
        build_mixture(parts({"name": "weak", "now": ["WeaklyKnown"]}, REPLAY), categorized(["H", "M"]), None, 1)


def test_selecting_by_before_needs_an_earlier_detection_of_the_same_questions() -> None:
    with pytest.raises(DataError, match="there is no earlier detection"):
        build_mixture(parts(STILL), NOW, None, 1)
    with pytest.raises(DataError, match="has no category in the earlier detection"):
        build_mixture(parts(STILL), NOW, {}, 1)
    with pytest.raises(DataError, match="is duplicated"):
        build_mixture(parts(REPLAY, {"name": "all"}), [*NOW, NOW[0]], None, 1)


def test_a_redrawn_part_takes_other_questions_every_epoch_and_no_other_part_takes_them() -> None:
    replay = {"name": "replay", "now": ["HighlyKnown"], "limit": 4, "redraw": True}
    known = {"name": "known", "now": ["HighlyKnown"]}
    mixture = build_mixture(parts(STILL, replay, known), NOW, BEFORE, 1)
    assert [part.taken for part in mixture.parts] == [10, 4, 0]
    assert (
        mixture.items_of(0)
        == mixture.items
        == build_mixture(parts(STILL, {**replay, "redraw": False}), NOW, BEFORE, 1).items
    )
    draws = []
    for epoch in range(6):
        items = mixture.items_of(epoch)
        assert [item.part for item in items] == ["still_maybe_known"] * 10 + ["replay"] * 4
        assert items[:10] == mixture.items[:10]
        draws.append(frozenset(item.question.id for item in items[10:]))
        assert {item.now for item in items[10:]} == {HIGH}
    assert len(set(draws)) > 3
    pool = {item.question.id for item in mixture.pools["replay"]}
    assert len(pool) == 12
    assert pool >= frozenset().union(*draws)
    assert {item.question.id for item in mixture.all_items} == pool | {item.question.id for item in mixture.items}
    shuffled = list(NOW)
    random.Random(3).shuffle(shuffled)
    assert build_mixture(parts(STILL, replay, known), shuffled, BEFORE, 1).items_of(5) == mixture.items_of(5)


def test_a_mixture_file_names_the_redrawn_parts_and_holds_the_first_epoch(tmp_path: Path) -> None:
    mixture = build_mixture(parts(STILL, {**REPLAY, "redraw": True}), NOW, BEFORE, 1)
    write_mixture(tmp_path / "mixture.jsonl", mixture)
    assert read_mixture(tmp_path / "mixture.jsonl") == replace(mixture, pools={})
    header = json.loads((tmp_path / "mixture.jsonl").read_text("utf-8").splitlines()[0])
    assert header["redrawn"] == ["replay"]


def test_mixture_files_round_trip_and_broken_ones_are_refused(tmp_path: Path) -> None:
    mixture = build_mixture(parts(STILL, UPGRADED, REPLAY), NOW, BEFORE, 1)
    path = tmp_path / "mixture.jsonl"
    write_mixture(path, mixture)
    assert read_mixture(path) == mixture
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    for broken, message in [
        (lines[:-1], "truncated"),
        ([*lines, lines[-1]], "is duplicated"),
        (lines[1:], "not a mixture of format"),
        ([], "not a mixture of format"),
        ([*lines[:-1], lines[-1].replace('"part"', '"port"')], f"mixture.jsonl:{len(lines)}: broken line"),
        ([*lines[:-1], lines[-1][:20]], f"mixture.jsonl:{len(lines)}"),
    ]:
        path.write_text("".join(broken), encoding="utf-8")
        with pytest.raises(DataError, match=message):
            read_mixture(path)


def test_a_category_file_of_another_model_is_refused_unless_allowed() -> None:
    questions = QuestionsIdentity("s", "1", "train", 0, "d", "e")
    header = Header("0", ModelIdentity("a", "w1" * 9, "ad1"), Protocol(), questions, False, {})
    check_model(header, ModelIdentity("another name", "w1" * 9, "ad1", "float32"))
    for other in (ModelIdentity("a", "w2" * 9, "ad1"), ModelIdentity("a", "w1" * 9)):
        with pytest.raises(DataError, match=r"made for a .* but training starts from a"):
            check_model(header, other)
        check_model(header, other, allow=True)
