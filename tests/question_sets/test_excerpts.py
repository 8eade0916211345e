from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kft_tasks.errors import DataError, StateError, UsageError
from kft_tasks.question_sets.checks.excerpts import export, sample
from kft_tasks.question_sets.registry import open_set
from kft_tasks.questions import SPLITS, QuestionSet

Write = Callable[..., Path]

ODD = [
    {"question": 'Ünï «code» \u2028 \\ "quoted"?', "answers": ["[sic]", "a\tb", "\u202etxet"], "split": "train"},
    {"question": "Who?", "answers": ["[1, 2]", "1", "null"], "type": "x|y", "subject": " padded ", "split": "test"},
    {"id": "1", "question": "Who?", "answers": ["", "A"][1:], "type": "z", "split": "validation"},
    *({"question": f"e{n}?", "answers": ["A"], "split": "exemplars"} for n in range(5)),
]


def same(left: QuestionSet, right: QuestionSet) -> bool:
    assert left.splits() == right.splits()
    return all(list(left.split(split)) == list(right.split(split)) for split in left.splits())


def test_an_export_is_read_back_unchanged(tmp_path: Path, write: Write) -> None:
    own = open_set("questions", write(tmp_path / "odd.jsonl", ODD))
    for source in (own, open_set("worldfacts")):
        counts = export(source, source.splits(), tmp_path / "out.jsonl", overwrite=True)
        assert tuple(counts) == source.splits()
        assert same(source, open_set("questions", tmp_path / "out.jsonl"))


@pytest.mark.parametrize("name", ["wikiqa", "entityquestions"])
def test_real_sets_are_read_back_too(name: str, tmp_path: Path, shared: Callable[[str], Path]) -> None:
    options = {"relation": "P36,P40"} if name == "entityquestions" else {}
    source = open_set(name, shared(name), options)
    export(source, source.splits(), tmp_path / "out.jsonl")
    assert same(source, open_set("questions", tmp_path / "out.jsonl"))


def test_options_are_in_the_export(tmp_path: Path, shared: Callable[[str], Path]) -> None:
    options = {"relation": "P36", "deduplicate": True, "remove_overlap": True}
    source = open_set("entityquestions", shared("entityquestions"), options)
    export(source, SPLITS, tmp_path / "out.jsonl")
    assert same(source, open_set("questions", tmp_path / "out.jsonl"))


def test_one_split_keeps_its_ids(tmp_path: Path) -> None:
    source = open_set("worldfacts")
    assert export(source, ["test"], tmp_path / "out.jsonl") == {"test": 824}
    back = open_set("questions", tmp_path / "out.jsonl")
    found = {question.id for split in back.splits() for question in back.split(split)}
    assert found == {question.id for question in source.split("test")}


def test_an_export_replaces_nothing_by_default_and_leaves_nothing_half_written(tmp_path: Path, write: Write) -> None:
    source = open_set("worldfacts")
    path = tmp_path / "out.jsonl"
    path.write_text("mine", encoding="utf-8")
    with pytest.raises(StateError, match=r"already exists.*overwrite it"):
        export(source, ["test"], path)
    with pytest.raises(UsageError, match="Name a .jsonl file"):
        export(source, ["test"], tmp_path / "out.csv")
    with pytest.raises(DataError, match="no split 'tets'"):
        export(source, ["test", "tets"], path, overwrite=True)
    broken = open_set(
        "entityquestions", write(tmp_path / "eq" / "test" / "P17.test.json", [{"question": "Q?"}]).parents[1]
    )
    with pytest.raises(DataError, match="no column answers"):
        export(broken, ["test"], path, overwrite=True)
    with pytest.raises(DataError, match="cannot be written"):
        export(source, ["test"], Path("/proc/here/out.jsonl"))
    assert path.read_text(encoding="utf-8") == "mine"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["eq", "out.jsonl"]


def test_a_sample_depends_on_the_seed_and_not_on_the_order(tmp_path: Path, write: Write) -> None:
    rows: list[dict[str, Any]] = [
        {"question": f"Q{n}?", "answers": ["A"], "type": f"t{n % 2}", "split": "test"} for n in range(50)
    ]
    one = open_set("questions", write(tmp_path / "one.jsonl", [*rows, *ODD[-5:]]))
    two = open_set("questions", write(tmp_path / "two.jsonl", [*rows[::-1], *ODD[-5:]]))
    drawn = sample(one, "test", 8)
    assert (len(drawn.questions), drawn.total) == (8, 50)
    assert drawn == sample(two, "test", 8)
    assert drawn != sample(one, "test", 8, seed=1)
    assert drawn.questions[:4] == sample(one, "test", 4).questions
    of_type = sample(one, "test", 99, type_="t1")
    assert (len(of_type.questions), of_type.total) == (25, 25)
    assert {question.type for question in of_type.questions} == {"t1"}


def test_an_unknown_type_suggests_one_without_hidden_characters(tmp_path: Path, write: Write) -> None:
    rows = [{"question": "Q?", "answers": ["A"], "type": "ca\x1b[2Jpital", "split": "test"}, *ODD[-5:]]
    with pytest.raises(UsageError) as raised:
        sample(open_set("questions", write(tmp_path / "q.jsonl", rows)), "test", 1, type_="capital")
    assert "Known: ca\\x1b[2Jpital" in str(raised.value)
