"""`wikiqa`: Microsoft WikiQA (Yang et al., 2015): search-engine questions answered by Wikipedia sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kft_tasks.errors import DataError
from kft_tasks.question_sets.info import OptionInfo, SetInfo, check_options
from kft_tasks.question_sets.loaders.hub_sets import REVISION, version_of
from kft_tasks.question_sets.splits.row_set import BaseQuestionSet
from kft_tasks.question_sets.splits.splitting import FOUR_WAY, Divider, question_word
from kft_tasks.question_sets.storage.hub import cache_root, fetch_hub_files
from kft_tasks.question_sets.storage.locate import listing, locate, split_files
from kft_tasks.question_sets.storage.rows import need_columns, read_files, read_rows
from kft_tasks.questions import SPLITS, Question, content_id

HUB = "microsoft/wiki_qa"
PATTERNS = ("data/*.parquet",)
EXEMPLARS = (("exemplars", 0.15), ("train", 0.85))
_CORPUS = {"train": "WikiQA-train.tsv", "validation": "WikiQA-dev.tsv", "test": "WikiQA-test.tsv"}
_PHRASES = "WikiQASent.pos.ans*.tsv"
_PHRASE_COLUMNS = ("AnswerPhrase1", "AnswerPhrase2", "AnswerPhrase3")
_NO_PHRASE = "NO_ANS"  # what annotators wrote when they found no phrase in the sentence
_HUB_COLUMNS = ("question_id", "question", "document_title", "answer", "label")
_CORPUS_COLUMNS = ("QuestionID", "Question", "DocumentTitle", "Sentence")

INFO = SetInfo(
    name="wikiqa",
    title="Microsoft WikiQA",
    description="Questions that people typed into a search engine, with the Wikipedia sentences that answer them.",
    source=f"hub data set {HUB}; with the annotators' phrases: the WikiQA corpus from Microsoft",
    paper="Yang, Yih and Meek, 2015, WikiQA: A Challenge Dataset for Open-Domain Question Answering, D15-1237",
    licence="Microsoft Research Data License (research use)",
    types="the question word: who, when, where, how_many, how; all others count as what",
    published="3,047, of which 1,242 have an answer",
    options=(
        OptionInfo(
            "answers",
            "phrases: the annotators' answer phrases (corpus only); sentences: whole answering sentences; auto: "
            "phrases if there are any, else sentences.",
            "auto",
            "choice",
            ("auto", "phrases", "sentences"),
        ),
        REVISION,
    ),
)


@dataclass
class _Entry:
    """A question with the sentences that answer it; ``phrases`` counts what annotators marked in them."""

    text: str
    title: str
    sentences: list[str] = field(default_factory=list)
    phrases: Counter[str] = field(default_factory=Counter)


class WikiQA(BaseQuestionSet):
    """Questions with at least one answering sentence; the source's train is divided into exemplars and train.

    The whole corpus has 1,242 such questions, so it is held in memory.
    """

    def __init__(self, parts: Mapping[str, Mapping[str, _Entry]], place: Path, listed: str, answers: str) -> None:
        super().__init__(INFO)
        self._parts = parts
        self._place = place
        self._listed = listed
        self._answers = answers
        if self._only_sentences():
            self.scorer = "answer_in_sentence"

    def _only_sentences(self) -> bool:
        """Whether every accepted answer is a whole sentence, which no rule for short answers finds in an answer."""
        if self._answers == "auto":
            return not any(entry.phrases for part in self._parts.values() for entry in part.values())
        return self._answers == "sentences"

    def splits(self) -> tuple[str, ...]:
        """Splits for which there are files."""
        return tuple(split for split in SPLITS if self._part(split) in self._parts)

    def _part(self, split: str) -> str:
        """The source's split that a split is taken from; "" if the source names none."""
        return "" if "" in self._parts else "train" if split == "exemplars" else split

    def split(self, name: str) -> Iterator[Question]:
        """Questions of one split, in the order of the source.

        Raises:
            DataError: no such split, or its files are not in the folder.
        """
        self.check_split(name)
        part = self._part(name)
        if part not in self._parts:
            has = ", ".join(self.splits())
            raise DataError(
                f"{self._place}: has no data for split {name!r}. Its files ({self._listed}) give {has}. Add the corpus "
                f"file {_CORPUS.get(part, '')} or its phrases file, or use the hub's {HUB}."
            )
        return self._stream(name, part)

    def _stream(self, name: str, part: str) -> Iterator[Question]:
        dropped: Counter[str] = Counter()
        questions = self._questions(name, part, dropped)
        if part in ("", "train"):
            divider = Divider(FOUR_WAY if part == "" else EXEMPLARS)
            for question in questions:
                divider.add(_by_text(question))
            questions = [question for question in questions if divider.split_of(_by_text(question)) == name]
        yield from questions
        self.report(name, len(questions), dropped)

    def _questions(self, name: str, part: str, dropped: Counter[str]) -> list[Question]:
        """Questions of a source split, without texts already asked in it or asked in a later split."""
        later = {"": (), "train": ("validation", "test"), "validation": ("test",), "test": ()}[part]
        asked = {entry.text for split in later for entry in self._parts.get(split, {}).values()}
        questions = []
        for entry in self._parts[part].values():
            answers = self._answers_of(entry)
            if not answers:
                dropped["no annotator marked a phrase"] += 1
            elif entry.text in asked:
                dropped["the same text again, or in a later split"] += 1
            else:
                asked.add(entry.text)
                type_ = _type(entry.text)
                id_ = content_id(self.name, type_, entry.text)
                questions.append(Question(id_, entry.text, answers, type_, name, entry.title))
        return questions

    def _answers_of(self, entry: _Entry) -> tuple[str, ...]:
        """Canonical answer first: the phrase marked most often, then the shortest, then the first by alphabet."""
        times = entry.phrases
        phrases = tuple(sorted(times, key=lambda phrase: (-times[phrase], len(phrase), phrase)))
        if self._answers == "phrases" or (self._answers == "auto" and phrases):
            return phrases
        return tuple(dict.fromkeys(entry.sentences))


def _by_text(question: Question) -> Question:
    """Without the article: questions about one article may be in different splits, as in the source."""
    return Question(question.id, question.question, question.answers, question.type, question.split)


def _type(text: str) -> str:
    """Rare question words (which, why, none at all) count as "what": they would have too few exemplars."""
    word = question_word(text)
    return word if word in ("who", "when", "where", "how_many", "how") else "what"


def open_wikiqa(path: str | Path | None, options: Mapping[str, object] | None = None) -> WikiQA:
    """Open the original corpus or a copy of the hub's files; without either, fetch the latter."""
    checked = check_options(INFO, options)
    answers, revision = str(checked["answers"]), str(checked["revision"])
    fetched: list[Path] = []

    def fetch() -> Path:
        fetched.append(fetch_hub_files(HUB, PATTERNS, revision=revision))
        return fetched[0]

    place = locate(INFO, path, fetch)
    version = version_of(INFO, place, revision, from_hub=bool(fetched))
    if place.is_dir() and (any(place.glob(_PHRASES)) or any((place / name).exists() for name in _CORPUS.values())):
        parts, listed = _read_corpus(place)
    else:
        files = split_files(place, root=cache_root(fetched[0]) if fetched else None, prefer=PATTERNS)
        parts, listed = _read_hub_copy(files), listing(files)
    if not any(parts.values()):
        raise DataError(
            f"{place}: no WikiQA questions with an answer ({listed}). It should have WikiQA-train.tsv and the like, or "
            f"files of the hub's {HUB} with the columns {', '.join(_HUB_COLUMNS)}."
        )
    if answers == "phrases" and not any(entry.phrases for part in parts.values() for entry in part.values()):
        raise DataError(
            f"{place}: there are no answer phrases ({listed}). Add WikiQASent.pos.ans.train-dev.tsv of the corpus, or "
            "use answers: auto."
        )
    questions = WikiQA({part: entries for part, entries in parts.items() if entries}, place, listed, answers)
    questions.version = version
    return questions


def _read_hub_copy(files: Mapping[str, list[Path]]) -> dict[str, dict[str, _Entry]]:
    parts: dict[str, dict[str, _Entry]] = {}
    for part, paths in files.items():
        entries = parts.setdefault(part, {})
        for where, row in read_files(paths):
            need_columns(where, row, _HUB_COLUMNS, HUB)
            if _is_answer(where, row["label"]):
                _entry(entries, where, (row["question_id"], row["question"], row["document_title"], row["answer"]))
    return parts


def _read_corpus(folder: Path) -> tuple[dict[str, dict[str, _Entry]], str]:
    """Questions by split. If a split's own file is missing, its questions are still known from the phrases files.

    ``WikiQASent.pos.ans.train-dev.tsv`` has both train and dev: train is what is not in ``WikiQA-dev.tsv``.
    """
    listed = {split: folder / name for split, name in _CORPUS.items() if (folder / name).exists()}
    ids: dict[str, set[str]] = {}
    parts: dict[str, dict[str, _Entry]] = {}
    for split, path in listed.items():
        parts[split], ids[split] = _read_labelled(path)
    phrases = sorted(folder.glob(_PHRASES))
    for path in phrases:
        for where, row in read_rows(path, quoted=False):
            need_columns(where, row, (*_CORPUS_COLUMNS, *_PHRASE_COLUMNS), "the corpus' phrases file")
            split = next((split for split, known in ids.items() if row["QuestionID"] in known), "")
            if not split:
                split = _split_of_unlisted(path, listed)
            if split:
                entry = _entry(parts.setdefault(split, {}), where, [row[name] for name in _CORPUS_COLUMNS])
                marked = (row[name].strip() for name in _PHRASE_COLUMNS)
                entry.phrases.update(phrase for phrase in marked if phrase not in ("", _NO_PHRASE))
    return parts, listing({"": [*listed.values(), *phrases]})


def _split_of_unlisted(path: Path, listed: Iterable[str]) -> str:
    """The split of a question that is in no listed file; "" if it is unknown."""
    if ".test" in path.name:
        return "test"
    return "train" if "validation" in listed and "train" not in listed else ""


def _read_labelled(path: Path) -> tuple[dict[str, _Entry], set[str]]:
    entries: dict[str, _Entry] = {}
    ids = set()
    for where, row in read_rows(path, quoted=False):
        need_columns(where, row, (*_CORPUS_COLUMNS, "Label"), "the WikiQA corpus")
        ids.add(row["QuestionID"])
        if _is_answer(where, row["Label"]):
            _entry(entries, where, [row[name] for name in _CORPUS_COLUMNS])
    return entries, ids


def _entry(entries: dict[str, _Entry], where: str, cells: Iterable[Any]) -> _Entry:
    id_, text, title, sentence = (cell.strip() if isinstance(cell, str) else "" for cell in cells)
    if not id_ or not text or not sentence:
        raise DataError(f"{where}: question id, question or answering sentence is empty. Fix or remove the row.")
    entry = entries.setdefault(id_, _Entry(text, title))
    if sentence not in entry.sentences:
        entry.sentences.append(sentence)
    return entry


def _is_answer(where: str, label: object) -> bool:
    if str(label) in ("0", "1"):  # an integer in Parquet, text in TSV
        return str(label) == "1"
    raise DataError(f"{where}: label is {label!r}, not 0 or 1. Fix or remove the row.")
