"""A scripted grader, a server that grades by a script, and small files of stored answers."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kft_tasks.engine.token_count import TokenCount
from kft_tasks.grading.grader import Grader, GraderIdentity
from kft_tasks.grading.prompt import GradedPair, make_pair, published_prompt
from kft_tasks.grading.reply_cache import ReplyCache
from kft_tasks.protocol.identity import ModelIdentity
from kft_tasks.protocol.prompt_maker import PromptRequest
from kft_tasks.protocol.protocol import Protocol
from kft_tasks.questions import Question
from serving import FIELDS, LoopbackServer
from task_helpers import ListSet, ScriptedAnswerer, scripted_detection

MODEL = ModelIdentity("judge", "j" * 64, None, "float32")
Script = Callable[[str], str]
"""Given answer -> the grader's reply."""


def by_word(given: str) -> str:
    """Answers with "yes" in them are correct, "?" is no attempt, everything else is incorrect."""
    return "CORRECT" if "yes" in given else "NOT_ATTEMPTED" if "?" in given else "INCORRECT"


def given_in(prompt: str) -> str:
    """The given answer that a grader's prompt asks about."""
    return re.findall(r"^Given answer: (.*)$", prompt, re.MULTILINE)[-1]


class ScriptedGrader:
    """Replies by a script, and remembers the prompts."""

    def __init__(self, script: Script = by_word) -> None:
        self.script = script
        self.prompts: list[str] = []
        self.tokens = TokenCount()

    def open(self, requests: Sequence[PromptRequest]) -> Any:
        outer = self

        class Opened:
            def greedy(self, which: Sequence[int]) -> list[str]:
                prompts = [requests[index].prompt for index in which]
                outer.prompts += prompts
                return [outer.script(given_in(prompt)) for prompt in prompts]

        return Opened()


def identity(model: ModelIdentity = MODEL, *, chat: bool = False) -> GraderIdentity:
    prompt = published_prompt()
    return GraderIdentity(model, prompt.version, prompt.digest, chat)


def make_grader(cache: ReplyCache, answerer: ScriptedGrader | None = None) -> tuple[Grader, ScriptedGrader]:
    answerer = answerer or ScriptedGrader()
    return Grader(published_prompt(), cache, lambda: (answerer, None)), answerer  # type: ignore[arg-type]


def pair(given: str, question: str = "Is it?", answers: tuple[str, ...] = ("yes",)) -> GradedPair:
    return make_pair(question, answers, given)


class Texts(ScriptedAnswerer):
    """Answers each question with its own texts, one per exemplar set, and samples with the last of them."""

    def __init__(self, texts: dict[str, Sequence[str]], protocol: Protocol) -> None:
        super().__init__(lambda *_: False, protocol)
        self.texts = texts

    def text(self, request: PromptRequest, kind: str, sample: int) -> str:
        given = self.texts[request.question_id]
        return given[request.exemplar_set] if kind == "greedy" else given[-1]


def category_file(path: Path, texts: dict[str, Sequence[str]], *, lazy: bool = False, **changes: Any) -> Path:
    """A category file whose questions were answered with ``texts``: all but the last are greedy, the last is sampled."""
    sets = len(next(iter(texts.values()))) - 1
    protocol = Protocol(**{"exemplar_sets": sets, "shots": 1, "samples": 1, "scorer": "exact_match", **changes})
    source = ListSet([Question(name, f"Is it {name}?", ("yes",), "t", "test") for name in texts])
    scripted_detection(source, protocol, path, Texts(texts, protocol), lazy=lazy)
    return path


def judged_pairs(path: Path, judged: Sequence[tuple[str, bool]]) -> Path:
    """A file of judged pairs: given answers and whether they were judged right."""
    rows = [
        {"question": f"Is it {number}?", "answers": ["yes"], "given": given, "right": right}
        for number, (given, right) in enumerate(judged)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


class GradingServer(LoopbackServer):
    """A completions server without a model, which grades by a script."""

    def __init__(self, script: Script) -> None:
        super().__init__()
        self.script = script

    def answer(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if unknown := set(body) - FIELDS - {"top_k", "repetition_penalty"}:
            return 422, {"detail": f"Unexpected fields in the request: {unknown}"}
        self.asked.append(body)
        prompts = [body["prompt"]] if isinstance(body["prompt"], str) else body["prompt"]
        texts = [f" {self.script(given_in(prompt))}\n" for prompt in prompts]
        return 200, {"choices": [{"index": index, "text": text} for index, text in enumerate(texts)]}


@contextmanager
def grading_server(script: Script = by_word) -> Iterator[GradingServer]:
    """A server in a separate thread, on a free port, for the duration of a test."""
    with GradingServer(script) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join(10)
