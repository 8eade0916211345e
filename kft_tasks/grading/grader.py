"""A model that grades answers: which one it is, and asking it what it was not asked before."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kft_tasks.answering.answerer import Answerer, greedy_answers
from kft_tasks.files import cache_folder, sha256_of_json
from kft_tasks.grading.prompt import PROTOCOL, GradedPair, GraderPrompt
from kft_tasks.grading.reply_cache import ReplyCache
from kft_tasks.grading.verdict import Verdict, read_verdict
from kft_tasks.protocol.identity import ModelIdentity
from kft_tasks.protocol.prompt_maker import PromptRequest
from kft_tasks.protocol.render import ChatRenderer

REPLIES_FORMAT = "kft-replies/1"
_BATCH = 128  # answers that are asked for together, and at most lost with a kill


@dataclass(frozen=True)
class GraderIdentity:
    """Which model grades, by which prompt.

    Attributes:
        chat: whether the prompt goes through the model's chat template, as one message of the user.
    """

    model: ModelIdentity
    prompt_version: str
    prompt_digest: str
    chat: bool = False

    def cache_header(self) -> dict[str, Any]:
        """What its replies depend on; the name by which the user called the model is not part of it."""
        model = dataclasses.asdict(self.model)
        del model["id"]
        return {
            "format": REPLIES_FORMAT,
            "model": model,
            "prompt": {"version": self.prompt_version, "digest": self.prompt_digest},
            "chat": self.chat,
            "max_tokens": PROTOCOL.max_tokens,
        }

    def file(self, suffix: str) -> Path:
        """A file of this grader in the cache folder."""
        return cache_folder() / "grading" / f"{sha256_of_json(self.cache_header())[:16]}{suffix}"

    def open_cache(self) -> ReplyCache:
        """Its replies so far.

        Raises:
            StateError: another process holds them.
            DataError: they are damaged or cannot be written.
        """
        return ReplyCache(self.file(".replies"), self.cache_header())


@dataclass(frozen=True)
class Grade:
    """A verdict and the reply it was read from; no reply for an answer that is nothing but white space."""

    verdict: Verdict
    reply: str | None


OpenModel = Callable[[], tuple[Answerer, ChatRenderer | None]]
"""Loads the model; gives who answers under :data:`PROTOCOL`, and the chat template or None."""


class Grader:
    """Grades answers with a model; each different pair is asked once, and kept.

    Args:
        prompt: the one that ``cache`` was opened for.
        open_model: called at the first pair that was not asked before.

    Attributes:
        asked: number of pairs that the model was asked, by this object.
    """

    def __init__(self, prompt: GraderPrompt, cache: ReplyCache, open_model: OpenModel) -> None:
        self._prompt = prompt
        self._cache = cache
        self._open_model = open_model
        self._opened: tuple[Answerer, ChatRenderer | None] | None = None
        self.asked = 0

    def ask(self, pairs: Iterable[GradedPair]) -> None:
        """Ask the model about all pairs that it was not asked about; the replies are kept batch by batch.

        Raises:
            UnavailableError: the model does not load or does not answer.
            DataError: a pair does not fit into the model's context.
        """
        waiting: dict[GradedPair, None] = {}
        for pair in pairs:
            if pair.given and pair not in waiting and self._cache.reply(pair) is None:
                waiting[pair] = None
                if len(waiting) >= self._batch():
                    self._ask(list(waiting))
                    waiting.clear()
        if waiting:
            self._ask(list(waiting))

    def grade(self, pair: GradedPair) -> Grade:
        """The grade of a pair that was asked; an answer that is nothing is not an attempt, and is not asked."""
        if not pair.given:
            return Grade(Verdict.NOT_ATTEMPTED, None)
        reply = self._cache.reply(pair)
        if reply is None:
            raise KeyError(f"not asked: {pair}")
        return Grade(read_verdict(reply), reply)

    def _model(self) -> tuple[Answerer, ChatRenderer | None]:
        if self._opened is None:
            self._opened = self._open_model()
        return self._opened

    def _batch(self) -> int:
        return min(getattr(self._model()[0], "max_batch", 0) or _BATCH, _BATCH)

    def _ask(self, pairs: list[GradedPair]) -> None:
        answerer, render = self._model()
        requests = []
        for number, pair in enumerate(pairs):
            text = self._prompt.text(pair)
            text = text if render is None else render([{"role": "user", "content": text}])
            requests.append(PromptRequest(str(number), 0, text, 0))
        replies = dict(greedy_answers(requests, answerer))
        self._cache.add({pair: replies[number] for number, pair in enumerate(pairs)})
        self.asked += len(pairs)
