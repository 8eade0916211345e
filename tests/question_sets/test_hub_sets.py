from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from kft_tasks.errors import DataError, UnavailableError, UsageError
from kft_tasks.protocol.exemplars import ExemplarPool
from kft_tasks.protocol.protocol import Protocol
from kft_tasks.question_sets.registry import open_set
from kft_tasks.questions import QuestionSet, content_id

Write = Callable[..., Path]
SPLITS = ("train", "validation", "test", "exemplars")


def _popqa(count: int) -> list[dict[str, object]]:
    props = (("occupation", 22), ("color", 257), ("place of birth", 218))
    rows: list[dict[str, object]] = []
    for n in range(count):
        prop, prop_id = props[n % 3] if n % 3 != 1 or n < 60 else props[0]
        rows.append(
            {
                "id": n,
                "subj": f"Person {n // 2}",
                "prop": prop,
                "obj": f"Object {n}",
                "subj_id": n,
                "prop_id": prop_id,
                "obj_id": n,
                "s_aliases": "[]",
                "o_aliases": "[]",
                "s_uri": "u",
                "o_uri": "u",
                "s_wiki_title": "t",
                "o_wiki_title": "t",
                "s_pop": 10 * n,
                "o_pop": 1,
                "question": f"What is the {prop} of Person {n // 2}?",
                "possible_answers": json.dumps([f'O "{n}"', f"Object {n}"]),
            }
        )
    return rows


def _trivia(count: int, start: int = 0, value: str = "Answer {}") -> list[dict[str, object]]:
    return [
        {
            "question": f"Which answer is number {n}?",
            "question_id": f"tc_{n}",
            "question_source": "http://www.triviacountry.com/",
            "entity_pages": {"doc_source": [], "filename": [], "title": [], "wiki_context": []},
            "search_results": {"description": [], "filename": [], "rank": [], "title": [], "url": []},
            "answer": {
                "aliases": [f"Answer {n}", f"The Answer ({n})", ""],
                "matched_wiki_entity_name": "",
                "normalized_aliases": [f"answer {n}", f"the answer {n}"],
                "normalized_matched_wiki_entity_name": "",
                "normalized_value": f"answer {n}",
                "type": "WikipediaEntity",
                "value": value.format(n),
            },
        }
        for n in range(start, start + count)
    ]


def _nq(count: int, start: int = 0) -> list[dict[str, object]]:
    words = ("who sang", "when was", "name the")
    return [
        {"question": f"{words[n % 3]} number {n}", "answer": [f"Answer {n}", f"The {n}"]}
        for n in range(start, start + count)
    ]


def _simple(count: int) -> list[dict[str, object]]:
    kinds = ("Person", "Number", "Date", "Place", "Other")
    return [
        {
            "metadata": str({"topic": "Art", "answer_type": kinds[n % 5], "urls": ["https://x.org/it's"]}),
            "problem": f"Who was number {n}?",
            "answer": f"Answer {n}",
        }
        for n in range(count)
    ]


def _ids(questions: QuestionSet, splits: tuple[str, ...] = SPLITS) -> Counter[str]:
    return Counter(q.id for split in splits for q in questions.split(split))


def test_popqa_in_the_files_of_the_hub(tmp_path: Path, write: Write) -> None:
    path = write(tmp_path / "test.tsv", _popqa(600))
    for place in (tmp_path, path):
        questions = open_set("popqa", place)
        ids = _ids(questions)
        assert len(ids) == ids.total() == 600
        pool = ExemplarPool(questions.split("exemplars"), Protocol())
        assert all(len(pool.sets(type_)) == 10 for type_ in ("occupation", "color", "place_of_birth"))
    (first, *_) = questions.split("train")
    assert first.answers[0].startswith("Object")
    assert first.answers[1].startswith('O "')
    assert first.subject.startswith("Person")
    subjects = [{q.subject for q in questions.split(split)} for split in SPLITS]
    assert sum(map(len, subjects)) == pytest.approx(len(set.union(*subjects)), abs=10)  # rare types may move a subject


def test_popqa_questions_with_the_same_text_stay_apart(tmp_path: Path, write: Write) -> None:
    rows = [{**row, "subj": "Ann", "question": "What is Ann's job?"} for row in _popqa(3)]
    for row in rows:
        row["prop"] = "occupation"
    rows[2]["possible_answers"], rows[2]["obj"] = rows[1]["possible_answers"], rows[1]["obj"]
    questions = open_set("popqa", write(tmp_path / "test.parquet", rows + _popqa(100)))
    same = [q for split in SPLITS for q in questions.split(split) if q.question == "What is Ann's job?"]
    base = content_id("popqa", "occupation", "What is Ann's job?")
    assert len(same) == 3
    assert all(q.id.startswith(f"{base}-") for q in same)
    assert sum(q.id.endswith(".2") for q in same) == 1  # of the two rows that agree in everything
    ids = _ids(questions)
    assert len(ids) == ids.total() == 103


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"possible_answers": "[]"}, 'row 1: "possible_answers" holds no answer'),
        ({"possible_answers": "not json"}, 'row 1: "possible_answers" is not a JSON list'),
        ({"possible_answers": '[""]'}, 'row 1: "possible_answers" holds no answer'),
        ({"question": ""}, 'row 1: "question" is empty'),
    ],
)
def test_popqa_broken_rows(tmp_path: Path, write: Write, change: dict[str, str], message: str) -> None:
    path = write(tmp_path / "test.parquet", [{**_popqa(1)[0], **change}])
    with pytest.raises(DataError, match=message):
        open_set("popqa", path).split("test")


def test_changed_schema_names_the_missing_column(tmp_path: Path, write: Write) -> None:
    rows = [{key: value for key, value in row.items() if key != "prop"} for row in _popqa(5)]
    with pytest.raises(DataError, match=r"row 1: no column prop; there are id, subj, .*Is this akariasai/PopQA\?"):
        open_set("popqa", write(tmp_path / "test.parquet", rows)).split("test")
    with pytest.raises(DataError, match=r"no column answer; there are"):
        open_set("triviaqa", write(tmp_path / "t" / "train.parquet", rows)).split("train")


def test_triviaqa_struct_aliases_and_repeats(tmp_path: Path, write: Write) -> None:
    train = _trivia(300)
    write(tmp_path / "rc.nocontext" / "train-00000-of-00001.parquet", train + train[:100] + _trivia(5, 1000))
    write(tmp_path / "rc.nocontext" / "validation-00000-of-00001.parquet", _trivia(20, 1000))
    write(tmp_path / "rc.nocontext" / "test-00000-of-00001.parquet", _trivia(20, 2000, "<unk>"))
    write(tmp_path / "rc" / "train-00000-of-00001.parquet", _trivia(50, 5000))
    questions = open_set("triviaqa", tmp_path)
    ids = _ids(questions)
    assert len(ids) == ids.total() == 320
    dropped: Counter[str] = sum(questions.dropped.values(), Counter())  # type: ignore[attr-defined]
    assert dropped == {"the same text again": 100, "the same text is in a split of the source": 5}
    test = list(questions.split("test"))
    assert len(test) == 20
    assert test[0].answers == ("Answer 1000", "The Answer (1000)", "the answer 1000")
    assert test[0].type == "which"


def test_triviaqa_test_without_answers_is_an_error(tmp_path: Path, write: Write) -> None:
    path = write(tmp_path / "test.parquet", _trivia(5, value="<unk>"))
    with pytest.raises(DataError, match=r"row 1: has no answer. TriviaQA's public test split has none"):
        open_set("triviaqa", path).split("test")
    with pytest.raises(DataError, match=r"no files of TriviaQA. Put copies of mandarjoshi/trivia_qa"):
        open_set("triviaqa", tmp_path)


def test_nq_open(tmp_path: Path, write: Write) -> None:
    write(tmp_path / "nq_open" / "train-00000-of-00001.parquet", _nq(600))
    write(tmp_path / "nq_open" / "validation-00000-of-00001.parquet", _nq(60, 1000))
    questions = open_set("nq_open", tmp_path)
    counts = {split: sum(1 for _ in questions.split(split)) for split in SPLITS}
    assert counts["test"] == 60
    assert sum(counts.values()) == 660
    assert {q.type for q in questions.split("exemplars")} == {"who", "when", "other"}
    assert min(Counter(q.type for q in questions.split("exemplars")).values()) >= 8


def test_simpleqa_holds_out_its_own_exemplars(tmp_path: Path, write: Write) -> None:
    path = write(tmp_path / "simple_qa_test_set.csv", _simple(400))
    for place in (path, tmp_path):
        questions = open_set("simpleqa", place)
        exemplars = Counter(q.type for q in questions.split("exemplars"))
        assert set(exemplars) == {"Person", "Number", "Date", "Place", "Other"}
        assert min(exemplars.values()) >= 8
        assert sum(1 for _ in questions.split("test")) + exemplars.total() == 400
        with pytest.raises(DataError, match="no split 'train'"):
            questions.split("train")


def test_simpleqa_can_borrow_exemplars(tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "nq" / "train.parquet", _nq(200))
    monkeypatch.setenv("KFT_DATA_NQ_OPEN", str(tmp_path / "nq"))
    path = write(tmp_path / "simple_qa_test_set.csv", _simple(100))
    questions = open_set("simpleqa", path, {"exemplars_from": "nq_open"})
    assert sum(1 for _ in questions.split("test")) == 100
    pool = ExemplarPool(questions.split("exemplars"), Protocol())
    assert all(len(pool.sets(type_)) == 10 for type_ in ("Person", "Number", "Date", "Place", "Other"))


def test_simpleqa_metadata_is_never_run(tmp_path: Path, write: Write) -> None:
    row = {**_simple(1)[0], "metadata": "__import__('os').system('touch /tmp/kft-was-run')"}
    with pytest.raises(DataError, match='"metadata" is not a dictionary'):
        open_set("simpleqa", write(tmp_path / "test.parquet", [row])).split("test")


def test_the_hub_is_asked_for_plain_files_only(tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, ...]] = []
    write(tmp_path / "test.tsv", _popqa(60))

    def fetch(repository: str, *, repo_type: str, revision: str | None, allow_patterns: list[str]) -> str:
        asked.append((repository, repo_type, revision, tuple(allow_patterns)))
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetch)
    assert _ids(open_set("popqa")).total() == 60
    assert asked == [("akariasai/PopQA", "dataset", None, ("*.tsv", "data/*.parquet"))]


@pytest.mark.parametrize("name", ["popqa", "triviaqa", "nq_open", "simpleqa", "wikiqa"])
def test_without_data_and_network_there_is_one_clear_error(name: str) -> None:
    with pytest.raises(UnavailableError, match=f"{name}: The data are not on this machine") as error:
        open_set(name)
    assert "no network in tests" in str(error.value)
    assert f"KFT_DATA_{name.upper()}=" in str(error.value)


REVISION = "0123456789abcdef0123456789abcdef01234567"
WIKIQA = {"question_id": "Q1", "question": "who is it", "document_title": "It", "answer": "It is she.", "label": 1}


@pytest.mark.parametrize(
    ("name", "file", "rows"),
    [
        ("popqa", "data/test-00000-of-00001.parquet", _popqa(90)),
        ("nq_open", "nq_open/train-00000-of-00001.parquet", _nq(90)),
        ("simpleqa", "data/test-00000-of-00001.parquet", _simple(90)),
        ("triviaqa", "rc.nocontext/train-00000-of-00001.parquet", _trivia(90)),
        ("wikiqa", "data/test-00000-of-00001.parquet", [WIKIQA]),
    ],
)
def test_the_revision_is_recorded_and_pinned_where_given(
    name: str, file: str, rows: list[dict[str, object]], tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = tmp_path / "hub" / "datasets--x" / "snapshots" / REVISION
    write(snapshot / file, rows)
    asked: list[object] = []

    def fetch(*args: object, revision: object, **kwargs: object) -> str:
        asked.append(revision)
        return str(snapshot)

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetch)
    assert open_set(name).version == "1.0@0123456789ab"
    assert open_set(name, options={"deduplicate": True}).version == "1.0@0123456789ab"
    assert open_set(name, options={"revision": REVISION}).version == "1.0@0123456789ab"
    assert asked == [None, None, REVISION]
    assert open_set(name, snapshot).version == "1.0"  # a copy is the user's own, wherever it lies
    with pytest.raises(UsageError, match=f"option revision is '{REVISION}', but the data come from .*{REVISION}"):
        open_set(name, snapshot, {"revision": REVISION})


def test_a_revision_without_the_files_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *args, **kwargs: str(tmp_path))
    with pytest.raises(UnavailableError, match="hub data set akariasai/PopQA: at revision abc has no"):
        open_set("popqa", options={"revision": "abc"})


def test_metadata_of_simpleqa_that_python_would_choke_on_are_refused(tmp_path: Path, write: Write) -> None:
    for metadata in ("{[]: 1}", "[" * 15_000, "{'answer_type': '" + "x" * 30_000 + "'}"):
        path = write(tmp_path / "test.csv", [{**_simple(1)[0], "metadata": metadata}])
        with pytest.raises(DataError, match='"metadata" is not a dictionary'):
            open_set("simpleqa", path).splits()


def test_answers_of_popqa_in_deep_brackets_are_refused(tmp_path: Path, write: Write) -> None:
    path = write(tmp_path / "test.jsonl", [{**_popqa(1)[0], "possible_answers": "[" * 100_000}])
    with pytest.raises(DataError, match='"possible_answers" is not a JSON list .brackets nested deeper'):
        open_set("popqa", path).splits()
