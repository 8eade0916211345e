"""Question sets that many runs have in common: opened once, and read once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kft_cli.pipeline.pipeline import OpenSource
from kft_tasks.files import sha256_of_json
from kft_tasks.question_sets.registry import open_set
from kft_tasks.questions import Question, QuestionSet


class HeldSet:
    """A question set that keeps the splits that were read in memory."""

    def __init__(self, source: QuestionSet) -> None:
        self._source = source
        self._held: dict[str, list[Question]] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    @property
    def name(self) -> str:
        """Name of the set."""
        return self._source.name

    @property
    def version(self) -> str:
        """Version of the set."""
        return self._source.version

    def splits(self) -> tuple[str, ...]:
        """Splits of the set."""
        return self._source.splits()

    def split(self, name: str) -> Iterator[Question]:
        """Questions of one split."""
        if name not in self._held:
            self._held[name] = list(self._source.split(name))
        return iter(self._held[name])


def shared_sources() -> OpenSource:
    """What opens every question set once, as long as it is kept itself."""
    opened: dict[str, QuestionSet] = {}

    def open_source(name: str, path: str | None, options: Mapping[str, object]) -> QuestionSet:
        key = sha256_of_json([name, path, dict(options)])
        if key not in opened:
            opened[key] = HeldSet(open_set(name, path, options))
        return opened[key]

    return open_source
