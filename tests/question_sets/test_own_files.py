from __future__ import annotations

import json
import os
import random
import tracemalloc
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from kft_tasks import limits
from kft_tasks.errors import DataError, UnavailableError, UsageError
from kft_tasks.question_sets.registry import open_set
from kft_tasks.question_sets.storage.rows import read_rows
from kft_tasks.questions import QuestionSet

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


def test_a_subject_is_in_one_split(tmp_path: Path, write: Write) -> None:
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
    options = {"question": "q", "answers": "gold", "type": "topic", "id": "no"}
    for name in ("q.parquet", "q.csv", "q.jsonl"):
        questions = open_set("questions", write(tmp_path / name, rows), options)
        found = {q.id: q for split in SPLITS for q in questions.split(split)}
        assert found["7"].answers == ("1907",)
        assert found["7"].type == "year"


def test_missing_columns_are_named(tmp_path: Path, write: Write) -> None:
    path = write(tmp_path / "q.csv", [{"q": "Q?", "a": "A"}])
    there = r"The columns are: q, a. Say which one it is with `--option {0}=COLUMN` \(kft\) or `--metadata kft_options='{{\"{0}\": \"COLUMN\"}}'`"
    with pytest.raises(DataError, match=r"q.csv:2: no column 'gold' for answers. " + there.format("answers")):
        open_set("questions", path, {"question": "q", "answers": "gold"}).split("train")
    with pytest.raises(DataError, match=r"q.csv:2: no column 'question' for question. " + there.format("question")):
        open_set("questions", path).split("train")
    with pytest.raises(DataError, match=r"q.csv:2: no column 'topic' for type. " + there.format("type")):
        open_set("questions", path, {"question": "q", "answers": "a", "type": "topic"}).split("train")
    with pytest.raises(UsageError, match=r"unknown option 'answer'. Did you mean 'answers'"):
        open_set("questions", path, {"answer": "a"})


def test_a_spreadsheet_with_mark_semicolons_and_line_breaks(tmp_path: Path) -> None:
    rows = [
        '"Frage; deutsch";"Antwort";Land',
        '"Was ist\r\ndie Hauptstadt, bitte, von Peru?";"Lima";Peru',
        'Und von Österreich?;"""Wien""";Österreich',
        *(f"Und von Land {n}?;Stadt {n};Land {n}" for n in range(20)),
    ]
    path = tmp_path / "q.csv"
    path.write_bytes(("\ufeff" + "\r\n".join(rows) + "\r\n\r\n").encode())
    options = {"question": "Frage; deutsch", "answers": "Antwort", "subject": "Land"}
    questions = open_set("questions", path, options)
    found = {q.subject: q for split in SPLITS for q in questions.split(split)}
    assert len(found) == 22
    assert found["Peru"].question == "Was ist\r\ndie Hauptstadt, bitte, von Peru?"
    assert found["Peru"].answers == ("Lima",)
    assert found["Österreich"].answers == ('"Wien"',)
    with path.open("ab") as stream:
        stream.write(b"Und?;;X\r\n")
    with pytest.raises(DataError, match=r"q.csv:26: question 'Und\?' has no answers"):
        open_set("questions", path, options).split("train")


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_the_delimiter_is_detected_from_the_first_line(tmp_path: Path, delimiter: str) -> None:
    path = tmp_path / "q.csv"
    lines = ["question", '"answers, in ""order""; or\tnot"'], *([f"Q{n}?", f'"A{n},;\t,;\t"'] for n in range(20))
    path.write_text("\n".join(delimiter.join(cells) for cells in lines), encoding="utf-8")
    (first, *_) = open_set("questions", path, {"answers": 'answers, in "order"; or\tnot'}).split("train")
    assert first.answers[0].endswith(",;\t,;")


@pytest.mark.parametrize("name", ["q.jsonl", "q.json", "q.csv"])
def test_a_byte_order_mark_is_not_part_of_the_first_column(tmp_path: Path, write: Write, name: str) -> None:
    path = write(tmp_path / name, [{"question": f"Q{n}?", "answers": f"A{n}"} for n in range(20)])
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert sum(map(len, _state(open_set("questions", path)).values())) == 20


def test_parquet_with_a_column_of_lists(tmp_path: Path, write: Write) -> None:
    rows = [{"q": f"Q{n}?", "gold": [f"A{n}", f"B{n}"], "year": 1900 + n} for n in range(20)]
    options = {"question": "q", "answers": "gold", "id": "year"}
    questions = open_set("questions", write(tmp_path / "q.parquet", rows), options)
    found = {q.id: q for split in SPLITS for q in questions.split(split)}
    assert found["1907"].answers == ("A7", "B7")
    write(tmp_path / "p.parquet", [{**rows[0], "gold": []}])
    with pytest.raises(DataError, match=r"p.parquet:row 1: question 'Q0\?' has no answers"):
        open_set("questions", tmp_path / "p.parquet", {**options, "id": ""}).split("train")


def test_jsonl_with_answers_as_text(tmp_path: Path, write: Write) -> None:
    rows = [{"question": f"Q{n}?", "answer" if n % 2 else "answers": f"A{n}"} for n in range(20)]
    questions = open_set("questions", write(tmp_path / "q.jsonl", rows))
    found = {q.question: q.answers for split in SPLITS for q in questions.split(split)}
    assert found == {f"Q{n}?": (f"A{n}",) for n in range(20)}


def _array(*entries: str) -> str:
    return "[\n" + ",\n".join(entries) + "\n]\n"


GOOD = '{"question": "Q?", "answers": ["A"]}'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"q.json:1: not JSON \(Expecting value, character 1 of the line\)\. Fix the file"),
        ('{"a": 1}', "q.json: is not a JSON array of objects. Write an array, or one object per line"),
        ("7", "q.json: is not a JSON array of objects"),
        ("[]", "q.json holds no questions"),
        (_array(GOOD, "7"), "q.json:entry 2: not an object. Fix or remove the entry"),
        (_array(GOOD, '{"question": nul}'), r"q.json:3: not JSON \(Expecting value, character 14 of the line\)"),
        (f"[{GOOD} {GOOD}]", r"q.json:1: not JSON \(Expecting ',' delimiter"),
        (f"[{GOOD},]", r"q.json:1: not JSON \("),
        (f"[{GOOD}", r"q.json:1: not JSON \(Expecting ',' delimiter"),
        (f"[{GOOD},", r"q.json:1: not JSON \(Expecting value"),
        (f"[{GOOD}, " + GOOD[:20], r"q.json:1: not JSON \("),
        (f"[{GOOD}] x", r"q.json:1: not JSON \(Extra data"),
        ('[{"question": ' + "[" * 100_000, r"q.json: not JSON \(brackets nested deeper than 100"),
        ('[{"question": ' + "1" * 5000 + "}]", r"q.json: not JSON \(Exceeds the limit"),
        ('[{"question": "\udcff"}]', "q.json: not UTF-8"),
    ],
)
def test_broken_json_arrays(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "q.json"
    path.write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(DataError, match=message):
        list(open_set("questions", path).split("train"))


def test_a_json_array_is_read_back(tmp_path: Path, write: Write) -> None:
    rows = [{"question": f'Q{n} \\" }}{{ é?', "answers": ["A" * n], "x": {"y": [n]}} for n in range(1, 40)]
    path = write(tmp_path / "q.json", rows)
    assert list(read_rows(path)) == [(f"{path}:entry {n}", row) for n, row in enumerate(rows, start=1)]


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
        ("q.jsonl", '{"question": "Q?"}\n', r"q.jsonl:1: no column 'answers'"),
        ("q.jsonl", '{"answers": ["A"]}\n', r"q.jsonl:1: no column 'question'"),
        ("q.jsonl", '{"question": " ", "answers": ["A"]}\n', r"q.jsonl:1: no question text"),
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
        ("q.txt", "question", r"q.txt: unknown file type"),
    ],
)
def test_broken_files_name_file_line_and_remedy(tmp_path: Path, name: str, content: str, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(DataError, match=message):
        list(open_set("questions", path).split("train"))


@pytest.mark.parametrize(
    ("name", "start", "message"),
    [
        ("q.jsonl", b"", "q.jsonl:1: line of over 16 MiB"),
        ("q.csv", b"", "q.csv:1: line of over 16 MiB"),
        ("q.csv", b'question,answers\n"', "q.csv:2: line of over 16 MiB"),
        ("q.json", b'[{"question": ', "q.json: over 128 MiB, too large for a JSON array. Write one object per line"),
    ],
)
def test_a_line_of_200_mb_is_refused_without_reading_it(tmp_path: Path, name: str, start: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(start)
    with path.open("r+b") as stream:
        stream.truncate(200 * 1024 * 1024)
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=message):
            open_set("questions", path).split("train")
        assert tracemalloc.get_traced_memory()[1] < 80 * 1024 * 1024
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", ["q.jsonl", "q.csv", "q.tsv", "q.json", "q.parquet"])
def test_rows_over_the_limit_are_refused(
    tmp_path: Path, write: Write, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_LINE_BYTES", 1 << 20)
    monkeypatch.setattr(limits, "MAX_JSON_BYTES", 1 << 20)
    path = write(tmp_path / name, [{"question": "x" * (3 << 20), "answers": "A"}])
    with pytest.raises(DataError, match=rf"{name}:?.*over 1 MiB") as error:
        open_set("questions", path).split("train")
    assert len(str(error.value)) < 500


def test_a_quotation_mark_that_is_never_closed_does_not_swallow_the_file(tmp_path: Path) -> None:
    path = tmp_path / "q.csv"
    path.write_text('question,answers\nQ0?,A\n"Q1?,A\n' + "Q2?,A\n" * 100_000, encoding="utf-8")
    with pytest.raises(DataError, match=r"q.csv:3: field larger than field limit"):
        open_set("questions", path).split("train")


def test_quotation_marks_that_stay_open_are_bounded_by_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_LINE_BYTES", 1000)
    path = tmp_path / "q.csv"
    path.write_text("question,answers\n" + 'Q?,"A\nB"\n' * 300, encoding="utf-8")
    assert sum(1 for _ in read_rows(path)) == 300  # each row is short
    path.write_text("question,answers\nQ?" + ',"\n"' * 300 + "\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"q.csv:\d+: the row that ends here or later has over 0 MiB. Close the"):
        list(read_rows(path))


@pytest.mark.parametrize("name", ["q.jsonl", "q.json", "q.csv", "q.parquet"])
def test_a_folder_a_pipe_or_a_device_named_like_a_file_is_an_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / name).mkdir()
    (tmp_path / "device").mkdir()
    (tmp_path / "device" / name).symlink_to("/dev/zero")
    (tmp_path / "pipe").mkdir()
    os.mkfifo(tmp_path / "pipe" / name)
    for kind in ("folder", "device", "pipe"):
        with pytest.raises(DataError, match=rf"{kind}/{name}: cannot be read \(it is a "):
            list(read_rows(tmp_path / kind / name))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_none_are_no_answers(tmp_path: Path, write: Write, value: float) -> None:
    path = write(tmp_path / "q.parquet", [{"question": "Q?", "answers": value}])
    with pytest.raises(DataError, match="q.parquet:row 1: .*an empty answer or one that is not text"):
        open_set("questions", path).splits()
    path = write(tmp_path / "q.jsonl", [{"question": "Q?", "answers": value}])
    with pytest.raises(DataError, match="q.jsonl:1: not a JSON object .*is not a number of JSON"):
        open_set("questions", path).splits()


def test_an_answer_of_brackets_is_text(tmp_path: Path, write: Write) -> None:
    cell = "[" * 50_000
    rows = [{"question": f"Q{n}?", "answers": cell} for n in range(20)]
    (first, *_) = open_set("questions", write(tmp_path / "q.csv", rows)).split("train")
    assert first.answers == (cell,)


def test_messages_are_short_whatever_the_row_holds(tmp_path: Path, write: Write) -> None:
    row = {"question": "Q?" * 50_000, "answers": "A", "split": "x" * 100_000}
    with pytest.raises(DataError, match="unknown split") as error:
        open_set("questions", write(tmp_path / "q.jsonl", [row])).splits()
    assert len(str(error.value)) < 1000
    with pytest.raises(DataError, match="no column 'question'") as error:
        open_set("questions", write(tmp_path / "q.jsonl", [{"y" * 100_000: 1}])).splits()
    assert len(str(error.value)) < 1000


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
    with pytest.raises(DataError, match=r"more.jsonl is next to files with a split"):
        open_set("questions", tmp_path)


def test_an_id_may_occur_in_one_split_only(tmp_path: Path, write: Write) -> None:
    write(tmp_path / "train.jsonl", _rows(3))
    write(tmp_path / "test.jsonl", _rows(1))
    with pytest.raises(DataError, match=r"already used in .*test.jsonl:1|already used in .*train.jsonl:1"):
        open_set("questions", tmp_path).split("train")


@pytest.mark.parametrize("name", ["q.jsonl", "q.csv", "q.tsv", "q.parquet"])
def test_every_format_but_json_streams(tmp_path: Path, write: Write, name: str) -> None:
    """20,000 questions of 5 MB; kft_tasks/lm_eval_tasks/questions/README.md has what 200,000 take."""
    rows = [{"question": f"What is {n}? {'x' * 200}", "answers": f"A{n}"} for n in range(20_000)]
    path = write(tmp_path / name, rows)
    del rows
    tracemalloc.start()
    try:
        questions = open_set("questions", path)
        first = next(questions.split("train"))  # plans the splits: one pass, of which 100 bytes per question stay
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        part = sum(1 for question in questions.split("exemplars") if question.id != first.id)
        assert tracemalloc.get_traced_memory()[1] - before < 2 << 20
    finally:
        tracemalloc.stop()
    assert 900 < part < 1100
