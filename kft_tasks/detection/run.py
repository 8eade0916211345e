"""A whole detection: from questions and a model, through a journal, to a category file."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import logging
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kft_tasks.answering.answerer import Answerer
from kft_tasks.categories.answer_scorer import AnswerScorer
from kft_tasks.categories.category_file import CategorizedQuestion, CategoryFile, Header, write_category_file
from kft_tasks.detection.count import DetectionCount
from kft_tasks.detection.journal import COST_KEYS, Journal, is_being_written, last_change
from kft_tasks.detection.lazy import decided, detect_chunk, finish
from kft_tasks.detection.schedule import CHUNK_QUESTIONS, Chunk, make_chunks
from kft_tasks.detection.target import QuestionStream, Target, identify_questions
from kft_tasks.detection.waiting import wait_for
from kft_tasks.errors import StateError, UsageError
from kft_tasks.launcher import Process, this_process
from kft_tasks.progress import ProgressCallback, no_progress
from kft_tasks.protocol.exemplars import ExemplarPool
from kft_tasks.protocol.identity import ModelIdentity
from kft_tasks.protocol.prompt_maker import PromptMaker
from kft_tasks.protocol.protocol import Protocol, RecordedProtocol
from kft_tasks.version import __version__

logger = logging.getLogger(__name__)
_JOURNAL = re.compile(r"\d+\.jsonl(\.lock)?")  # named by the rank of its process


@dataclass
class DetectionResult:
    """The result of a detection.

    Attributes:
        cost: of making the file, by :data:`COST_KEYS`; all zero if the file already existed.
        reused: whether the file already existed.
        memory: bytes of keys and values: the ``budget``, and the ``peak`` use of this process; None without the engine.
    """

    path: Path
    header: Header
    count: DetectionCount
    cost: dict[str, float] = field(default_factory=lambda: dict.fromkeys(COST_KEYS, 0.0))
    reused: bool = False
    memory: dict[str, int] | None = None


def detect(
    target: Target,
    protocol: Protocol,
    model: ModelIdentity,
    answerer: Callable[[], tuple[Answerer, PromptMaker]] | None,
    output: Path,
    *,
    exemplars: ExemplarPool | None = None,
    lazy: bool = True,
    every_greedy: bool = False,
    overwrite: bool = False,
    keep_journals: bool = False,
    process: Process | None = None,
    progress: ProgressCallback = no_progress,
    chunk_questions: int = CHUNK_QUESTIONS,
) -> DetectionResult:
    """Detect the category of every question and write the category file ``output``.

    A killed detection resumes where it stopped, from the journal beside the output; a finished category file of the
    same model, protocol and questions is left unchanged. Several processes (RANK and WORLD_SIZE) share the chunks;
    the first one writes the file.

    Args:
        answerer: loads the model and returns the answerer and the prompt maker; called only if there is something to
            ask. None: ask nothing, and only assemble what is in the journals.
        exemplars: the exemplars; by default those of the target's question set.
        lazy: skip generations that cannot change a category.
        every_greedy: skip no greedy answer, so that P_correct(T=0) of every question is exact. Not in the header.
        overwrite: replace an existing ``output``.
        keep_journals: leave the journals beside the output, for a caller that records the cost elsewhere and then
            removes :func:`journal_folder`; as long as they are there, an existing ``output`` has its cost.
        process: which of several processes this is; by default as the launcher says. One that is named here and is not
            the first only does its share: it does not wait for the file.
        chunk_questions: number of questions per chunk.

    Raises:
        StateError: ``output`` or its journal belongs to another detection, another process is working on it, or one
            of several processes stopped.
        UsageError: ``overwrite`` with several processes.
    """
    pool = exemplars or ExemplarPool(target.source.split("exemplars"), protocol, target.source.name)
    stream = target.stream()
    questions = identify_questions(target, stream, pool)
    header = Header(__version__, model, protocol, questions, not lazy, {})
    waits = process is None
    process = process or this_process()
    run = _Run(
        header, output, chunk_questions, AnswerScorer(protocol.scorer), lazy, process, every_greedy, keep_journals
    )
    if output.exists() and not overwrite:
        result = _reuse(output, header)
        return dataclasses.replace(result, cost=run.cost()) if keep_journals else result
    if overwrite and process.world > 1:  # no process could tell the old file from the new one
        raise UsageError(f"Several processes cannot overwrite a category file. Remove {output} instead.")
    journal = run.journal(process.rank)
    since = last_change(journal.path)
    try:
        if process.world > 1 and output.exists():  # the others finished the rest while this one started
            journal.path.unlink()
            return _reuse(output, header)
        todo = {number for number in run.missing(stream, [journal]) if process.owns(number)}
        if todo and answerer is not None:
            run.ask(stream, todo, journal, *answerer(), progress)
        if process.first:
            for rank in range(1, process.world):
                run.await_share(stream, dataclasses.replace(process, rank=rank), since)
            return run.assemble(stream, journal)
    except KeyboardInterrupt:  # a launcher ends the others when one of its processes was killed
        run.name_stopped(stream)
        raise
    finally:
        journal.close()
    if not waits:
        return DetectionResult(output, header, DetectionCount())
    wait_for(Process(0, process.world), run.path(0), output.exists, since)
    return DetectionResult(output, CategoryFile(output).header, DetectionCount())


def _reuse(output: Path, header: Header) -> DetectionResult:
    found = CategoryFile(output)
    wanted, given = header.to_json(), found.header.to_json()
    different = [key for key in ("model", "protocol", "questions", "exhaustive") if wanted[key] != given[key]]
    if different:
        raise StateError(
            f"{output}: exists and was made with another {' and '.join(different)}. "
            "Choose another output, or overwrite it."
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
    scorer: AnswerScorer
    lazy: bool
    process: Process
    every_greedy: bool = False
    keep_journals: bool = False
    memory: dict[str, int] | None = None

    @property
    def folder(self) -> Path:
        return journal_folder(self.output)

    def path(self, rank: int) -> Path:
        return self.folder / f"{rank}.jsonl"

    def journal(self, rank: int) -> Journal:
        return Journal(self.path(rank), self._about(), keep_unfinished=True)

    def _about(self) -> dict[str, Any]:
        about = self.header.to_json()
        for key in ("counts", "protocol_digest", "kft_version"):
            del about[key]
        return {**about, "chunk_questions": self.chunk_questions}

    @contextlib.contextmanager
    def all_journals(self, own: Sequence[Journal] = ()) -> Iterator[list[Journal]]:
        """The journals of all processes, present and past, of this detection: ``own``, and the others read-only."""
        held = {journal.path for journal in own}
        paths = [path for path in sorted(self.folder.glob("*.jsonl")) if path not in held]
        for path in self.folder.iterdir() if self.folder.is_dir() else ():
            if not _JOURNAL.fullmatch(path.name):
                raise StateError(f"{path}: not a journal of kft. Move it out of this folder, which kft removes.")
        with contextlib.ExitStack() as stack:
            journals = list(own)
            for path in paths:
                journals.append(Journal(path, self._about(), read_only=True))
                stack.callback(journals[-1].close)
            yield sorted(journals, key=lambda journal: int(journal.path.stem))

    def chunks(self, stream: QuestionStream) -> Iterator[Chunk]:
        return make_chunks(stream(), self.chunk_questions)

    def missing(self, stream: QuestionStream, own: Sequence[Journal] = ()) -> set[int]:
        with self.all_journals(own) as journals:
            finished = frozenset[int]().union(*(journal.finished for journal in journals))
        return {chunk.number for chunk in self.chunks(stream)} - finished

    def name_stopped(self, stream: QuestionStream) -> None:
        """Say which of the other processes started and stopped before their share was detected."""
        for rank in range(self.process.world):
            path = self.path(rank)
            if rank == self.process.rank or not path.exists() or is_being_written(path):
                continue
            if any(dataclasses.replace(self.process, rank=rank).owns(number) for number in self.missing(stream)):
                logger.warning(
                    "Process %s of %s stopped before its share was detected; if nobody stopped it, it was probably "
                    "killed for want of memory.",
                    rank,
                    self.process.world,
                )

    def await_share(self, stream: QuestionStream, process: Process, since: float) -> None:
        def done() -> bool:
            return not any(process.owns(number) for number in self.missing(stream))

        wait_for(process, self.path(process.rank), done, since)

    def ask(
        self,
        stream: QuestionStream,
        todo: set[int],
        journal: Journal,
        answerer: Answerer,
        prompts: PromptMaker,
        progress: ProgressCallback,
    ) -> None:
        """Detect the chunks ``todo`` of this process and record them in its journal."""
        protocol = self.header.protocol
        own = {chunk.number: len(chunk.questions) for chunk in self.chunks(stream) if self.process.owns(chunk.number)}
        total, done = sum(own.values()), sum(size for number, size in own.items() if number not in todo)
        count = DetectionCount()
        start, first = time.perf_counter(), answerer.tokens.computed
        resumes = getattr(answerer, "resumes_mid_chunk", False)
        if not resumes:
            journal.drop_unfinished()
        with self.all_journals([journal]) as journals:
            for chunk in self.chunks(stream):
                if chunk.number not in todo:
                    continue
                chunk.clear(protocol.exemplar_sets)
                if resumes:
                    _replay(chunk, journals, journal, protocol)
                cost_so_far = _cost_meter(answerer)
                for kind, pairs in detect_chunk(
                    chunk, prompts, answerer, protocol, self.scorer, lazy=self.lazy, every_greedy=self.every_greedy
                ):
                    journal.append(chunk, kind, pairs)
                    records = [item for item in decided(chunk, self.scorer, protocol) if item is not None]
                    so_far = copy.deepcopy(count)
                    so_far.add(records, protocol)
                    computed = answerer.tokens.computed - first  # 0: the engine does not report it
                    rate = f" | {computed / (time.perf_counter() - start):,.0f} tokens/s" if computed else ""
                    progress(done + len(records), total, f"{so_far.line()}{rate}")
                journal.finish(chunk, cost_so_far())
                count.add(finish(chunk, self.scorer, protocol), protocol)
                done += len(chunk.questions)
                progress(done, total, count.line())
        self.memory = getattr(answerer, "memory", None)

    def assemble(self, stream: QuestionStream, own: Journal) -> DetectionResult:
        with self.all_journals([own]) as journals:
            count = DetectionCount()
            for item in self._items(stream, journals):
                count.add([item], self.header.protocol)
            header = dataclasses.replace(self.header, counts=dict(count.categories))
            write_category_file(self.output, header, self._items(stream, journals))
            cost = _sum_of_costs(journals)
        if not self.keep_journals:
            with contextlib.suppress(OSError):  # another process reads the folder, or was about to start in it
                shutil.rmtree(self.folder)
        return DetectionResult(self.output, header, count, cost, memory=self.memory)

    def cost(self) -> dict[str, float]:
        """What the journals say that was spent; nothing without journals."""
        with self.all_journals() as journals:
            return _sum_of_costs(journals)

    def _items(self, stream: QuestionStream, journals: list[Journal]) -> Iterator[CategorizedQuestion]:
        for chunk in self.chunks(stream):
            journal = next((one for one in journals if chunk.number in one.finished), None)
            if journal is None:
                raise StateError(f"{self.folder}: chunk {chunk.number} is missing. Run the same detection again.")
            journal.fill(chunk, self.header.protocol.exemplar_sets)
            yield from finish(chunk, self.scorer, self.header.protocol)


def _sum_of_costs(journals: Sequence[Journal]) -> dict[str, float]:
    """The costs of all finished chunks. A chunk that two processes finished cost what both spent."""
    total = dict.fromkeys(COST_KEYS, 0.0)
    for journal in journals:
        for spent in journal.costs():
            for key, value in spent.items():
                total[key] += value
    return total


def _cost_meter(answerer: Answerer) -> Callable[[], dict[str, float]]:
    """A function that says what was spent since now: seconds, CPU-seconds and tokens, by :data:`COST_KEYS`."""
    cpu_seconds: Callable[[], float] = getattr(answerer, "cpu_seconds", time.process_time)
    before, wall, cpu = dataclasses.asdict(answerer.tokens), time.perf_counter(), cpu_seconds()

    def cost() -> dict[str, float]:
        tokens = {key: value - before[key] for key, value in dataclasses.asdict(answerer.tokens).items()}
        return {**tokens, "seconds": time.perf_counter() - wall, "cpu_seconds": cpu_seconds() - cpu}

    return cost


def _replay(chunk: Chunk, journals: Sequence[Journal], own: Journal, protocol: RecordedProtocol) -> None:
    """Restore the answers of an unfinished chunk, and record them again, so that ``own`` holds the whole chunk."""
    for journal in journals:
        journal.replay(chunk, protocol.exemplar_sets)
    places = [(index, number) for index in range(len(chunk.questions)) for number in range(protocol.exemplar_sets)]
    if greedy := [(index, number) for index, number in places if chunk.greedy[index][number] is not None]:
        own.append(chunk, "greedy", greedy)
    if sampled := [(index, number) for index, number in places if chunk.sampled[index][number] is not None]:
        own.append(chunk, "sampled", sampled)


def journal_folder(output: Path) -> Path:
    """Where the journals of a detection are until its category file is written."""
    return output.with_name(output.name + ".journal")


def discard_journals(output: Path) -> None:
    """Remove the journals of a detection, and their folder unless something else is in it."""
    folder = journal_folder(output)
    with contextlib.suppress(OSError):  # another process reads the folder, or was about to start in it
        for path in folder.iterdir():
            if _JOURNAL.fullmatch(path.name):
                path.unlink()
        folder.rmdir()


def summary(result: DetectionResult) -> dict[str, Any]:
    """The result as JSON values."""
    return {
        "file": str(result.path),
        "reused": result.reused,
        **{key: value for key, value in result.header.to_json().items() if key != "format"},
        "generations": {"made": result.count.made, "saved": result.count.saved},
        "cost": result.cost,
        "memory": result.memory,
    }
