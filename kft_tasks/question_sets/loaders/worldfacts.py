"""`worldfacts`: the question set that ships with kft."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from kft_tasks.errors import DataError
from kft_tasks.question_sets.info import SetInfo
from kft_tasks.question_sets.splits.row_set import BaseQuestionSet
from kft_tasks.question_sets.storage.locate import locate
from kft_tasks.questions import SPLITS, Question, read_questions

PACKAGED = Path(__file__).parents[1] / "worldfacts" / "questions.jsonl"

INFO = SetInfo(
    name="worldfacts",
    title="worldfacts",
    description="Facts about countries, cities, U.S. states and chemical elements; shipped with kft, no download.",
    source="packaged: kft_tasks/question_sets/worldfacts/questions.jsonl",
    paper="",
    licence="CC BY 4.0 (GeoNames) and permissive licences, see kft_tasks/question_sets/worldfacts",
    types="the relation, such as the capital of a country",
    sizes={"train": 1411, "validation": 391, "test": 824, "exemplars": 863},
    digests={
        "train": "d903ef8de653b5a25a41f19ef044c8bc3f3744edcc47e20a29d7e31188815dc6",
        "validation": "45b2ad8ec9c30c28e13c2cdfe262502aeb7264d3c725e1c35311449fa12240b0",
        "test": "2bfe0b850362811e26f4f060d4660baf05e417f7183b9ad5de9aa3cb8c283201",
        "exemplars": "da293c80440c75569233925e0183a6f76ba34330c4cd0f83ff069144a2b71cd4",
    },
)


class WorldFacts(BaseQuestionSet):
    """A question file whose rows name their split."""

    def __init__(self, path: Path) -> None:
        super().__init__(INFO)
        self.path = path

    def splits(self) -> tuple[str, ...]:
        """Splits that the file's rows name.

        Raises:
            DataError: a broken file.
        """
        found = {question.split for question in read_questions(self.path, set_name=self.name)}
        return tuple(split for split in SPLITS if split in found)

    def split(self, name: str) -> Iterator[Question]:
        """Questions of one split, streamed.

        Raises:
            DataError: no such split, or a broken file.
        """
        self.check_split(name)
        return self._stream(name)

    def _stream(self, name: str) -> Iterator[Question]:
        count = 0
        for question in read_questions(self.path, set_name=self.name):
            if question.split == name:
                count += 1
                yield question
        if not count:
            raise DataError(f"{self.path}: has no questions of split {name!r}. Reinstall kft, or name another file.")
        self.report(name, count, Counter())


def open_worldfacts(path: str | Path | None, options: object = None) -> WorldFacts:
    """Open the packaged file, or another one in the same format."""
    place = locate(INFO, path, lambda: PACKAGED)
    return WorldFacts(place / "questions.jsonl" if place.is_dir() else place)
