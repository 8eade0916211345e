"""The contract between detection and whatever answers: the engine, lm-eval's models, servers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from kft_tasks.engine.token_count import TokenCount
from kft_tasks.protocol.prompt_maker import PromptRequest

_GREEDY_BATCH = 128  # requests that greedy_answers opens together


class GreedyAnswers(Protocol):
    """Requests that were opened together; ``which`` holds positions in that list."""

    def greedy(self, which: Sequence[int]) -> list[str]:
        """Greedy answers to the requests ``which``, in that order."""
        ...


class Answers(GreedyAnswers, Protocol):
    """Requests that can also be sampled."""

    def sample(self, which: Sequence[int]) -> list[tuple[str, ...]]:
        """All sampled answers to the requests ``which``, in that order."""
        ...

    def keep(self, which: Sequence[int]) -> None:
        """Free all requests but ``which``; the others will not be used again."""
        ...


class GreedyAnswerer(Protocol):
    """A model that gives greedy answers."""

    def open(self, requests: Sequence[PromptRequest]) -> GreedyAnswers:
        """Prepare requests to be answered together."""
        ...


class Answerer(Protocol):
    """A model that gives greedy and sampled answers.

    Four attributes are optional. ``resumes_mid_chunk``: an answer does not depend on what else is requested, so that
    an interrupted chunk can resume in the middle. ``max_batch``: largest number of requests per call, and thus between
    two writes to the journal. ``memory``: bytes of keys and values, ``budget`` and ``peak``.
    ``cpu_seconds()``: CPU-seconds so far, where other processes than this one compute.
    """

    def open(self, requests: Sequence[PromptRequest]) -> Answers:
        """Prepare requests to be answered together."""
        ...

    @property
    def tokens(self) -> TokenCount:
        """Tokens computed so far."""
        ...


def greedy_answers(requests: Sequence[PromptRequest], answerer: GreedyAnswerer) -> Iterator[tuple[int, str]]:
    """Yield (position of a request, greedy answer); requests of a group are answered together."""
    ordered = sorted(range(len(requests)), key=lambda index: (requests[index].group, index))
    for start in range(0, len(ordered), _GREEDY_BATCH):
        part = ordered[start : start + _GREEDY_BATCH]
        opened = answerer.open([requests[index] for index in part])
        yield from zip(part, opened.greedy(range(len(part))), strict=True)
