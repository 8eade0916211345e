"""A question set made of rows in files, in two streaming passes: one plans the splits, one yields questions."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from kft_tasks.errors import DataError
from kft_tasks.question_sets.info import SetInfo
from kft_tasks.question_sets.splits.splitting import FOUR_WAY, Divider, Shares, disambiguated_id, key_of, numbered
from kft_tasks.question_sets.storage.rows import read_rows
from kft_tasks.questions import SPLITS, Question

log = logging.getLogger(__name__)

Parse = Callable[[str, Mapping[str, Any]], Question]
"""Turns ("file:line", row) into a question; its ``split`` stays "" if the row does not name one."""

HELD_OUT = 0.05


class BaseQuestionSet:
    """What every set has: name, version, and counts of the rows it left out.

    Attributes:
        dropped: for each split, the rows left out when it was last streamed, by reason.
        scorer: the scorer that fits the accepted answers; None for the general default.
    """

    scorer: str | None = None

    def __init__(self, info: SetInfo) -> None:
        self.info = info
        self.name = info.name
        self.version = info.version
        self.dropped: dict[str, Counter[str]] = {}

    def check_split(self, name: str, available: tuple[str, ...] | None = None) -> None:
        """Refuse a split that the set does not have.

        Raises:
            DataError: no such split.
        """
        splits = self.info.splits if available is None else available
        if name not in splits:
            raise DataError(f"{self.name}: there is no split {name!r}. It has {', '.join(splits) or 'none'}.")

    def report(self, split: str, kept: int, dropped: Counter[str]) -> None:
        """Store and log what was left out of a streamed split."""
        self.dropped[split] = dropped
        for reason, count in sorted(dropped.items()):
            log.info("%s: %s rows of split %s left out: %s", self.name, count, split, reason)
        log.debug("%s: %s questions in split %s", self.name, kept, split)


@dataclass(frozen=True)
class Source:
    """Files that belong together.

    Attributes:
        files: read in this order.
        split: of all their questions; "" if rows name their own or splits are made here.
    """

    files: tuple[Path, ...]
    split: str = ""


class RowSet(BaseQuestionSet):
    """Questions from rows.

    Rows that name a split (or belong to a source that does) stay in it. All others are divided by ``shares``. If
    nothing names exemplars, a share of the first of train, validation and test becomes exemplars.

    Args:
        info: the set.
        sources: its files.
        parse: turns a row into a question with a content id.
        shares: division of rows without a split, exemplars first.
        repeated: what to do with a repeated id: ``keep`` all and tell them apart by their answers, keep the ``first``,
            or raise an ``error``. With the first two, a row without a split whose text is also in a source with a
            split is left out, so that nothing under test is trained on.
        carve: whether exemplars may be taken from a named split.
    """

    def __init__(
        self,
        info: SetInfo,
        sources: tuple[Source, ...],
        parse: Parse,
        *,
        shares: Shares = FOUR_WAY,
        repeated: Literal["keep", "first", "error"] = "keep",
        carve: bool = True,
    ) -> None:
        super().__init__(info)
        self._sources = sources
        self._parse = parse
        self._shares = shares
        self._policy = repeated
        self._carve = carve
        self._copies: set[int] | None = None
        self._plan: _Plan | None = None

    def allow_copies(self) -> None:
        """Where a repeated id is an error, keep rows that repeat id and text: the caller merges them."""
        if self._policy == "error":
            self._policy, self._copies = "keep", set()

    def splits(self) -> tuple[str, ...]:
        """Splits that the rows name or are divided into.

        Raises:
            DataError: a broken row, a duplicate id, or no questions.
        """
        return self._planned().splits

    def split(self, name: str) -> Iterator[Question]:
        """Questions of one split, streamed.

        Raises:
            DataError: no such split, a broken row, a duplicate id, or no questions.
        """
        if name not in SPLITS:
            self.check_split(name, SPLITS)
        plan = self._planned()
        self.check_split(name, plan.splits)
        return self._stream(name, plan)

    def _planned(self) -> _Plan:
        if self._plan is None:
            self._plan = self._make_plan()
        return self._plan

    def rows(self) -> Iterator[tuple[Question, str, Mapping[str, Any]]]:
        """Every parsed row, its source's split and the raw row, before splits are made and repeats told apart."""
        for source in self._sources:
            for path in source.files:
                for where, row in read_rows(path):
                    yield self._parse(where, row), source.split, row

    def _make_plan(self) -> _Plan:
        plan = _Plan(self._shares)
        seen: set[int] = set()
        for question, split, _ in self.rows():
            key = key_of(question.id)
            copy = self._is_copy(question)
            if key in seen:
                if self._policy == "error" or not copy:
                    raise DataError(self._duplicate(question.id))
                plan.repeated.add(key)
            seen.add(key)
            plan.add(question, question.split or split, key, reserve=self._policy != "error")
        if not seen:
            places = ", ".join(str(path) for source in self._sources for path in source.files) or "no file"
            raise DataError(f"{self.name}: {places} holds no questions. Name a file with at least one row.")
        plan.finish(self._carve)
        self._copies = None if self._copies is None else set()
        return plan

    def _is_copy(self, question: Question) -> bool:
        """Whether copies are allowed anyway, or an earlier row had the same id and text."""
        if self._copies is None:
            return True
        key, before = key_of(f"{question.id}\n{question.question}"), len(self._copies)
        self._copies.add(key)
        return len(self._copies) == before

    def _duplicate(self, id_: str) -> str:
        places = []
        for source in self._sources:
            for path in source.files:
                places += [where for where, row in read_rows(path) if self._parse(where, row).id == id_]
        return (
            f"{places[1]}: id {id_!r} was already used in {places[0]} (the same id, or the same question and type). "
            "Remove the duplicate, or give it an id of its own; the option deduplicate=true merges copies of a text."
        )

    def _stream(self, name: str, plan: _Plan) -> Iterator[Question]:
        dropped: Counter[str] = Counter()
        copies: Counter[str] = Counter()
        count = 0
        for question, source_split, _ in self.rows():
            named = question.split or source_split
            if (plan.split_of(question, named)) != name:
                continue
            key = key_of(question.id)
            if not named and key in plan.reserved:
                dropped["the same text is in a split of the source"] += 1
                continue
            if key in plan.repeated:
                mark = disambiguated_id(f"{question.id}-{named}" if named else question.id, question.answers)
                question = question if self._policy == "first" else replace(question, id=mark)
                copies[question.id] += 1
                if copies[question.id] > 1 and self._policy == "first":
                    dropped["the same text again"] += 1
                    continue
            count += 1
            yield replace(question, id=numbered(question.id, copies[question.id]), split=name)
        self.report(name, count, dropped)


class _Plan:
    """What the first pass found."""

    def __init__(self, shares: Shares) -> None:
        self.repeated: set[int] = set()
        self.reserved: set[int] = set()
        self.splits: tuple[str, ...] = ()
        self._shares = shares
        self._dividers: dict[str, Divider] = {}
        self._named: Counter[str] = Counter()
        self._carved = ""

    def add(self, question: Question, named: str, key: int, *, reserve: bool) -> None:
        self._named[named] += 1
        if named not in self._dividers:
            carved = (("exemplars", HELD_OUT), (named, 1 - HELD_OUT))
            self._dividers[named] = Divider(carved if named else self._shares)
        self._dividers[named].add(question)
        if reserve and named:
            self.reserved.add(key)

    def finish(self, carve: bool) -> None:
        shares = self._shares
        if self._named["exemplars"] and shares[0][0] == "exemplars":  # exemplars exist: divide among the other splits
            rest = 1 - shares[0][1]
            shares = tuple((split, share / rest) for split, share in shares[1:])
            self._dividers[""] = Divider(shares)
        made = {split for split, _ in shares} if self._named[""] else set()
        found = made | {named for named in self._named if named}
        if carve and "exemplars" not in found:
            self._carved = next((split for split in SPLITS if split in found), "")
            found.add("exemplars")
        self.splits = tuple(split for split in SPLITS if split in found)
        for divider in self._dividers.values():
            divider.freeze()

    def split_of(self, question: Question, named: str) -> str:
        if named and named != self._carved:
            return named
        return self._dividers[named].split_of(question)
