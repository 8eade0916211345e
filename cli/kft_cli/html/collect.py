"""Questions of a page as they are collected: every different answer once, with the reason for its verdict."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from kft_cli.html.record import (
    FORMAT,
    AskingRecord,
    GivenAnswer,
    MoveRecord,
    PageData,
    PairRecord,
    QuestionRecord,
    SortedRecord,
    ViewRecord,
)
from kft_cli.stats.intervals import wilson_share
from kft_tasks.categories.category import KnowledgeCategory
from kft_tasks.categories.category_file import CategorizedQuestion
from kft_tasks.evaluation.evaluate import TestQuestion
from kft_tasks.hashing import keyed_digest
from kft_tasks.questions import Question
from kft_tasks.scoring.explanation import Explanation, explain
from kft_tasks.scoring.scorers import SCORERS
from kft_tasks.visible_text import visible

MAX_QUESTIONS = 20_000
"""Of a set with more, a page holds this many, drawn by a hash of their ids."""
MAX_CHARACTERS = 2_000
"""Of one text; the rest is counted."""

_CATEGORIES = list(KnowledgeCategory)
Key = tuple[str, str]
"""Split ("train" or "test") and id."""


def drawn(keys: Iterable[Key], most: int = MAX_QUESTIONS) -> list[Key]:
    """The questions that a page shows, in their order: all, or ``most`` of them by a hash of the ids."""
    every = list(dict.fromkeys(keys))
    if len(every) <= most:
        return every
    chosen = set(sorted(every, key=lambda key: keyed_digest("page", *key, size=64))[:most])
    return [key for key in every if key in chosen]


@dataclass
class _Shown:
    """A question while it is collected.

    Attributes:
        answers: number of each different answer under each rule for right.
    """

    split: str
    id: str
    type: int
    question: str
    accepted: tuple[str, ...]
    answers: dict[tuple[str, str], int] = field(default_factory=dict)
    given: list[GivenAnswer] = field(default_factory=list)
    sorted: dict[int, SortedRecord] = field(default_factory=dict)
    tested: dict[int, list[int]] = field(default_factory=dict)
    trained: list[int] = field(default_factory=list)


class Collection:
    """The questions of a page while they are read. Views and test views are numbered as they are added.

    Args:
        keys: the questions that are wanted.
    """

    def __init__(self, keys: Iterable[Key]) -> None:
        every = list(dict.fromkeys(keys))
        self.of = len(every)
        self.wanted = set(drawn(every))
        self.views: list[ViewRecord] = []
        self.tests: list[AskingRecord] = []
        self._shown: dict[Key, _Shown] = {}
        self._types: dict[str, int] = {}
        self._rules: dict[str, int] = {}
        self._rates: set[tuple[int, int]] = set()

    def add_view(self, view: ViewRecord, items: Iterable[tuple[CategorizedQuestion, float | None]], split: str) -> None:
        """Add questions with their categories, and the chance that each would get another one."""
        number = len(self.views)
        self.views.append(view)
        for item, chance in items:
            if (split, item.question.id) not in self.wanted:
                continue
            shown = self._question(split, item.question)
            shown.sorted[number] = self._sorted(shown, view, item, chance)

    def add_test(self, view: AskingRecord, items: Iterable[TestQuestion]) -> None:
        """Add the answers to test questions, asked in one way."""
        number = len(self.tests)
        self.tests.append(view)
        for item in items:
            if ("test", item.id) not in self.wanted:
                continue
            shown = self._question("test", item)
            shown.tested[number] = [
                self._answer(shown, view.scorer, text, right)
                for text, right in zip(item.given, item.right, strict=True)
            ]

    def add_trained(self, stage: int, ids: Iterable[str]) -> None:
        """Add that a stage trained on questions."""
        for id_ in ids:
            if shown := self._shown.get(("train", id_)):
                shown.trained.append(stage)

    def data(
        self,
        name: str,
        stages: Sequence[str] = (),
        moves: Sequence[MoveRecord] = (),
        pairs: Sequence[PairRecord] = (),
    ) -> PageData:
        """Everything that was added, as a record."""
        return PageData(
            format=FORMAT,
            name=_text(name),
            views=self.views,
            tests=self.tests,
            moves=list(moves),
            pairs=list(pairs),
            stages=[_text(stage) for stage in stages],
            types=[_text(name) for name in self._types],
            rules=[_text(rule) for rule in self._rules],
            intervals={f"{right}/{asked}": _interval(right, asked) for right, asked in sorted(self._rates)},
            of=self.of,
            questions=[self._record(shown) for shown in self._shown.values()],
        )

    def _record(self, shown: _Shown) -> QuestionRecord:
        return QuestionRecord(
            id=_text(shown.id),
            split="train" if shown.split == "train" else "test",
            type=shown.type,
            question=_text(shown.question),
            accepted=[_text(answer) for answer in shown.accepted],
            answers=shown.given,
            sorted=[shown.sorted.get(number) for number in range(len(self.views))],
            tested=[shown.tested.get(number) for number in range(len(self.tests))],
            trained=shown.trained,
        )

    def _question(self, split: str, item: Question | TestQuestion) -> _Shown:
        key = (split, item.id)
        if key not in self._shown:
            type_ = self._types.setdefault(item.type, len(self._types))
            self._shown[key] = _Shown(split, item.id, type_, item.question, tuple(item.answers))
        return self._shown[key]

    def _sorted(self, shown: _Shown, view: ViewRecord, item: CategorizedQuestion, chance: float | None) -> SortedRecord:
        why = item.why or {}

        def number_of(text: str) -> int:
            return self._answer(shown, view.scorer, text, None, why.get(text))

        counts: dict[int, int] = {}
        for samples in item.sampled_answers:
            for text in samples or ():
                number = number_of(text)
                counts[number] = counts.get(number, 0) + 1
        greedy, sampled = item.greedy, item.sampled
        self._rates |= {(tally.right, tally.asked) for tally in (greedy, sampled) if tally.asked}
        return SortedRecord(
            c=_CATEGORIES.index(item.category),
            g=[-1 if text is None else number_of(text) for text in item.greedy_answers],
            s=sorted(counts.items(), key=lambda one: (-one[1], one[0])),
            p=(greedy.right, greedy.asked, sampled.right, sampled.asked),
            r=None if chance is None else round(min(1.0, chance), 4),
        )

    def _answer(self, shown: _Shown, scorer: str, text: str, right: bool | None, why: Explanation | None = None) -> int:
        """The number of an answer among those of its question; a new one is explained."""
        key = (scorer, text)
        if key not in shown.answers:
            if why is None and scorer in SCORERS:
                why = explain(scorer, text, shown.accepted, shown.question)
            shown.answers[key] = len(shown.given)
            shown.given.append(self._given(text, right, why))
        return shown.answers[key]

    def _given(self, text: str, right: bool | None, why: Explanation | None) -> GivenAnswer:
        if why is None or (right is not None and why.verdict != right):  # scored by another version, or by a model
            return GivenAnswer(text=_text(text), ok=right, rule=None)
        words = _text(why.words)
        rule = self._rules.setdefault(why.rule, len(self._rules))
        return GivenAnswer(text=_text(text), ok=why.verdict, rule=rule, words=words)


def _interval(right: int, asked: int) -> tuple[float, float]:
    found = wilson_share(right, asked)
    return round(found.low or 0.0, 4), round(1.0 if found.high is None else found.high, 4)


def _text(text: str) -> str:
    return visible(text, MAX_CHARACTERS)
