from __future__ import annotations

import itertools
import json
import random
import tracemalloc
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from kft_tasks.errors import DataError, UnavailableError, UsageError
from kft_tasks.questions import QuestionSet
from kft_tasks.sets import open_set

Write = Callable[..., Path]
SPLITS = ("train", "validation", "test", "exemplars")


def _rows(count: int, type_: str = "capital") -> list[dict[str, object]]:
    return [
        {"question": f"What is the {type_} of {n}?", "answers": [f"A{n}", f"a-{n}"], "type": type_, "subject": f"S{n}"}
        for n in range(count)
    ]


def _state(questions: QuestionSet) -> dict[str, set[str]]:
    return {split: {q.id for q in questions.split(split)} for split in SPLITS}


def test_split_shares_are_about_70_10_15_5(tmp_path: Path, write: Write) -> None:
    state = _state(open_set("questions", write(tmp_path / "q.jsonl", _rows(4000))))
    shares = {split: len(ids) / 4000 for split, ids in state.items()}
    assert shares == pytest.approx({"train": 0.70, "validation": 0.10, "test": 0.15, "exemplars": 0.05}, abs=0.02)
    assert len(set.union(*state.values())) == 4000


def test_splits_and_ids_do_not_depend_on_row_order_or_format(tmp_path: Path, write: Write) -> None:
    rows = _rows(300)
    before = _state(open_set("questions", write(tmp_path / "q.jsonl", rows)))
    random.Random(0).shuffle(rows)
    assert _state(open_set("questions", write(tmp_path / "q.parquet", rows))) == before
    assert _state(open_set("questions", write(tmp_path / "q.json", rows))) == before
    for row in rows:
        row["answers"] = json.dumps(row["answers"])
    assert _state(open_set("questions", write(tmp_path / "q.csv", rows))) == before
    assert _state(open_set("questions", write(tmp_path / "q.tsv", rows))) == before


def test_a_subject_lies_in_one_split(tmp_path: Path, write: Write) -> None:
    rows = [{**row, "subject": f"S{n % 50}"} for n, row in enumerate(_rows(500))]
    questions = open_set("questions", write(tmp_path / "q.jsonl", rows))
    where: dict[str, set[str]] = {}
    for split in SPLITS:
        for question in questions.split(split):
            where.setdefault(question.subject, set()).add(split)
    assert set(map(len, where.values())) == {1}


def test_small_types_get_enough_exemplars(tmp_path: Path, write: Write) -> None:
    rows = [*_rows(2000), *_rows(20, "river"), *_rows(3, "lake")]
    questions = open_set("questions", write(tmp_path / "q.jsonl", rows))
    counts = Counter(q.type for q in questions.split("exemplars"))
    assert counts["river"] == 8
    assert counts["lake"] == 1


def test_adding_questions_does_not_move_others(tmp_path: Path, write: Write) -> None:
    before = _state(open_set("questions", write(tmp_path / "a.jsonl", _rows(1000))))
    after = _state(open_set("questions", write(tmp_path / "b.jsonl", _rows(1500))))
    assert all(before[split] <= after[split] for split in SPLITS)


def test_a_split_column_is_obeyed_and_exemplars_come_out_of_train(tmp_path: Path, write: Write) -> None:
    rows = [{**row, "split": "dev" if n % 4 == 0 else "train"} for n, row in enumerate(_rows(400))]
    questions = open_set("questions", write(tmp_path / "q.jsonl", rows))
    counts = {split: sum(1 for _ in questions.split(split)) for split in ("train", "validation", "exemplars")}
    assert counts["validation"] == 100
    assert counts["train"] + counts["exemplars"] == 300
    assert counts["exemplars"] >= 8
    with pytest.raises(DataError, match=r"no split 'test'. It has train, validation, exemplars"):
        questions.split("test")


def test_a_folder_with_one_file_per_split(tmp_path: Path, write: Write) -> None:
    rows = _rows(100)
    write(tmp_path / "train.csv", [{**row, "answers": f"A{n}"} for n, row in enumerate(rows[:50])])
    write(tmp_path / "test.parquet", rows[50:60])
    write(tmp_path / "exemplars.jsonl", rows[60:70])
    questions = open_set("questions", tmp_path)
    counts = {split: sum(1 for _ in questions.split(split)) for split in ("train", "test", "exemplars")}
    assert counts == {"train": 50, "test": 10, "exemplars": 10}


def test_a_file_of_exemplars_leaves_the_other_splits_whole(tmp_path: Path, write: Write) -> None:
    extra = write(tmp_path / "extra.jsonl", _rows(20, "other"))
    path = write(tmp_path / "test.jsonl", _rows(30))
    questions = open_set("questions", path.parent / "test.jsonl", {"exemplars": str(extra)})
    state = _state(questions)
    assert len(state["exemplars"]) == 20
    assert sum(map(len, state.values())) == 50
    with pytest.raises(DataError, match=r"nowhere\.jsonl: the exemplars file does not exist"):
        open_set("questions", path, {"exemplars": "nowhere.jsonl"})


def test_columns_are_mapped(tmp_path: Path, write: Write) -> None:
    rows = [{"q": f"Q {n}?", "gold": 1900 + n, "topic": "year", "no": n} for n in range(30)]
    options = {"columns": {"question": "q", "answers": "gold", "type": "topic", "id": "no"}}
    for name in ("q.parquet", "q.csv", "q.jsonl"):
        questions = open_set("questions", write(tmp_path / name, rows), options)
        found = {q.id: q for split in SPLITS for q in questions.split(split)}
        assert found["7"].answers == ("1907",)
        assert found["7"].type == "year"


def test_columns_that_are_not_there(tmp_path: Path, write: Write) -> None:
    path = write(tmp_path / "q.csv", [{"q": "Q?", "a": "A"}])
    with pytest.raises(DataError, match=r"q.csv:2: no column 'gold' \(for 'answers'\). There are q, a"):
        open_set("questions", path, {"columns": {"question": "q", "answers": "gold"}}).split("train")
    with pytest.raises(UsageError, match=r"unknown field 'answer'. Did you mean 'answers'"):
        open_set("questions", path, {"columns": {"answer": "a"}})
    with pytest.raises(UsageError, match="Write a mapping"):
        open_set("questions", path, {"columns": ["q"]})


@pytest.mark.parametrize("cell", ['["A", "B"]', "[sic] is an answer", "A"])
def test_answer_cells(tmp_path: Path, write: Write, cell: str) -> None:
    rows = [{"question": f"Q{n}?", "answers": cell} for n in range(20)]
    (first, *_) = open_set("questions", write(tmp_path / "q.csv", rows)).split("train")
    assert first.answers == (("A", "B") if cell.startswith('["') else (cell,))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("q.jsonl", '{"question": "Q?", "answers": ["A"]}\n{"question"', r"q.jsonl:2: not a JSON object"),
        ("q.jsonl", '{"question": "Q?", "answers": []}\n', r"q.jsonl:1: .* has no answers. Add at least one"),
        ("q.jsonl", '{"question": "Q?", "answers": ["A", " "]}\n', r"q.jsonl:1: .* empty answer"),
        ("q.jsonl", '{"question": "Q?"}\n', r"q.jsonl:1: .* has no answers"),
        ("q.jsonl", '{"answers": ["A"]}\n', r"q.jsonl:1: no question text"),
        ("q.jsonl", '{"question": "Q?", "answers": ["A"], "split": "tset"}\n', r"q.jsonl:1: unknown split 'tset'"),
        ("q.jsonl", "", r"q.jsonl holds no questions"),
        ("q.jsonl", '{"question": "Q?", "answers": ["A"]}\n' * 2, r"q.jsonl:2: id .* already used in .*q.jsonl:1"),
        ("q.csv", "question,answers\nQ?\n", r"q.csv:2: 1 columns where the first line has 2"),
        ("q.csv", 'question,answers\nQ?,"A\n', r"q.csv:2: unexpected end of data"),
        ("q.csv", "question,question\n", r"q.csv:1: two columns have the same name"),
        ("q.csv", "", r"q.csv: is empty"),
        ("q.csv", "question,answers\n", r"q.csv holds no questions"),
        ("q.csv", "question,answers\nQ?,\n", r"q.csv:2: .* has no answers"),
        ("q.tsv", "question\tanswers\nQ?\t\xff\n", r"q.tsv:2: not UTF-8"),
        ("q.parquet", "PAR1 nonsense", r"q.parquet: is not a readable Parquet file"),
        ("q.txt", "question", r"q.txt: unknown kind of file"),
    ],
)
def test_broken_files_name_file_line_and_remedy(tmp_path: Path, name: str, content: str, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(DataError, match=message):
        list(open_set("questions", path).split("train"))


@pytest.mark.parametrize("name", ["q.jsonl", "q.csv"])
def test_a_line_of_200_mb_is_refused_without_reading_it(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with path.open("wb") as stream:
        stream.truncate(200 * 1024 * 1024)
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=rf"{name}:1: line of over 16 MiB"):
            open_set("questions", path).split("train")
        assert tracemalloc.get_traced_memory()[1] < 80 * 1024 * 1024
    finally:
        tracemalloc.stop()


def test_a_path_is_needed(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="say where your questions are") as error:
        open_set("questions")
    assert "KFT_DATA_QUESTIONS=" in str(error.value)
    with pytest.raises(UnavailableError, match=r"path: .*nowhere does not exist"):
        open_set("questions", tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"holds no .jsonl"):
        open_set("questions", tmp_path)


def test_files_with_and_without_a_split_do_not_mix(tmp_path: Path, write: Write) -> None:
    write(tmp_path / "train.jsonl", _rows(3))
    write(tmp_path / "more.jsonl", _rows(3))
    with pytest.raises(DataError, match=r"more.jsonl is beside files with a split"):
        open_set("questions", tmp_path)


def test_an_id_may_occur_in_one_split_only(tmp_path: Path, write: Write) -> None:
    write(tmp_path / "train.jsonl", _rows(3))
    write(tmp_path / "test.jsonl", _rows(1))
    with pytest.raises(DataError, match=r"already used in .*test.jsonl:1|already used in .*train.jsonl:1"):
        open_set("questions", tmp_path).split("train")


def test_200_000_questions_stream_in_flat_memory(tmp_path: Path) -> None:
    path = tmp_path / "q.jsonl"
    with path.open("w") as stream:
        for n in range(200_000):
            stream.write(f'{{"id": "q{n}", "question": "What is {n}? {"x" * 100}", "answers": ["A{n}"]}}\n')
    questions = open_set("questions", path)
    first = next(questions.split("train"))  # plans the splits: one pass over the file
    tracemalloc.start()
    try:
        part = sum(1 for question in itertools.islice(questions.split("exemplars"), 2000) if question.id != first.id)
        assert tracemalloc.get_traced_memory()[1] < 1024 * 1024
    finally:
        tracemalloc.stop()
    assert part == 2000
