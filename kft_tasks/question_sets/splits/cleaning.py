"""Options that every set takes: merge repeated questions, remove overlap between splits. All are off by default.

Splits yield in one direction only: train to all others, exemplars to validation and test, validation to test. The test
split never loses a question to another split, so that results stay comparable.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from kft_tasks.question_sets.info import OptionInfo, SetInfo, check_options, scorer_of
from kft_tasks.question_sets.splits.overlap import subject_key, text_key
from kft_tasks.question_sets.splits.row_set import BaseQuestionSet, log
from kft_tasks.questions import Question, QuestionSet

OPTIONS = (
    OptionInfo(
        "deduplicate",
        "Ask each text once per split, and accept the answers of all its copies.",
        False,
        "flag",
    ),
    OptionInfo(
        "remove_overlap",
        "Leave out of train what is also asked in exemplars, validation or test, out of exemplars what is asked in "
        "validation or test, and out of validation what is asked in test.",
        False,
        "flag",
    ),
    OptionInfo(
        "separate_subjects",
        "Likewise for questions about a subject of those splits, if the source names subjects.",
        False,
        "flag",
    ),
)
YIELDS_TO = {
    "train": ("exemplars", "validation", "test"),
    "exemplars": ("validation", "test"),
    "validation": ("test",),
    "test": (),
}


def with_shared_options(info: SetInfo) -> SetInfo:
    """The set's description with the options that all sets share added."""
    return replace(info, options=(*info.options, *OPTIONS))


def divide_options(info: SetInfo, options: Mapping[str, object] | None) -> tuple[dict[str, object], dict[str, Any]]:
    """The set's own options as given, and the shared ones, checked.

    Raises:
        UsageError: an unknown option, or an invalid value.
    """
    checked = check_options(with_shared_options(info), options)
    shared = {option.name: checked[option.name] for option in OPTIONS}
    return {name: value for name, value in (options or {}).items() if name not in shared}, shared


@dataclass
class _Group:
    """Questions of one split with the same text. The one with the smallest id stays, in whatever order they come."""

    first: Question
    answers: set[str]

    def add(self, question: Question) -> None:
        self.answers.update(question.answers)
        self.first = min(self.first, question, key=lambda one: one.id)

    def merged(self) -> tuple[str, ...]:
        """The answers of the question that stays, then all others in alphabetical order."""
        return (*self.first.answers, *sorted(self.answers.difference(self.first.answers)))


@dataclass
class _Seen:
    """Keys of one split: its texts, the repeated ones among them, and its subjects."""

    texts: set[int] = field(default_factory=set)
    repeated: set[int] = field(default_factory=set)
    subjects: set[int] = field(default_factory=set)

    def add(self, question: Question) -> None:
        key = text_key(question)
        (self.repeated if key in self.texts else self.texts).add(key)
        if (subject := subject_key(question)) is not None:
            self.subjects.add(subject)


class Cleaned(BaseQuestionSet):
    """A question set with repeats merged or overlap removed; what is left out is counted, and logged once per split.

    Only hashes and the texts of repeated questions are kept in memory.
    """

    def __init__(
        self,
        info: SetInfo,
        questions: QuestionSet,
        *,
        deduplicate: bool = False,
        remove_overlap: bool = False,
        separate_subjects: bool = False,
    ) -> None:
        super().__init__(info)
        self.version = questions.version
        self.scorer = scorer_of(questions)
        self._questions = questions
        self._deduplicate = deduplicate
        self._remove_overlap = remove_overlap
        self._separate_subjects = separate_subjects
        self._groups: dict[str, dict[int, _Group]] = {}
        self._seen: dict[str, _Seen] = {}
        self._logged: set[str] = set()

    def splits(self) -> tuple[str, ...]:
        """Splits of the underlying set.

        Raises:
            DataError: the data are damaged.
        """
        return self._questions.splits()

    def split(self, name: str) -> Iterator[Question]:
        """Questions of one split, streamed; the first time after the passes that the options need.

        Raises:
            DataError: no such split, or damaged data.
        """
        return self._stream(name, self._questions.split(name))

    def _stream(self, name: str, questions: Iterator[Question]) -> Iterator[Question]:
        groups = self._repeated(name) if self._deduplicate else {}
        removed: Counter[str] = Counter()
        kept = 0
        for question in self._without_overlap(name, questions, removed):
            key = text_key(question)
            if key in groups and question.id != groups[key].first.id:
                removed["merged into a question with the same text"] += 1
            else:
                kept += 1
                yield replace(question, answers=groups[key].merged()) if key in groups else question
        self._report_removed(name, kept, removed)

    def _without_overlap(self, name: str, questions: Iterator[Question], removed: Counter[str]) -> Iterator[Question]:
        wanted = self._remove_overlap or self._separate_subjects
        available = self.splits() if wanted else ()
        keepers = [self._keys(other) for other in YIELDS_TO[name] if other in available]
        others = " or ".join(", ".join(YIELDS_TO[name]).rsplit(", ", 1))
        for question in questions:
            text = text_key(question) if self._remove_overlap else None
            subject = subject_key(question) if self._separate_subjects else None
            if any(text in keeper.texts for keeper in keepers):
                removed[f"also asked in {others}"] += 1
            elif any(subject in keeper.subjects for keeper in keepers):
                removed[f"about a subject of {others}"] += 1
            else:
                yield question

    def _report_removed(self, name: str, kept: int, removed: Counter[str]) -> None:
        inner: Mapping[str, Counter[str]] = getattr(self._questions, "dropped", {})
        self.dropped[name] = inner.get(name, Counter()) + removed
        if name not in self._logged:  # streamed several times, logged once
            self._logged.add(name)
            total = kept + removed.total()
            for reason, count in sorted(removed.items()):
                log.warning(
                    "%s: %s of %s questions of %s left out: %s", self.name, f"{count:,}", f"{total:,}", name, reason
                )

    def _repeated(self, name: str) -> dict[int, _Group]:
        """Questions of a split that share a text, by its key."""
        if name not in self._groups:
            groups: dict[int, _Group] = {}
            repeated = self._keys(name).repeated
            again = self._questions.split(name) if repeated else iter(())
            for question in self._without_overlap(name, again, Counter()):
                key = text_key(question)
                if key in groups:
                    groups[key].add(question)
                elif key in repeated:
                    groups[key] = _Group(question, set(question.answers))
            self._groups[name] = groups
        return self._groups[name]

    def _keys(self, name: str) -> _Seen:
        if name not in self._seen:
            seen = _Seen()
            for question in self._questions.split(name):
                seen.add(question)
            if not any(name in others for others in YIELDS_TO.values()):
                seen.texts, seen.subjects = set(), set()  # no split is compared with this one
            self._seen[name] = seen
        return self._seen[name]
