"""``values/ARM/seed-N.json``: what an experiment needs of a finished run, by question, in one small file.

It is read many times faster than the run's answers, and stands for the run where its folder is gone: published
experiments carry it, so that others can analyse them anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from kft_cli.experiment.values import (
    EpochValues,
    RunValues,
    StageValues,
    TestValues,
    TextValues,
    TrainValues,
    entities_of,
    values_of,
)
from kft_cli.report.run_data import SharedFiles, read_run
from kft_cli.report.run_layout import RunLayout
from kft_cli.report.run_outputs import digest_of
from kft_cli.report.run_records import read_started
from kft_cli.stats.groups import QuestionGroups
from kft_tasks.errors import DataError
from kft_tasks.evaluation.evaluate import Asking
from kft_tasks.evaluation.further_tasks import MetricRecord
from kft_tasks.files import write_json
from kft_tasks.records import Count, Record, Share, parse_record, read_record
from kft_train.recipes.plan import steps_of
from kft_train.recipes.recipe import load_recorded_recipe

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FORMAT: Literal["kft-values/1"] = "kft-values/1"
_REMEDY = "Remove the file; `kft report` makes it again where the run is still there."

Code = Annotated[int, Field(ge=0, le=3)]
Amount = Annotated[float, Field(ge=0)]


class _Groups(Record):
    types: list[str]
    subjects: list[str]

    @model_validator(mode="after")
    def _check(self) -> Self:
        _same_length([self.types, self.subjects])
        return self


class _Right(Record):
    point: str
    shots: Count
    other_type: bool
    sets: Count
    right: list[Share]


class _Test(Record):
    groups: _Groups
    right: Annotated[list[_Right], Field(min_length=1)]
    held_out: list[bool]
    category: list[Code] | None
    digest: str

    @model_validator(mode="after")
    def _check(self) -> Self:
        _same_length([self.groups.types, self.held_out, self.category, *(one.right for one in self.right)])
        return self


class _Train(Record):
    ids: list[str]
    groups: _Groups
    detected: list[Code]
    level: dict[str, list[Code]]
    share: dict[str, list[Share]]
    trained: dict[str, list[bool]]
    digest: str

    @model_validator(mode="after")
    def _check(self) -> Self:
        _same_length([self.ids, self.groups.types, self.detected])
        _same_length([self.ids, *self.level.values(), *self.share.values(), *self.trained.values()])
        return self


class _Text(Record):
    groups: _Groups
    tokens: list[Amount]
    nats: dict[str, list[Amount]]
    digest: str

    @model_validator(mode="after")
    def _check(self) -> Self:
        _same_length([self.groups.types, self.tokens, *self.nats.values()])
        return self


class _Stage(Record):
    name: str
    steps: Count
    questions: Count
    parts: dict[str, Count]
    tokens: Count
    seconds: Amount
    shares: list[Share]
    chosen: Count


class KeptValues(Record):
    """The file.

    Attributes:
        recipe: digest of the run's recipe.
        steps: digest of each step's record: values of another making of the steps are not taken.
        entities: of each measured training question, see :func:`kft_cli.experiment.values.entities_of`.
    """

    format: Literal["kft-values/1"]
    recipe: str
    steps: dict[str, str]
    points: Annotated[list[str], Field(min_length=1)]
    controls: list[str]
    test: _Test
    train: _Train | None
    text: _Text | None
    tasks: dict[str, dict[str, MetricRecord]]
    detected: dict[str, Count]
    stages: list[_Stage]
    trained_questions: Count
    tokens: Amount
    seconds: Amount
    scorer: str
    model: str
    question_set: str
    entities: dict[str, list[str]] | None

    def values(self) -> RunValues:
        """The values."""
        return RunValues(
            points=tuple(self.points),
            controls=tuple(self.controls),
            test=_test_of(self.test),
            train=None if self.train is None else _train_of(self.train),
            text=None if self.text is None else _text_of(self.text),
            tasks=self.tasks,
            detected=self.detected,
            stages=tuple(_stage_of(stage) for stage in self.stages),
            trained_questions=self.trained_questions,
            tokens=self.tokens,
            seconds=self.seconds,
            scorer=self.scorer,
            model=self.model,
            question_set=self.question_set,
        )


def read_kept(path: Path) -> KeptValues:
    """Read a file of values.

    Raises:
        DataError: it cannot be read or is broken.
    """
    return read_record(KeptValues, path, _REMEDY)


def keep_values(run: Path, kept: Path, shared: SharedFiles | None = None) -> KeptValues:
    """The values of a finished run: out of their file if that is of these steps, else out of the run, into the file.

    A file whose run folder is gone stands for the run.

    Args:
        run: the run folder.
        kept: the file.
        shared: what was read of other runs.

    Raises:
        DataError: the run is damaged, or the file cannot be written.
    """
    if kept.is_file() and not RunLayout(run).recipe.is_file():
        return read_kept(kept)
    steps = _steps(run)
    if kept.is_file():
        try:
            known = read_kept(kept)
        except DataError:
            known = None  # made again
        if known is not None and known.steps == steps and _has_its_files(run, steps):
            return known
    data = read_run(run, shared)
    written = _json(values_of(data), data.recipe.digest(), steps, entities_of(data) if data.measured else None)
    write_json(kept, written)
    return parse_record(KeptValues, written, kept, _REMEDY)


def _steps(run: Path) -> dict[str, str]:
    layout = RunLayout(run)
    names = [step.name for step in steps_of(load_recorded_recipe(layout.recipe))]
    return {name: digest_of(layout.step_record(name)) for name in names}


def _has_its_files(run: Path, steps: Iterable[str]) -> bool:
    """Whether the outputs of all steps are there with their sizes; reading a run looks at their digests too."""
    for name in steps:
        folder = RunLayout(run).step(name)
        outputs = read_started(RunLayout(run).step_record(name)).get("outputs")
        if not outputs:
            return False
        for file, one in outputs.items():
            try:
                if (folder / file).stat().st_size != one["bytes"]:
                    return False
            except OSError:
                return False
    return True


def _json(
    values: RunValues, recipe: str, steps: Mapping[str, str], entities: Mapping[str, Sequence[str]] | None
) -> dict[str, Any]:
    test, train, text = values.test, values.train, values.text
    return {
        "format": FORMAT,
        "recipe": recipe,
        "steps": dict(steps),
        "points": list(values.points),
        "controls": list(values.controls),
        "test": {
            "groups": _groups_json(test.groups),
            "right": [
                {"point": point, "shots": asking.shots, "other_type": asking.other_type, "sets": test.sets[asking]}
                | {"right": right.tolist()}
                for (point, asking), right in test.right.items()
            ],
            "held_out": test.held_out.tolist(),
            "category": None if test.category is None else test.category.tolist(),
            "digest": test.digest,
        },
        "train": None
        if train is None
        else {
            "ids": list(train.ids),
            "groups": _groups_json(train.groups),
            "detected": train.detected.tolist(),
            "level": {point: level.tolist() for point, level in train.level.items()},
            "share": {point: share.tolist() for point, share in train.share.items()},
            "trained": {stage: trained.tolist() for stage, trained in train.trained.items()},
            "digest": train.digest,
        },
        "text": None
        if text is None
        else {
            "groups": _groups_json(text.groups),
            "tokens": text.tokens.tolist(),
            "nats": {point: nats.tolist() for point, nats in text.nats.items()},
            "digest": text.digest,
        },
        "tasks": {
            point: {name: metric.model_dump(mode="json") for name, metric in metrics.items()}
            for point, metrics in values.tasks.items()
        },
        "detected": dict(values.detected),
        "stages": [
            {
                "name": stage.name,
                "steps": stage.steps,
                "questions": stage.questions,
                "parts": dict(stage.parts),
                "tokens": stage.tokens,
                "seconds": stage.seconds,
                "shares": list(stage.epochs.share),
                "chosen": stage.epochs.chosen,
            }
            for stage in values.stages
        ],
        "trained_questions": values.trained_questions,
        "tokens": values.tokens,
        "seconds": values.seconds,
        "scorer": values.scorer,
        "model": values.model,
        "question_set": values.question_set,
        "entities": None if entities is None else {id_: list(names) for id_, names in entities.items()},
    }


def _groups_json(groups: QuestionGroups) -> dict[str, list[str]]:
    return {"types": list(groups.types), "subjects": list(groups.subjects)}


def _groups_of(groups: _Groups) -> QuestionGroups:
    return QuestionGroups(groups.types, groups.subjects)


def _test_of(test: _Test) -> TestValues:
    import numpy as np

    askings = [(one, Asking(one.shots, one.other_type)) for one in test.right]
    return TestValues(
        groups=_groups_of(test.groups),
        right={(one.point, asking): np.array(one.right, dtype=float) for one, asking in askings},
        sets={asking: one.sets for one, asking in askings},
        held_out=np.array(test.held_out, dtype=bool),
        category=None if test.category is None else _codes(test.category),
        digest=test.digest,
    )


def _train_of(train: _Train) -> TrainValues:
    import numpy as np

    return TrainValues(
        ids=tuple(train.ids),
        groups=_groups_of(train.groups),
        detected=_codes(train.detected),
        level={point: _codes(level) for point, level in train.level.items()},
        share={point: np.array(share, dtype=float) for point, share in train.share.items()},
        trained={stage: np.array(trained, dtype=bool) for stage, trained in train.trained.items()},
        digest=train.digest,
    )


def _text_of(text: _Text) -> TextValues:
    import numpy as np

    return TextValues(
        groups=_groups_of(text.groups),
        tokens=np.array(text.tokens, dtype=float),
        nats={point: np.array(nats, dtype=float) for point, nats in text.nats.items()},
        digest=text.digest,
    )


def _stage_of(stage: _Stage) -> StageValues:
    return StageValues(
        name=stage.name,
        steps=stage.steps,
        questions=stage.questions,
        parts=stage.parts,
        tokens=stage.tokens,
        seconds=stage.seconds,
        epochs=EpochValues(tuple(stage.shares), stage.chosen),
    )


def _codes(values: Sequence[int]) -> NDArray[np.int8]:
    import numpy as np

    return np.array(values, dtype=np.int8)


def _same_length(lists: Sequence[Sequence[Any] | None]) -> None:
    if len({len(one) for one in lists if one is not None}) > 1:
        raise ValueError("lists by question are of different lengths")
