"""What an experiment needs of one finished run, small enough to keep for hundreds of runs: arrays by question."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from kft_cli.report.measures.measured import trained_ids
from kft_cli.report.run_data import RunData, SharedFiles, Stage, question_digest, read_run
from kft_cli.report.run_layout import BASE
from kft_cli.stats.groups import QuestionGroups
from kft_tasks.categories.category import KnowledgeCategory
from kft_tasks.categories.category_file import CategoryFile
from kft_tasks.evaluation.evaluate import Asking
from kft_tasks.evaluation.further_tasks import MetricRecord, TaskRecord
from kft_tasks.files import sha256_of_json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Codes = NDArray[np.int8]
    Flags = NDArray[np.bool_]

NEVER, MAYBE, HIGHLY = 0, 1, 2
"""Greedy levels on the draw that measures: no greedy answer is right, some are, all are."""

CATEGORIES = (
    KnowledgeCategory.UNKNOWN,
    KnowledgeCategory.WEAKLY_KNOWN,
    KnowledgeCategory.MAYBE_KNOWN,
    KnowledgeCategory.HIGHLY_KNOWN,
)
"""Categories by their code, the lowest first."""


@dataclass(frozen=True)
class TrainValues:
    """The measured training questions, sorted by id; arrays have one entry per question.

    Attributes:
        detected: category in the base model's detection, an index of :data:`CATEGORIES`.
        level: greedy level on the draw that measures, by point.
        share: share of right greedy answers there, by point.
        trained: by stage, in their order, whether it trained on the question.
        digest: of questions, exemplars and protocol of the measurement: equal digests are paired question by question.
    """

    ids: tuple[str, ...]
    groups: QuestionGroups
    detected: Codes
    level: Mapping[str, Codes]
    share: Mapping[str, Floats]
    trained: Mapping[str, Flags]
    digest: str

    def trained_until(self, point: str) -> Flags:
        """Whether a stage up to this point trained on the question; a control has the questions of its stage."""
        import numpy as np

        last = point if point in self.trained else point.removesuffix("-continued")
        found = np.zeros(len(self.ids), dtype=bool)
        for stage, one in self.trained.items() if last in self.trained else ():
            found |= one
            if stage == last:
                break
        return found


@dataclass(frozen=True)
class TestValues:
    """The test questions, sorted by id.

    Attributes:
        right: share of right answers of each question, by point and way of asking.
        sets: number of exemplar sets, by way of asking.
        held_out: whether a question's type was held out of training.
        category: first category of each question, an index of :data:`CATEGORIES`; None where it was not detected.
        digest: of questions and protocol.
    """

    __test__ = False  # not a test class of pytest

    groups: QuestionGroups
    right: Mapping[tuple[str, Asking], Floats]
    sets: Mapping[Asking, int]
    held_out: Flags
    category: Codes | None
    digest: str


@dataclass(frozen=True)
class TextValues:
    """The held-out text: tokens of each passage, and the sum of their negative log-likelihoods by point."""

    groups: QuestionGroups
    tokens: Floats
    nats: Mapping[str, Floats]
    digest: str


@dataclass(frozen=True)
class EpochValues:
    """Validation at the epochs of a stage.

    Attributes:
        share: share of right answers at each epoch, from epoch 0, before training.
        chosen: the epoch that was kept.
    """

    share: tuple[float, ...]
    chosen: int


@dataclass(frozen=True)
class StageValues:
    """What a stage was and what it cost; of a control too.

    Attributes:
        questions: that the first epoch trained on.
        parts: number of questions by part of the mixture.
        tokens: input tokens of all epochs.
    """

    name: str
    steps: int
    questions: int
    parts: Mapping[str, int]
    tokens: int
    seconds: float
    epochs: EpochValues


@dataclass(frozen=True)
class RunValues:
    """One run of an experiment.

    Attributes:
        points: ``base``, then one after each stage.
        controls: points of controls.
        train: None where the training questions were not measured on a draw of their own.
        detected: number of training questions in each category of the base model's detection, by name.
        tasks: metrics of further tasks by point, by ``task`` and by ``task/metric``.
        trained_questions: different questions of the mixtures of all stages.
        tokens: read, written and trained on, in all steps.
        seconds: of all steps.
    """

    points: tuple[str, ...]
    controls: tuple[str, ...]
    test: TestValues
    train: TrainValues | None
    text: TextValues | None
    tasks: Mapping[str, Mapping[str, MetricRecord]]
    detected: Mapping[str, int]
    stages: tuple[StageValues, ...]
    trained_questions: int
    tokens: float
    seconds: float
    scorer: str
    model: str
    question_set: str

    @property
    def last(self) -> str:
        """The last point."""
        return self.points[-1]

    @property
    def first_stage(self) -> str | None:
        """The point after the first stage."""
        return self.points[1] if len(self.points) > 1 else None

    def is_same_at(self, point: str, other: RunValues) -> bool:
        """Whether two runs came to a point by the same stages, and have the same results there."""
        import numpy as np

        if point not in self.points or point not in other.points:
            return False
        at = self.points.index(point)
        if self.points[: at + 1] != other.points[: at + 1] or self.stages[:at] != other.stages[:at]:
            return False
        trains = self.train, other.train
        if trains[0] and trains[1] and not np.array_equal(trains[0].level[point], trains[1].level[point]):
            return False
        asked = [key for key in self.test.right if key[0] == point]
        return all(
            key in other.test.right and np.array_equal(self.test.right[key], other.test.right[key]) for key in asked
        )


def with_shared_groups(runs: Mapping[tuple[str, int], RunValues]) -> dict[tuple[str, int], RunValues]:
    """The same runs; those that asked the same questions share one object for types and subjects.

    What is found about it once, such as its clusters, then serves all of them.
    """
    found: dict[tuple[str, int], RunValues] = {}
    train: list[QuestionGroups] = []
    test: list[QuestionGroups] = []
    for key, run in runs.items():
        shared = replace(run, test=replace(run.test, groups=_known(run.test.groups, test)))
        if run.train is not None:
            shared = replace(shared, train=replace(run.train, groups=_known(run.train.groups, train)))
        found[key] = shared
    return found


def _known(groups: QuestionGroups, seen: list[QuestionGroups]) -> QuestionGroups:
    for one in seen:
        if one == groups:
            return one
    seen.append(groups)
    return groups


def read_values(folder: Path, shared: SharedFiles | None = None) -> RunValues:
    """Read a finished run folder.

    Args:
        shared: what was read of other runs.

    Raises:
        DataError: see :func:`kft_cli.report.run_data.read_run`.
    """
    return values_of(read_run(folder, shared))


def values_of(data: RunData) -> RunValues:
    """What an experiment needs of a run that is read."""
    costs = [step.get("tokens") or {} for step in data.steps]
    return RunValues(
        points=data.points,
        controls=tuple(data.controls.values()),
        test=_test(data),
        train=_train(data) if data.measured else None,
        text=_text(data),
        tasks={point: _metrics(one.tasks.tasks) for point, one in data.elsewhere.items() if one.tasks is not None},
        detected={c.value: sum(one is c for one in data.base.categories.values()) for c in KnowledgeCategory},
        stages=tuple(_stage(stage) for stage in data.stages),
        trained_questions=len({id_ for stage in data.stages for id_ in trained_ids(data, stage)}),
        tokens=float(sum(sum(one.values()) for one in costs)),
        seconds=float(sum(step["seconds"] for step in data.steps)),
        scorer=data.recipe.protocol_for("test").scorer,
        model=data.recipe.model.id,
        question_set=data.recipe.questions.set,
    )


def _test(data: RunData) -> TestValues:
    import numpy as np

    items = data.test_answers
    held_out = set(data.recipe.questions.held_out_types)
    first = data.first_categories
    codes = {category: code for code, category in enumerate(CATEGORIES)}
    known = first is not None and all(item.id in first.categories for item in items)
    return TestValues(
        groups=_groups((item.type, item.subject or item.id) for item in items),
        right={
            (point, asking): np.array([item.value for item in ways[asking]])
            for point, ways in data.answers.items()
            for asking in data.askings
        },
        sets={asking: len(data.answers[BASE][asking][0].right) for asking in data.askings},
        held_out=np.array([item.type in held_out for item in items]),
        category=np.array([codes[first.categories[item.id]] for item in items], dtype=np.int8)
        if first is not None and known
        else None,
        digest=sha256_of_json([question_digest(items), data.recipe.protocol_for("test").stored()]),
    )


def _train(data: RunData) -> TrainValues:
    import numpy as np

    base = data.measurements[BASE]
    ids = sorted(base.categories)
    codes = {category: code for code, category in enumerate(CATEGORIES)}
    level, share = {}, {}
    for point, measurement in data.measurements.items():
        tallies = [measurement.greedy[id_] for id_ in ids]
        share[point] = np.array([one.right / one.asked for one in tallies])
        level[point] = np.where(share[point] >= 1, HIGHLY, np.where(share[point] > 0, MAYBE, NEVER)).astype(np.int8)
    trained = {}
    for stage in data.stages:
        chosen = trained_ids(data, stage)
        trained[stage.name] = np.array([id_ in chosen for id_ in ids], dtype=bool)
    identity = base.header.questions
    return TrainValues(
        ids=tuple(sys.intern(id_) for id_ in ids),
        groups=_groups(base.groups[id_] for id_ in ids),
        detected=np.array([codes[data.base.categories[id_]] for id_ in ids], dtype=np.int8),
        level=level,
        share=share,
        trained=trained,
        digest=sha256_of_json([identity.digest, identity.exemplars, base.header.protocol.stored()]),
    )


def _groups(pairs: Iterable[tuple[str, str]]) -> QuestionGroups:
    types, subjects = [], []
    for type_, subject in pairs:
        types.append(sys.intern(type_))
        subjects.append(sys.intern(subject))
    return QuestionGroups(types, subjects)


def _text(data: RunData) -> TextValues | None:
    import numpy as np

    losses = {point: one.text for point, one in data.elsewhere.items() if one.text is not None}
    if not losses:
        return None
    passages = losses[BASE].passages
    return TextValues(
        groups=_groups((passage.type, passage.id) for passage in passages),
        tokens=np.array([passage.tokens for passage in passages], dtype=float),
        nats={point: np.array([passage.nats for passage in one.passages]) for point, one in losses.items()},
        digest=losses[BASE].digest,
    )


def _metrics(tasks: Sequence[TaskRecord]) -> dict[str, MetricRecord]:
    found: dict[str, MetricRecord] = {}
    for task in tasks:
        found[task.task] = task.main()
        for metric in task.metrics:
            found.setdefault(f"{task.task}/{metric.metric}", metric)
    return found


def _stage(stage: Stage) -> StageValues:
    epochs, cost = stage.training["epochs"], stage.training["cost"]
    return StageValues(
        name=stage.name,
        steps=cost["steps"],
        questions=len(stage.mixture.items),
        parts={part.name: part.taken for part in stage.mixture.parts},
        tokens=cost["input_tokens"],
        seconds=cost["seconds"],
        epochs=EpochValues(tuple(row["right"] / row["asked"] for row in epochs), stage.training["chosen_epoch"]),
    )


def entities_of(data: RunData) -> dict[str, tuple[str, ...]]:
    """By id, the entities of the measured training questions of a run: the subject and the first accepted answer.

    The same entity is written in the same way, without regard to case and spaces.
    """
    file = CategoryFile(data.told[BASE].path)
    return {item.question.id: _entities(item.question.subject, item.question.answers[0]) for item in file}


def _entities(subject: str, answer: str) -> tuple[str, ...]:
    names = [" ".join(name.casefold().split()) for name in (subject, answer)]
    return tuple(dict.fromkeys(name for name in names if name))
