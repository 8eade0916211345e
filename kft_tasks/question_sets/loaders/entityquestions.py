"""`entityquestions`: EntityQuestions (Sciavolino et al., 2021), the data of SliCK and of Gradual Learning."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kft_tasks.errors import DataError, UsageError
from kft_tasks.progress import ProgressCallback, no_progress
from kft_tasks.question_sets.info import OptionInfo, SetInfo, check_options
from kft_tasks.question_sets.loaders.entityquestions_source import FILE, fetch
from kft_tasks.question_sets.splits.row_set import BaseQuestionSet, log
from kft_tasks.question_sets.splits.splitting import disambiguated_id, in_share, numbered
from kft_tasks.question_sets.storage.locate import locate
from kft_tasks.question_sets.storage.rows import answers_of, need_columns, read_rows, text_of
from kft_tasks.questions import Question, content_id

TEMPLATES = {
    "P17": "Which country is [X] located in?",
    "P19": "Where was [X] born?",
    "P20": "Where did [X] die?",
    "P26": "Who is [X] married to?",
    "P36": "What is the capital of [X]?",
    "P40": "Who is [X]'s child?",
    "P50": "Who is the author of [X]?",
    "P69": "Where was [X] educated?",
    "P106": "What kind of work does [X] do?",
    "P112": "Who founded [X]?",
    "P127": "Who owns [X]?",
    "P131": "Where is [X] located?",
    "P136": "What type of music does [X] play?",
    "P159": "Where is the headquarter of [X]?",
    "P170": "Who was [X] created by?",
    "P175": "Who performed [X]?",
    "P176": "Which company is [X] produced by?",
    "P264": "What music label is [X] represented by?",
    "P276": "Where is [X] located?",
    "P407": "Which language was [X] written in?",
    "P413": "What position does [X] play?",
    "P495": "Which country was [X] created in?",
    "P740": "Where was [X] founded?",
    "P800": "What is [X] famous for?",
}
RELATIONS = tuple(TEMPLATES)
# Gekhman et al. 2024: relations for training and testing, and those kept for the out-of-distribution test
SLICK_IN = ("P17", "P19", "P26", "P36", "P40", "P69", "P131", "P136", "P264", "P495", "P740", "P800")
SLICK_OUT = ("P50", "P112", "P127", "P170", "P175", "P176", "P407")
VARIANTS = {"all": RELATIONS, "slick_in": SLICK_IN, "slick_out": SLICK_OUT}
EXEMPLARS_SHARE = 0.2
_PARTS = {"train": "train", "test": "test", "validation": "dev", "exemplars": "dev"}

INFO = SetInfo(
    name="entityquestions",
    title="EntityQuestions",
    description="Questions about entities of 24 Wikidata relations, one template each; what SliCK and Gradual "
    "Learning fine-tune on (the latter under the name WikiQA).",
    source="https://nlp.cs.princeton.edu/projects/entity-questions/dataset.zip",
    paper="Sciavolino et al., 2021, Simple Entity-Centric Questions Challenge Dense Retrievers, arXiv 2109.08535",
    licence="MIT",
    types="the Wikidata relation, such as P17",
    sizes={"train": 169_164, "validation": None, "test": 21_206, "exemplars": None},
    digests={"train": "9e9cd327b35b85c34d2716cbce73c048111b6ddb2b8143880f011ccf4b8bf3c5"},
    options=(
        OptionInfo("relation", "Only these relations, such as P17 or P17,P36.", None, "names", RELATIONS),
        OptionInfo(
            "variant",
            "all: 24 relations; slick_in: the 12 that SliCK trains and tests on; slick_out: the 7 it only tests on.",
            "all",
            "choice",
            tuple(VARIANTS),
        ),
        OptionInfo("single_answer", "Only questions with exactly one answer, as SliCK does.", True, "flag"),
    ),
)


@dataclass(frozen=True)
class _Entry:
    """One row of a relation file; ``repeated`` if its text occurs more than once in the file."""

    text: str
    answers: tuple[str, ...]
    single: bool
    repeated: bool


class EntityQuestions(BaseQuestionSet):
    """The relation files of one folder, one in memory at a time.

    Source splits: train is train, test is test. Of dev, about a fifth (by a hash of the subject) is ``exemplars`` and
    the rest ``validation``; SliCK also draws its exemplars from dev. A dev question whose text is also in train or
    test is never an exemplar, so that no prompt shows a question under test.
    """

    def __init__(self, folder: Path, options: Mapping[str, Any]) -> None:
        super().__init__(INFO)
        self._options = options
        self._folder = folder
        self._files = _relation_files(folder)
        chosen = options["relation"]
        self.relations = tuple(r for r in VARIANTS[options["variant"]] if not chosen or r in chosen)
        if not self.relations:
            raise UsageError(
                f"{self.name}: none of {', '.join(chosen)} is in variant {options['variant']}. Drop one of the two."
            )

    def splits(self) -> tuple[str, ...]:
        """Splits for which the folder has files of the chosen relations."""
        parts = {part for part, relation in self._files if relation in self.relations}
        return tuple(split for split in self.info.splits if _PARTS[split] in parts)

    def split(self, name: str) -> Iterator[Question]:
        """Questions of one split, relation by relation in the order of :data:`RELATIONS`.

        Raises:
            DataError: no such split here, no file for a chosen relation, or a broken file.
        """
        self.check_split(name)
        part = _PARTS[name]
        present = tuple(r for r in self.relations if (part, r) in self._files)
        missing = tuple(r for r in self.relations if r not in present)
        if not present or (missing and self._options["relation"]):
            known = [r for r in RELATIONS if (part, r) in self._files]
            raise DataError(
                f"{self._folder}: no {part} file of {', '.join(missing)}. Its {part} files are of "
                f"{', '.join(known) or 'no relation'}. Complete the folder, or choose among these."
            )
        if missing:
            log.warning("%s: %s has no %s file of %s", self.name, self._folder, part, ", ".join(missing))
        return self._stream(name, part, present)

    def _stream(self, name: str, part: str, relations: Sequence[str]) -> Iterator[Question]:
        dropped: Counter[str] = Counter()
        count = 0
        for relation in relations:
            for question in self._of_relation(name, part, relation, dropped):
                count += 1
                yield question
        self.report(name, count, dropped)

    def _of_relation(self, name: str, part: str, relation: str, dropped: Counter[str]) -> Iterator[Question]:
        entries = self._entries(part, relation)
        if self._options["single_answer"]:
            dropped["more than one answer"] += sum(1 for entry in entries if not entry.single)
            entries = [entry for entry in entries if entry.single]
        barred = self._texts(("train", "test"), relation) if part == "dev" else frozenset()
        copies: Counter[str] = Counter()
        for entry in entries:
            subject = _subject(relation, entry.text)
            if part == "dev":
                exemplar = entry.text not in barred and in_share(subject or entry.text, EXEMPLARS_SHARE)
                if exemplar != (name == "exemplars"):
                    continue
            id_ = self._id(part, relation, entry)
            copies[id_] += 1
            yield Question(numbered(id_, copies[id_]), entry.text, entry.answers, relation, name, subject)

    def _id(self, part: str, relation: str, entry: _Entry) -> str:
        """Relation and text; for dev and test also the source's split, because a text may occur in several."""
        base = content_id(self.name, relation, entry.text)
        base = base if part == "train" else f"{base}-{part}"
        return disambiguated_id(base, entry.answers) if entry.repeated else base

    def _texts(self, parts: Sequence[str], relation: str) -> frozenset[str]:
        present = [part for part in parts if (part, relation) in self._files]
        return frozenset(entry.text for part in present for entry in self._entries(part, relation))

    def _entries(self, part: str, relation: str) -> list[_Entry]:
        rows = []
        for where, row in read_rows(self._files[part, relation]):
            need_columns(where, row, ("question", "answers"), INFO.title)
            rows.append((text_of(where, row, "question"), answers_of(where, row["answers"], "answers"), row["answers"]))
        if not rows:
            raise DataError(f"{self._files[part, relation]}: holds no questions. Fetch the file again.")
        times = Counter(text for text, _, _ in rows)
        # "single" counts the answers as the source has them: that gives the published 169,164
        return [_Entry(text, answers, len(raw) == 1, times[text] > 1) for text, answers, raw in rows]


def _subject(relation: str, text: str) -> str:
    before, after = TEMPLATES[relation].split("[X]")
    if text.startswith(before) and text.endswith(after):
        return text[len(before) : len(text) - len(after)].strip()
    return ""


def _relation_files(folder: Path) -> dict[tuple[str, str], Path]:
    inner = folder / "dataset"
    root = inner if inner.is_dir() else folder
    found = {}
    for part in ("train", "dev", "test"):
        for path in sorted((root / part).glob("P*.json")):
            match = FILE.match(path.name)
            if match and match.group(2) == part and match.group(1) in TEMPLATES:
                found[part, match.group(1)] = path
    if not found:
        raise DataError(
            f"{folder}: no EntityQuestions files. It should have the folders train, dev and test with files such as "
            "train/P17.train.json (the content of dataset.zip)."
        )
    return found


def open_entityquestions(
    path: str | Path | None,
    options: Mapping[str, object] | None = None,
    progress: ProgressCallback = no_progress,
) -> EntityQuestions:
    """Open a local folder, or the cached content of the published zip, which is downloaded once."""
    checked = check_options(INFO, options)
    return EntityQuestions(locate(INFO, path, lambda: fetch(progress)), checked)
