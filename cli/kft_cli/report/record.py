"""``report.json`` as it is read: what every renderer and every comparison may rely on.

Keys with a default are not in reports of every version. :func:`check_report` is called once, by the reader.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from kft_cli.report.record_cells import (
    Amount,
    BothChanges,
    BothTested,
    CategoriesRecord,
    MatrixRecord,
    MovementRecord,
    PairedRecord,
    Positive,
    Real,
    ShareRecord,
    check_readings,
)
from kft_cli.report.record_elsewhere import ElsewhereRecord
from kft_cli.report.record_test import Shots, TestRecord
from kft_cli.report.run_layout import BASE
from kft_cli.report.run_records import HardwareRecord
from kft_tasks.categories.header_record import Category
from kft_tasks.records import Count, Loss, Record, parse_record
from kft_train.recipes.recipe import AdapterConfig, ModelConfig, QuestionsConfig, StageConfig


class ProtocolValues(Record):
    """Values of a protocol; those that are missing have the defaults, or those of the protocol that they change."""

    exemplar_sets: Positive = 1
    shots: Shots = 0
    samples: Count = 0
    temperature: Amount = 0.5
    top_k: Positive = 1
    max_tokens: Positive = 1
    scorer: str = ""
    seed: Count = 0
    template: str = ""
    chat: bool = False
    system: str = ""
    exemplars: str = ""
    skip_blank_lines: bool = False


class DetectionProtocol(ProtocolValues):
    """The protocol of the first detection, whole."""

    exemplar_sets: Positive
    shots: Shots
    samples: Count
    temperature: Amount
    top_k: Positive
    scorer: str
    seed: Count


class EvaluationRecord(Record):
    """What was measured; ``retest`` is of older versions."""

    shots: list[Shots]
    first_categories: bool = True
    retest: bool = False
    other_type: bool = False
    measurement: bool = False
    control: bool = False
    text: bool = False
    also: list[str] = Field(default_factory=list)
    also_folder: str | None = None
    also_limit: Count | None = None


class SettingsRecord(Record):
    """The resolved recipe, without its name."""

    seed: Count
    model: ModelConfig
    questions: QuestionsConfig
    protocol: ProtocolValues
    protocols: dict[str, ProtocolValues] = Field(default_factory=dict)
    adapter: AdapterConfig
    stages: list[StageConfig]
    evaluation: EvaluationRecord

    @model_validator(mode="after")
    def _check_protocol(self) -> Self:
        for key in ("seed", "scorer", "samples", "exemplar_sets"):
            if key not in self.protocol.model_fields_set:
                raise ValueError(f"protocol.{key}: missing")
        if "limit" not in self.questions.model_fields_set:
            raise ValueError("questions.limit: missing")
        return self


class RunRecord(Record):
    """What was run."""

    name: str
    description: str
    points: Annotated[list[str], Field(min_length=2)]
    model: str
    weights: str
    dtype: str
    question_set: str
    question_set_version: str
    questions: dict[str, Count]
    protocol: DetectionProtocol
    validation_shots: Shots
    exhaustive: bool
    seed: Count
    settings: SettingsRecord

    @model_validator(mode="after")
    def _check_run(self) -> Self:
        if self.points[0] != BASE or len(set(self.points)) != len(self.points):
            raise ValueError(f"points: must be {BASE} and then every stage once")
        if "validation" not in self.questions:
            raise ValueError("questions.validation: missing")
        return self


class OutcomeRecord(Record):
    """What became of test accuracy."""

    shots: Shots
    outcome: Literal["rose", "fell", "no clear change"]


class ValidationRecord(Record):
    """Validation before and after, which older versions had in the verdict."""

    before: ShareRecord
    after: ShareRecord


class VerdictRecord(Record):
    """The verdict."""

    test: list[OutcomeRecord]
    validation: ValidationRecord | None = None


class AgainstRecord(Record):
    """Movements against the retest, which older versions tested."""

    upgraded: PairedRecord
    forgotten: PairedRecord


class TransitionRecord(Record):
    """What moved between two points."""

    before: str
    after: str
    matrix: MatrixRecord
    movement: MovementRecord
    against_control: AgainstRecord | None = None


class RetestRecord(Record):
    """The base model asked twice."""

    matrix: MatrixRecord
    movement: MovementRecord
    detected: CategoriesRecord | None = None
    shares: CategoriesRecord
    seed: Count
    same_seed: bool
    other_settings: list[str]


class KnownRecord(Record):
    """HighlyKnown questions before and after."""

    before: Count
    after: Count
    clustered: BothChanges

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_readings(self.clustered)
        return self


class MeasuredRow(Record):
    """The change of a group of training questions."""

    group: str
    n: Count
    before: Real | None
    after: Real | None
    main: bool
    clustered: BothTested
    highly_known: KnownRecord

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_readings(self.clustered)
        if self.before is None or self.after is None:
            raise ValueError("before and after: must be numbers")
        return self


class UntrainedRow(MeasuredRow):
    """The same of untrained questions."""

    outcome: Literal["rose", "fell", "no clear change"]


class MeasuredSpan(Record):
    """Changes between two points; the first group is all questions."""

    before: str
    after: str
    rows: Annotated[list[MeasuredRow], Field(min_length=1)]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if "all" not in [row.group for row in self.rows]:
            raise ValueError("rows: no group 'all'")
        return self


class UntrainedSpan(Record):
    """Changes of untrained questions."""

    before: str
    after: str
    rows: Annotated[list[UntrainedRow], Field(min_length=1)]


class TrainedRow(Record):
    """The change of trained or untrained questions of a category."""

    trained: bool
    group: str
    n: Count
    before: Real | None
    after: Real | None
    clustered: BothChanges

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_readings(self.clustered)
        return self


class TrainedSpan(Record):
    """Trained and untrained questions, of a stage."""

    before: str
    after: str
    rows: list[TrainedRow]


class MeasuredRecord(Record):
    """What changed, on exemplars that chose no question."""

    seed: Count
    n: Count
    of: Count
    greedy_only: bool
    exemplar_sets: Positive
    tests: Count
    main_tests: Count
    changes: Annotated[list[MeasuredSpan], Field(min_length=1)]
    against_control: list[MeasuredSpan]
    untrained: UntrainedSpan | None
    trained: list[TrainedSpan]


class PartRecord(Record):
    """A part of a mixture, with the reasons why its questions were taken."""

    name: str
    available: Count
    taken: Count
    reasons: dict[str, Count]


class EpochShare(ShareRecord):
    """Validation after an epoch."""

    epoch: Count
    loss: Loss | None
    validation_loss: Loss | None


class TrainingCost(Record):
    """What training a stage cost."""

    steps: Count
    input_tokens: Count
    loss_tokens: Count
    seconds: Amount
    cpu_seconds: Amount | None = None


_SHOWN_SETTINGS = {
    "num_train_epochs",
    "learning_rate",
    "weight_decay",
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "loss",
}


class StageRecord(Record):
    """What a stage trained on, and its epochs."""

    name: str
    before: str
    settings: StageConfig
    questions: Count
    parts: list[PartRecord]
    scorer: str
    epochs: Annotated[list[EpochShare], Field(min_length=1)]
    chosen_epoch: Count
    better_than_start: bool
    stopped_early: bool | None
    training_cost: TrainingCost

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.chosen_epoch not in [row.epoch for row in self.epochs]:
            raise ValueError(f"chosen_epoch: there is no epoch {self.chosen_epoch}")
        if missing := _SHOWN_SETTINGS - self.settings.model_fields_set:
            raise ValueError(f"settings.{min(missing)}: missing")
        return self


class MovedRow(Record):
    """Trained or untrained questions that moved; against the retest in reports of older versions."""

    trained: bool
    category: str
    movement: str
    share: ShareRecord
    control: ShareRecord | None = None
    against_control: PairedRecord | None = None


class MovedSpan(Record):
    """Trained and untrained questions that moved, of a stage."""

    before: str
    after: str
    rows: list[MovedRow]


class TallyRecord(Record):
    """Right answers out of those asked."""

    right: Count
    asked: Count


class GivenRecord(Record):
    """An answer, and how often it was given."""

    answer: str
    times: Count


class WhyRecord(Record):
    """Why the run's rule finds an answer right or wrong: the rule that decided, and the words it rests on."""

    answer: str
    right: bool
    rule: str
    words: str


class ExampleSide(Record):
    """A question at one point; ``why`` is of the answer given most often, and missing in older reports."""

    category: Category
    greedy: TallyRecord
    given: list[GivenRecord]
    why: WhyRecord | None = None


class ExampleRecord(Record):
    """A question that moved."""

    id: str
    type: str
    question: str
    answers: list[str]
    before: ExampleSide
    after: ExampleSide
    trained_in: list[str]


class ExamplesShown(Record):
    """Some of n questions that moved."""

    n: Count
    shown: list[ExampleRecord]


class ExamplesRecord(Record):
    """Questions that moved from first to last point."""

    before: str
    after: str
    upgraded: ExamplesShown
    forgotten: ExamplesShown


class StepCostRecord(Record):
    """What a step cost, or all of them."""

    seconds: Amount
    cpu_seconds: Amount | None
    prefilled: Amount | None
    decoded: Amount | None
    trained: Amount | None
    made: Amount | None
    saved: Real | None


class NamedStepCost(StepCostRecord):
    """What a step cost."""

    step: str


class RunCost(Record):
    """What a run cost."""

    steps: list[NamedStepCost]
    total: StepCostRecord

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.total.made is None or self.total.saved is None:
            raise ValueError("total.made and total.saved: must be numbers")
        return self


class RepeatRecord(Record):
    """How to repeat the run."""

    command: str
    kft_version: str | None
    created: str | None
    versions: dict[str, str]
    hardware: HardwareRecord
    seeds: dict[str, Count]
    digests: dict[str, str | None]
    files: dict[str, str]
    recipe: str

    @model_validator(mode="after")
    def _check(self) -> Self:
        for key in ("recipe", "protocol"):
            if key not in self.seeds:
                raise ValueError(f"seeds.{key}: missing")
        for key in ("exemplars", "training questions", "model weights", "test questions"):
            if self.digests.get(key) is None:
                raise ValueError(f"digests.{key}: missing")
        return self


class ComparableStage(Record):
    """Movements of a stage, as the paper has them."""

    before: str
    after: str
    greedy_upgraded: ShareRecord
    forgotten: ShareRecord
    never_right_any_more: ShareRecord


class ComparableRecord(Record):
    """What a run shares with the paper."""

    name: str
    n: Count
    shares: CategoriesRecord
    stages: list[ComparableStage]
    highly_known: list[Count]
    growth_of_gain: Real | None


class PaperRecord(Record):
    """The paper's counts."""

    citation: str
    runs: list[ComparableRecord]


class ReportRecord(Record):
    """The whole report."""

    format: str
    run: RunRecord
    verdict: VerdictRecord
    greedy_only: bool = False
    categories: dict[str, CategoriesRecord]
    transitions: Annotated[list[TransitionRecord], Field(min_length=1)]
    control: RetestRecord | None
    measured: MeasuredRecord | None = None
    test: TestRecord
    elsewhere: ElsewhereRecord | None = None
    stages: list[StageRecord]
    trained: list[MovedSpan]
    examples: ExamplesRecord
    cost: RunCost
    repeat: RepeatRecord
    comparable: ComparableRecord
    paper: PaperRecord

    @model_validator(mode="after")
    def _check_parts(self) -> Self:
        points = self.run.points
        if not set(points) <= set(self.categories):
            raise ValueError("categories: a point is missing")
        if self.measured and self.control and self.control.detected is None:
            raise ValueError("control.detected: missing")
        self.test.check_points(points)
        self.test.check_outcomes([row.shots for row in self.verdict.test])
        return self


def check_report(value: dict[str, Any], path: Path) -> None:
    """Check a decoded ``report.json`` whose format is known.

    Raises:
        DataError: it is damaged; the message names the first key that is wrong.
    """
    parse_record(ReportRecord, value, path, "Write it again with `kft report RUN`.", "not a report that can be used")
