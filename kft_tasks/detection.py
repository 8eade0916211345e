"""A whole detection: questions, a model, a journal, and at the end a category file."""

from __future__ import annotations

import dataclasses
import hashlib
import heapq
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kft_tasks.asking import Answerer, PromptMaker
from kft_tasks.category_file import (
    CategorizedQuestion,
    CategoryFile,
    Header,
    ModelIdentity,
    QuestionsIdentity,
    write_category_file,
)
from kft_tasks.detect import (
    CHUNK_QUESTIONS,
    Chunk,
    DetectionCount,
    Judge,
    QuestionStream,
    check_disjoint,
    detect_chunk,
    finish,
    make_chunks,
)
from kft_tasks.errors import DataError, StateError
from kft_tasks.exemplars import ExemplarPool
from kft_tasks.journal import Journal
from kft_tasks.progress import ProgressCallback, silent
from kft_tasks.protocol import Protocol
from kft_tasks.questions import Question, QuestionDigest, QuestionSet

COST_KEYS = ("seconds", "cpu_seconds", "prefilled", "decoded", "prompt_tokens", "answer_tokens")


@dataclass(frozen=True)
class Target:
    """Which questions are detected.

    Attributes:
        source: the question set.
        split: one of its splits.
        limit: that many of them, chosen by a hash of the id (all if None).
    """

    source: QuestionSet
    split: str
    limit: int | None = None

    def stream(self) -> QuestionStream:
        """Questions under test, the same in every pass."""
        return select(lambda: self.source.split(self.split), self.limit)


@dataclass
class DetectionResult:
    """What a detection gave: the file, the counts, and the cost of making it (all zero for a file that was there)."""

    path: Path
    header: Header
    count: DetectionCount
    cost: dict[str, float] = field(default_factory=lambda: dict.fromkeys(COST_KEYS, 0.0))
    reused: bool = False


def select(stream: QuestionStream, limit: int | None) -> QuestionStream:
    """Of a stream, ``limit`` questions chosen by a hash of their ids, in the stream's order.

    A choice of 200 contains the choice of 100, and adding questions to the set hardly changes it.
    """
    if limit is None:
        return stream

    def rank(question: Question) -> bytes:
        return hashlib.blake2b(b"limit|" + question.id.encode(), digest_size=12).digest()

    chosen = set(heapq.nsmallest(limit, (rank(question) for question in stream())))
    return lambda: (question for question in stream() if rank(question) in chosen)


def identify_questions(target: Target, stream: QuestionStream, exemplars: ExemplarPool) -> QuestionsIdentity:
    """Digest and count of the questions under test.

    Raises:
        DataError: there are none, or one of them is also an exemplar.
    """
    digest = QuestionDigest()
    for question in check_disjoint(stream(), exemplars.ids()):
        digest.add(question)
    if not digest.count:
        raise DataError(f"{target.source.name}: split {target.split!r} holds no questions. Choose another split.")
    return QuestionsIdentity(
        set=target.source.name,
        version=target.source.version,
        split=target.split,
        count=digest.count,
        digest=digest.hexdigest(),
        exemplars=exemplars.digest,
    )


def detect(
    target: Target,
    protocol: Protocol,
    model: ModelIdentity,
    answerer: Callable[[], tuple[Answerer, PromptMaker]] | None,
    output: Path,
    *,
    exemplars: ExemplarPool | None = None,
    lazy: bool = True,
    overwrite: bool = False,
    progress: ProgressCallback = silent,
    chunk_questions: int = CHUNK_QUESTIONS,
) -> DetectionResult:
    """Detect the category of every question and write the category file ``output``.

    Goes on where a killed detection stopped (its journal lies beside the output); a finished category file of the
    same model, protocol and questions is left as it is.

    Args:
        answerer: loads the model; called only when there is something to ask. It returns the answerer and the maker
            of prompts.

    Raises:
        StateError: ``output`` or its journal belongs to another detection, or another process is at work on it.
    """
    from kft_tasks import __version__

    pool = exemplars or ExemplarPool(target.source.split("exemplars"), protocol, target.source.name)
    stream = target.stream()
    questions = identify_questions(target, stream, pool)
    header = Header(__version__, model, protocol, questions, not lazy, {})
    if output.exists() and not overwrite:
        return _reuse(output, header)
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    run = _Run(header, output, chunk_questions, Judge(protocol), lazy)
    journal = run.journal(rank)
    try:
        todo = run.missing(stream, journal, rank, world)
        if todo and answerer is not None:
            run.ask(stream, todo, journal, *answerer(), progress)
    finally:
        journal.close()
    if world > 1:
        _barrier()
    if rank == 0:
        result = run.assemble(stream, world)
    if world > 1:
        _barrier()
    if rank != 0:
        result = DetectionResult(output, CategoryFile(output).header, DetectionCount())
    return result


def _reuse(output: Path, header: Header) -> DetectionResult:
    found = CategoryFile(output)
    wanted, given = header.to_json(), found.header.to_json()
    different = [key for key in ("model", "protocol", "questions", "exhaustive") if wanted[key] != given[key]]
    if different:
        raise StateError(
            f"{output}: exists and was made with another {' and '.join(different)}. "
            "Choose another output, or overwrite it with --overwrite."
        )
    count = DetectionCount()
    for item in found:
        count.add([item], header.protocol)
    return DetectionResult(output, found.header, count, reused=True)


@dataclass
class _Run:
    header: Header
    output: Path
    chunk_questions: int
    judge: Judge
    lazy: bool

    @property
    def folder(self) -> Path:
        return journal_folder(self.output)

    def journal(self, rank: int) -> Journal:
        about = self.header.to_json()
        for key in ("counts", "protocol_digest", "kft_version"):
            del about[key]
        return Journal(self.folder / f"{rank}.jsonl", {**about, "chunk_questions": self.chunk_questions})

    def chunks(self, stream: QuestionStream) -> Iterator[Chunk]:
        return make_chunks(stream(), self.chunk_questions)

    def missing(self, stream: QuestionStream, journal: Journal, rank: int, world: int) -> set[int]:
        finished = set(journal.finished)
        if world == 1:  # a run of several processes may be finished by one
            for path in self.folder.glob("*.jsonl"):
                if path != journal.path:
                    other = self.journal(int(path.stem))
                    finished |= other.finished
                    other.close()
        numbers = {chunk.number for chunk in self.chunks(stream)}
        return {number for number in numbers - finished if number % world == rank}

    def ask(
        self,
        stream: QuestionStream,
        todo: set[int],
        journal: Journal,
        answerer: Answerer,
        prompts: PromptMaker,
        progress: ProgressCallback,
    ) -> None:
        protocol, total = self.header.protocol, self.header.questions.count
        count = DetectionCount()
        done = 0
        for chunk in self.chunks(stream):
            if chunk.number not in todo:
                done += len(chunk.questions)
                continue
            chunk.clear(protocol.exemplar_sets)
            before, wall, cpu = dataclasses.asdict(answerer.tokens), time.perf_counter(), time.process_time()
            for kind, pairs in detect_chunk(chunk, prompts, answerer, protocol, self.judge, lazy=self.lazy):
                journal.append(chunk, kind, pairs)
                progress(done, total, count.line())
            cost = {key: value - before[key] for key, value in dataclasses.asdict(answerer.tokens).items()}
            cost |= {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}
            journal.finish(chunk, cost)
            count.add(finish(chunk, self.judge), protocol)
            done += len(chunk.questions)
            progress(done, total, count.line())

    def assemble(self, stream: QuestionStream, world: int) -> DetectionResult:
        paths = sorted(self.folder.glob("*.jsonl"))
        journals = [self.journal(int(path.stem)) for path in paths]
        try:
            count = DetectionCount()
            for item in self._items(stream, journals):
                count.add([item], self.header.protocol)
            header = dataclasses.replace(self.header, counts=dict(count.categories))
            write_category_file(self.output, header, self._items(stream, journals))
            cost = dict.fromkeys(COST_KEYS, 0.0)
            for journal in journals:
                for spent in journal.costs():
                    for key, value in spent.items():
                        cost[key] += value
        finally:
            for journal in journals:
                journal.close()
        shutil.rmtree(self.folder)
        return DetectionResult(self.output, header, count, cost)

    def _items(self, stream: QuestionStream, journals: list[Journal]) -> Iterator[CategorizedQuestion]:
        for chunk in self.chunks(stream):
            journal = next((one for one in journals if chunk.number in one.finished), None)
            if journal is None:
                raise StateError(f"{self.folder}: chunk {chunk.number} was not detected. Run the same command again.")
            journal.fill(chunk, self.header.protocol.exemplar_sets)
            yield from finish(chunk, self.judge)


def _barrier() -> None:
    from accelerate import PartialState

    PartialState().wait_for_everyone()


def journal_folder(output: Path) -> Path:
    """Where the journals of a detection lie until its category file is written."""
    return output.with_name(output.name + ".journal")


def summary(result: DetectionResult) -> dict[str, Any]:
    """The result as JSON values."""
    return {
        "file": str(result.path),
        "reused": result.reused,
        **{key: value for key, value in result.header.to_json().items() if key != "format"},
        "generations": {"made": result.count.made, "saved": result.count.saved},
        "cost": result.cost,
    }
