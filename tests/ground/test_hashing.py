"""Pins every draw, order, split and id that depends on a hash: changing a value here changes published runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import SimpleNamespace

import pytest

from kft_cli.report.measures import examples
from kft_tasks.categories.category import KnowledgeCategory, Tally
from kft_tasks.categories.category_file import CategorizedQuestion
from kft_tasks.detection.target import select
from kft_tasks.engine.decoding import context_key
from kft_tasks.hashing import keyed_digest, keyed_int
from kft_tasks.protocol.exemplars import ExemplarPool
from kft_tasks.protocol.protocol import Protocol
from kft_tasks.question_sets.checks.excerpts import sample
from kft_tasks.question_sets.splits.splitting import disambiguated_id, key_of, place_of
from kft_tasks.questions import Question, content_id
from kft_train.data.mixture import build_mixture
from kft_train.recipes.recipe import MixturePart
from worldfacts_builder import build

POOL = [Question(f"id-{n}é", "Q?", ("A",), "t", "train") for n in range(12)]


class Pool:
    """A question set of :data:`POOL`."""

    name, version = "pool", "1"

    def splits(self) -> tuple[str, ...]:
        return ("train",)

    def split(self, name: str) -> Iterator[Question]:
        return iter(POOL)


def numbers(questions: Iterable[Question]) -> list[int]:
    """The numbers in the ids of :data:`POOL`."""
    return [int(question.id[3:-1]) for question in questions]


def categorized(category: KnowledgeCategory) -> list[CategorizedQuestion]:
    return [CategorizedQuestion(question, category, Tally(), Tally(), (), ()) for question in POOL]


def test_the_digest_is_blake2b_of_the_joined_parts() -> None:
    # the vector of RFC 7693, appendix A
    assert keyed_digest("abc", size=64).hex().startswith("ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b7")
    assert keyed_digest("a", 1, "é") == keyed_digest("a|1|é")
    assert len(keyed_digest("x")) == 16
    assert keyed_digest("x", key=b"1") != keyed_digest("x", key=b"2")
    assert keyed_int("x") == int(keyed_digest("x", size=8).hex(), 16)


def test_ids_of_content() -> None:
    assert content_id("set", "type", "Who wrote Ünï?") == "set-type-4d87eaa8a05da61d"
    assert content_id("s", "t", "") == "s-t-e4a6a0577479b2b4"
    assert disambiguated_id("base", ("A", "B|é")) == "base-e5d02d"
    assert disambiguated_id("base", ("A",)) == "base-5ae561"


def test_keys_and_places_of_splits() -> None:
    assert [key_of(text) for text in ("Who?", "", "é\n|x")] == [
        13375082969727025260,
        16476032584258269876,
        15912708542994231327,
    ]
    assert place_of("  The  FRANCE ") == place_of("the france") == 11200185539901308213
    assert place_of("") == 6627426969814581801


def test_exemplar_sets() -> None:
    protocol = Protocol(exemplar_sets=4, shots=4, seed=3)
    sets = [numbers(chosen) for chosen in ExemplarPool(POOL, protocol).sets("t")]
    assert sets == [[7, 8, 5, 3], [11, 6, 9, 0], [1, 4, 10, 2], [10, 8, 5, 11]]  # the last of a second shuffle


def test_key_of_samples() -> None:
    assert context_key(0, "worldfacts-x", 0) == 4918976627845519862
    assert context_key(7, "é|1", 9) == 10333768786337262532


def test_questions_of_a_limit_and_of_an_excerpt() -> None:
    assert numbers(select(lambda: iter(POOL), 4)()) == [3, 4, 6, 8]
    assert numbers(sample(Pool(), "train", 4).questions) == [2, 6, 9, 4]
    assert numbers(sample(Pool(), "train", 4, seed=5).questions) == [8, 3, 11, 0]


def test_questions_of_a_mixture() -> None:
    now = categorized(KnowledgeCategory.UNKNOWN)
    mixture = build_mixture([MixturePart(name="random", limit=6)], now, None, seed=3)
    assert numbers(item.question for item in mixture.items) == [5, 6, 10, 3, 2, 1]


def test_examples_of_a_report(monkeypatch: pytest.MonkeyPatch) -> None:
    files = {
        "base": categorized(KnowledgeCategory.UNKNOWN),
        "stage1": categorized(KnowledgeCategory.HIGHLY_KNOWN),
    }
    monkeypatch.setattr(examples, "CategoryFile", files.get)
    header = SimpleNamespace(protocol=SimpleNamespace(samples=1, scorer="answer_stated"))
    told = {
        point: SimpleNamespace(
            path=point, header=header, categories={item.question.id: item.category for item in items}
        )
        for point, items in files.items()
    }
    data = SimpleNamespace(points=["base", "stage1"], told=told, stages=[])
    shown = examples.draw_examples(data)["upgraded"]["shown"]  # type: ignore[arg-type]
    assert [int(example["id"][3:-1]) for example in shown] == [8, 0, 4, 3, 2, 11, 10, 1]


def test_ranks_of_worldfacts_subjects() -> None:
    assert build._rank("country", "France") == "30e8dceaaeb73cf8e525338f0adaff86"
