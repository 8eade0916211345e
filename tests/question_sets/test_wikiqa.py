from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from kft_tasks.errors import DataError, UnavailableError, UsageError
from kft_tasks.protocol.exemplars import ExemplarPool
from kft_tasks.protocol.protocol import Protocol
from kft_tasks.question_sets.info import scorer_of
from kft_tasks.question_sets.registry import open_set

Write = Callable[..., Path]
LABELLED = "QuestionID\tQuestion\tDocumentID\tDocumentTitle\tSentenceID\tSentence\tLabel\n"
PHRASES = LABELLED.replace("Label", "AnswerPhrase1\tAnswerPhrase2\tAnswerPhrase3")


def _hub_rows(count: int, start: int = 0) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for n in range(start, start + count):
        same = {"question_id": f"Q{n}", "question": f"who wrote book {n}?", "document_title": f"Book {n}"}
        rows += [
            {**same, "answer": "It is a book .", "label": 0},
            {**same, "answer": f'Author {n} wrote "it" .', "label": 1 if n % 2 == 0 else 0},
        ]
    return rows


def test_real_corpus_counts(shared: Callable[[str], Path]) -> None:
    questions = open_set("wikiqa", shared("wikiqa"))
    counts = {split: Counter(q.type for q in questions.split(split)) for split in ("train", "validation", "exemplars")}
    assert {split: count.total() for split, count in counts.items()} == {
        "train": 742,
        "validation": 126,
        "exemplars": 131,
    }
    assert set(counts["train"]) == {"who", "when", "where", "what", "how_many", "how"}
    ids = [q.id for split in counts for q in questions.split(split)]
    assert len(set(ids)) == len(ids)


def test_real_corpus_has_exemplars_for_every_type_under_test(shared: Callable[[str], Path]) -> None:
    questions = open_set("wikiqa", shared("wikiqa"))
    pool = ExemplarPool(questions.split("exemplars"), Protocol())
    for type_ in {q.type for split in ("train", "validation") for q in questions.split(split)}:
        assert len(pool.sets(type_)) == 10


def test_real_corpus_without_test_files_says_what_is_there(shared: Callable[[str], Path]) -> None:
    with pytest.raises(DataError, match=r"no data for split 'test'.*WikiQA-dev.tsv, WikiQASent.*WikiQA-test.tsv"):
        open_set("wikiqa", shared("wikiqa")).split("test")


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    folder.mkdir()
    dev = [
        ("Q1", "where is x", "D1", "X", "D1-0", 'X is in "Y" .', "1"),
        ("Q2", "how big is z", "D2", "Z", "D2-0", "No .", "0"),
    ]
    (folder / "WikiQA-dev.tsv").write_text(LABELLED + "".join("\t".join(row) + "\n" for row in dev))
    phrases = [
        ("Q1", "where is x", "D1", "X", "D1-0", 'X is in "Y" .', "Y", "in Y", "Y"),
        ("Q3", "Which is it", "D3", "T", "D3-0", "It is long , it is .", "it is long", "", "NO_ANS"),
        ("Q3", "Which is it", "D3", "T", "D3-4", "It is .", "", "it is", ""),
        ("Q4", "how much is w", "D4", "W", "D4-0", "Nobody knows .", "", "", "NO_ANS"),
    ]
    (folder / "WikiQASent.pos.ans.train-dev.tsv").write_text(PHRASES + "".join("\t".join(r) + "\n" for r in phrases))
    return folder


def _all(folder: Path, **options: object) -> dict[str, tuple[str, tuple[str, ...], str]]:
    questions = open_set("wikiqa", folder, options)
    found = {}
    for split in ("train", "validation", "exemplars"):
        for q in questions.split(split):
            found[q.question] = ("train" if split == "exemplars" else split, q.answers, q.type)
    return found


def test_most_common_then_shortest_phrase_is_canonical(corpus: Path) -> None:
    assert _all(corpus) == {
        "where is x": ("validation", ("Y", "in Y"), "where"),
        "Which is it": ("train", ("it is", "it is long"), "what"),
        "how much is w": ("train", ("Nobody knows .",), "how_many"),
    }


def test_phrases_only_counts_what_it_leaves_out(corpus: Path) -> None:
    questions = open_set("wikiqa", corpus, {"answers": "phrases"})
    assert {q.question for split in ("train", "exemplars") for q in questions.split(split)} == {"Which is it"}
    assert questions.dropped["train"] == {"no annotator marked a phrase": 1}  # type: ignore[attr-defined]


def test_sentences_on_demand(corpus: Path) -> None:
    found = _all(corpus, answers="sentences")
    assert found["where is x"][1] == ('X is in "Y" .',)
    assert found["Which is it"][1] == ("It is long , it is .", "It is .")


def test_unknown_answers_option_is_refused(corpus: Path) -> None:
    with pytest.raises(UsageError, match="Did you mean 'phrases'"):
        open_set("wikiqa", corpus, {"answers": "phrase"})


def test_corpus_with_all_files(corpus: Path) -> None:
    (corpus / "WikiQA-train.tsv").write_text(LABELLED + "Q3\tWhich is it\tD3\tT\tD3-0\tIt is long , it is .\t1\n")
    (corpus / "WikiQA-test.tsv").write_text(LABELLED + "Q9\twho is q\tD9\tQ\tD9-0\tQ is R .\t1\n")
    questions = open_set("wikiqa", corpus)
    assert [q.answers for q in questions.split("test")] == [("Q is R .",)]
    assert {q.question for split in ("train", "exemplars") for q in questions.split(split)} == {"Which is it"}


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl", ".csv", ".tsv"])
def test_copies_of_the_hub_in_every_format(tmp_path: Path, write: Write, suffix: str) -> None:
    for name, start in (("train", 0), ("validation", 100), ("test", 200)):
        write(tmp_path / "data" / f"{name}-00000-of-00001{suffix}", _hub_rows(100, start))
    questions = open_set("wikiqa", tmp_path)
    counts = {split: sum(1 for _ in questions.split(split)) for split in ("train", "validation", "test", "exemplars")}
    assert counts["train"] + counts["exemplars"] == counts["validation"] == counts["test"] == 50
    assert counts["exemplars"] >= 6
    (first, *_) = questions.split("test")
    assert first.answers == ('Author 200 wrote "it" .',)
    assert first.subject == "Book 200"
    assert first.type == "who"


def test_one_file_is_divided(tmp_path: Path, write: Write) -> None:
    path = write(tmp_path / "wiki.parquet", _hub_rows(200))
    questions = open_set("wikiqa", path)
    splits = [{q.id for q in questions.split(split)} for split in ("train", "validation", "test", "exemplars")]
    assert all(splits)
    assert len(set.union(*splits)) == sum(map(len, splits)) == 100


def test_the_hub_cache_is_read_and_guarded(tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "hub" / "datasets--microsoft--wiki_qa"
    blob = write(root / "blobs" / "aa.parquet", _hub_rows(60)).rename(root / "blobs" / "aa")
    snapshot = root / "snapshots" / "123"
    (snapshot / "data").mkdir(parents=True)
    link = snapshot / "data" / "train-00000-of-00001.parquet"
    link.symlink_to(blob)
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *args, **kwargs: str(snapshot))
    assert sum(1 for _ in open_set("wikiqa").split("train")) > 0
    link.unlink()
    link.symlink_to(write(tmp_path / "elsewhere.parquet", _hub_rows(60)))
    with pytest.raises(DataError, match="link that leads out of"):
        open_set("wikiqa")


def test_hub_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnavailableError, match=r"hub data set microsoft/wiki_qa: no network in tests"):
        open_set("wikiqa")


def test_hub_without_the_files_is_asked_for_its_conversion(
    tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty, converted = tmp_path / "snapshots" / "1", tmp_path / "snapshots" / "2"
    empty.mkdir(parents=True)
    write(converted / "default" / "train" / "0000.parquet", _hub_rows(60))
    folders = {None: empty, "refs/convert/parquet": converted}
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *args, revision, **kwargs: str(folders[revision]))
    assert sum(1 for _ in open_set("wikiqa").split("train")) > 0
    folders["refs/convert/parquet"] = empty
    with pytest.raises(UnavailableError, match=r"no longer has data/\*.parquet"):
        open_set("wikiqa")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda row: row.pop("document_title"), "no column document_title"),
        (lambda row: row.update(label=2), "label is 2, not 0 or 1"),
        (lambda row: row.update(label=1, answer=" "), "answering sentence is empty"),
    ],
)
def test_changed_schema_and_broken_rows(
    tmp_path: Path, write: Write, change: Callable[[dict[str, object]], object], message: str
) -> None:
    rows = _hub_rows(3)
    for row in rows:
        change(row)
    write(tmp_path / "train.parquet", rows)
    with pytest.raises(DataError, match=message) as error:
        open_set("wikiqa", tmp_path)
    assert "train.parquet:row 1" in str(error.value)


def test_a_folder_without_answers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no WikiQA questions with an answer \(nothing\)"):
        open_set("wikiqa", tmp_path)


def test_phrases_without_the_corpus_are_refused(tmp_path: Path, write: Write) -> None:
    write(tmp_path / "train.parquet", _hub_rows(3))
    with pytest.raises(DataError, match="there are no answer phrases"):
        open_set("wikiqa", tmp_path, {"answers": "phrases"})


def test_a_set_of_sentences_names_the_scorer_for_sentences(corpus: Path, write: Write, tmp_path: Path) -> None:
    hub = tmp_path / "hub"
    write(hub / "data" / "train-00000-of-00001.parquet", _hub_rows(40))
    assert scorer_of(open_set("wikiqa", hub)) == "answer_in_sentence"
    assert scorer_of(open_set("wikiqa", hub, {"deduplicate": True})) == "answer_in_sentence"
    assert scorer_of(open_set("wikiqa", corpus, {"answers": "sentences"})) == "answer_in_sentence"
    # phrases, also where some questions have none
    assert scorer_of(open_set("wikiqa", corpus)) is None
    assert scorer_of(open_set("wikiqa", corpus, {"answers": "phrases"})) is None
    assert scorer_of(open_set("worldfacts")) is None
    assert scorer_of(object()) is None
