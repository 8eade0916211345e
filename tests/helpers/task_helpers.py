"""Questions, a scripted model and a small detection for the tests of kft_tasks."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kft_tasks.detection.run import DetectionResult, detect
from kft_tasks.detection.target import Target
from kft_tasks.engine.token_count import TokenCount
from kft_tasks.protocol.exemplars import ExemplarPool
from kft_tasks.protocol.identity import ModelIdentity
from kft_tasks.protocol.prompt_maker import PromptMaker, PromptRequest
from kft_tasks.protocol.protocol import Protocol
from kft_tasks.questions import Question

RIGHT, WRONG = "yes", "no"
MODEL = ModelIdentity("model", "w" * 64, None, "float32")


def make_question(name: str, type_: str = "t", split: str = "test", answers: tuple[str, ...] = (RIGHT,)) -> Question:
    return Question(name, f"Is it {name}?", answers, type_, split)


def make_exemplars(types: Iterable[str] = ("t",), count: int = 12) -> list[Question]:
    return [make_question(f"e-{type_}-{i}", type_, "exemplars", (f"a{i}",)) for type_ in types for i in range(count)]


@dataclass
class ListSet:
    """A question set in memory."""

    under_test: Sequence[Question]
    exemplars: Sequence[Question] = field(default_factory=make_exemplars)
    name: str = "list"
    version: str = "1"

    def split(self, name: str) -> Iterator[Question]:
        return iter(self.exemplars if name == "exemplars" else self.under_test)


def chance(*parts: object) -> float:
    """A fixed pseudo-random number in [0, 1) for ``parts``."""
    digest = hashlib.blake2b("|".join(map(str, parts)).encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") / 2**32


Table = Callable[[str, int, str, int], bool]
"""(question id, exemplar set, "greedy" or "sampled", sample number) -> whether the answer is right."""


def mixed_table(question_id: str, exemplar_set: int, kind: str, sample: int) -> bool:
    """Gives every category: some questions are always known, some sometimes, some in samples only, some never."""
    level = int(chance(question_id) * 4)
    if level == 0:
        return True
    if level == 1:
        return chance(question_id, exemplar_set, kind, sample) < 0.5
    return level == 2 and kind == "sampled" and chance(question_id, exemplar_set, kind, sample) < 0.2


class Killed(BaseException):
    """Stands in for the end of the process."""


class ScriptedAnswerer:
    """Answers from a table and remembers what it was asked."""

    def __init__(self, table: Table, protocol: Protocol, *, die_at: int | None = None) -> None:
        self.table = table
        self.protocol = protocol
        self.die_at = die_at
        self.calls = 0
        self.greedy_asked: list[tuple[str, int]] = []
        self.sampled_asked: list[tuple[str, int]] = []
        self.count = TokenCount()

    @property
    def tokens(self) -> TokenCount:
        return self.count

    @property
    def made(self) -> int:
        return len(self.greedy_asked) + len(self.sampled_asked) * self.protocol.samples

    def open(self, requests: Sequence[PromptRequest]) -> ScriptedAnswers:
        assert requests
        self.count.prefilled += sum(len(request.prompt) for request in requests)
        return ScriptedAnswers(self, requests)

    def text(self, request: PromptRequest, kind: str, sample: int) -> str:
        return RIGHT if self.table(request.question_id, request.exemplar_set, kind, sample) else f"{WRONG} {sample}"

    def step(self) -> None:
        self.calls += 1
        if self.calls == self.die_at:
            raise Killed


class ScriptedAnswers:
    def __init__(self, answerer: ScriptedAnswerer, requests: Sequence[PromptRequest]) -> None:
        self._answerer = answerer
        self._requests = requests
        self._kept = set(range(len(requests)))

    def greedy(self, which: Sequence[int]) -> list[str]:
        self._answerer.step()
        requests = self._some(which)
        self._answerer.greedy_asked += [(request.question_id, request.exemplar_set) for request in requests]
        return [self._answerer.text(request, "greedy", 0) for request in requests]

    def sample(self, which: Sequence[int]) -> list[tuple[str, ...]]:
        self._answerer.step()
        requests = self._some(which)
        self._answerer.sampled_asked += [(request.question_id, request.exemplar_set) for request in requests]
        numbers = range(self._answerer.protocol.samples)
        return [tuple(self._answerer.text(request, "sampled", number) for number in numbers) for request in requests]

    def keep(self, which: Sequence[int]) -> None:
        self._kept &= set(which)

    def _some(self, which: Sequence[int]) -> list[PromptRequest]:
        assert which
        assert self._kept.issuperset(which), "asked for what was given up"
        return [self._requests[index] for index in which]


def scripted_detection(
    source: ListSet,
    protocol: Protocol,
    output: Path,
    answerer: ScriptedAnswerer,
    *,
    limit: int | None = None,
    model: ModelIdentity = MODEL,
    lazy: bool = True,
    overwrite: bool = False,
    keep_journals: bool = False,
    chunk_questions: int = 4,
) -> DetectionResult:
    """Detect the test split of ``source`` with a scripted model."""
    pool = ExemplarPool(source.split("exemplars"), protocol)
    return detect(
        Target(source, "test", limit),
        protocol,
        model,
        lambda: (answerer, PromptMaker(protocol, pool)),
        output,
        lazy=lazy,
        overwrite=overwrite,
        keep_journals=keep_journals,
        chunk_questions=chunk_questions,
    )
