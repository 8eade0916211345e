"""``experiment.json``: all that the page of an experiment shows, as a closed record."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from kft_cli.experiment.costs import ExperimentCost
from kft_cli.experiment.hypothesis import Hypothesis, Measure, Questions
from kft_cli.report.record_cells import Amount, Interval, P, Positive, Real
from kft_tasks.files import read_json
from kft_tasks.records import Count, Record, Share, parse_record

FORMAT: Literal["kft-experiment/1"] = "kft-experiment/1"

CategoryName = Literal["HighlyKnown", "MaybeKnown", "WeaklyKnown", "Unknown"]
LevelName = Literal["HighlyKnown", "MaybeKnown", "NeverRight"]


class SpreadRecord(Record):
    """A number of each seed: mean and extremes."""

    mean: Real
    least: Real
    most: Real


class LevelRecord(Interval):
    """Mean over seeds with its interval over seeds and clusters of questions."""

    mean: Real
    deviation: Amount | None
    seeds: Positive

    @property
    def known(self) -> bool:
        """Whether there is an interval."""
        return self.low is not None


class ChangeRecord(Interval):
    """A difference over seeds, by the reading that decides."""

    difference: Real | None
    per_seed: list[Real | None]
    reading: str | None
    clusters: Count
    standard_error: Amount | None
    degrees_of_freedom: Amount | None
    p_sign_flips: P | None
    p_crossed_t: P | None
    detectable: Amount | None
    reason: str | None


class HypothesisRecord(Record):
    """A hypothesis with its answer; ``arm_mean`` and ``against_mean`` are the quantity itself."""

    hypothesis: Hypothesis
    seeds: list[int]
    arm_mean: Real | None
    against_mean: Real | None
    change: ChangeRecord
    p: P | None
    holm_p: P | None
    p_small: P | None
    holm_p_small: P | None
    smallest_p: P
    large_enough: bool
    verdict: Literal["supported", "contradicted", "not settled"]
    why: str


class ExploratoryRecord(Record):
    """A comparison that no hypothesis asked for."""

    measure: Measure
    shots: Count | None
    questions: Questions
    task: str | None
    arm: str
    against: str
    seeds: Count
    change: ChangeRecord


class StageRecord(Record):
    """A stage of an arm: numbers of each seed."""

    name: str
    steps: SpreadRecord
    questions: SpreadRecord
    parts: dict[str, SpreadRecord]
    tokens: SpreadRecord
    seconds: SpreadRecord


class ArmRecord(Record):
    """An arm; ``steps`` are those of all stages, ``tokens`` and ``seconds`` those of all steps of its runs."""

    name: str
    description: str
    seeds: list[int]
    points: list[str]
    stages: list[StageRecord]
    steps: SpreadRecord
    questions: SpreadRecord
    tokens: SpreadRecord
    seconds: SpreadRecord


class AccuracyRecord(Record):
    """Test accuracy of an arm at a point."""

    arm: str
    point: str
    shots: Count
    other_type: bool
    sets: Positive
    held_out_types: bool
    n: Count
    level: LevelRecord
    from_base: ChangeRecord | None


class KnownRecord(Record):
    """HighlyKnown training questions on the draw that measures; ``n`` and ``count`` are means over seeds."""

    arm: str
    point: str
    questions: Questions
    n: Amount
    count: Amount
    level: LevelRecord
    from_base: ChangeRecord | None


class KeptRecord(Record):
    """What became of the questions that the base model's detection found HighlyKnown; counts are means over seeds."""

    arm: str
    point: str
    n: Amount
    kept: Amount
    maybe: Amount
    never: Amount
    level: LevelRecord
    from_base: ChangeRecord | None


class MatrixRecord(Record):
    """Category in the base model's detection x greedy level on the draw that measures: means over seeds."""

    arm: str
    point: str
    counts: dict[CategoryName, dict[LevelName, Amount]]


class CategoryRecord(Record):
    """Test accuracy of the questions of a first category; ``n`` is the mean over seeds."""

    arm: str
    point: str
    shots: Count
    category: CategoryName
    n: Amount
    mean: Share
    deviation: Amount | None


class EpochRecord(Record):
    """Validation accuracy at an epoch of a stage, and how many seeds kept that epoch."""

    arm: str
    stage: str
    epoch: Count
    seeds: Positive
    mean: Share
    deviation: Amount | None
    chosen: Count


class GrowthRecord(Record):
    """Both ways of counting behind the paper's "24 %".

    ``counts``: mean number of HighlyKnown questions at the base model, after the first and after the last stage;
    ``of_count``: growth of the count from first to last stage; ``of_gain``: growth of the gain over the base model.
    """

    arm: str
    counts: Annotated[list[Amount], Field(min_length=3, max_length=3)]
    of_count: Real | None
    of_gain: ChangeRecord


class MoveRecord(Record):
    """Questions whose level rose, fell or stayed from one point to the next: means over seeds."""

    arm: str
    before: str
    after: str
    higher: Amount
    lower: Amount
    same: Amount


class GraphRecord(Record):
    """Do upgraded questions touch the trained ones in the graph of entities more than chance has it?

    Attributes:
        nodes, edges, components: of the graph of all measured questions.
        untrained: questions that could have been upgraded, mean over seeds.
        upgraded: those that were, mean over seeds.
        touching: share of the upgraded ones that share an entity with a trained question.
        expected: the same share if the upgraded ones were any of the untrained ones of their type and category.
        low, high: 95 % of the permutations, for the mean over seeds.
        p: two-sided, of the permutations.
        nodes_touching: share of the upgraded questions' entities that are entities of trained questions or next to one;
            the paper's 81.5 % is of this kind.
    """

    arm: str
    stage: str
    seeds: Positive
    nodes: Count
    edges: Count
    components: Count
    untrained: Amount
    upgraded: Amount
    touching: Share | None
    expected: Share | None
    low: Share | None
    high: Share | None
    p: P | None
    permutations: Count
    nodes_touching: Share | None
    nodes_expected: Share | None


class TextRecord(Record):
    """Loss of the held-out text of an arm at a point, in nats per token."""

    arm: str
    point: str
    level: LevelRecord
    from_base: ChangeRecord | None


class TaskRecord(Record):
    """A further task of an arm at a point."""

    arm: str
    point: str
    task: str
    metric: str
    level: LevelRecord
    stderr: Amount | None
    from_base: ChangeRecord | None


class ExperimentRecord(Record):
    """The whole of ``experiment.json``."""

    format: Literal["kft-experiment/1"]
    name: str
    description: str
    kft_version: str
    model: str
    question_set: str
    scorer: str
    train_questions: Count
    test_questions: Count
    passages: Count
    text_tokens: Count
    held_out_types: Count
    seeds: list[int]
    missing: list[str]
    hypotheses: list[HypothesisRecord]
    reach: str | None
    arms: Annotated[list[ArmRecord], Field(min_length=1)]
    accuracy: list[AccuracyRecord]
    highly_known: list[KnownRecord]
    kept: list[KeptRecord]
    by_category: list[CategoryRecord]
    transitions: list[MatrixRecord]
    growth: list[GrowthRecord]
    moves: list[MoveRecord]
    epochs: list[EpochRecord]
    graph: list[GraphRecord]
    text: list[TextRecord]
    tasks: list[TaskRecord]
    exploratory: list[ExploratoryRecord]
    cost: ExperimentCost | None

    @model_validator(mode="after")
    def _check(self) -> Self:
        names = [arm.name for arm in self.arms]
        if len(set(names)) < len(names):
            raise ValueError("arms: a name is duplicated")
        for matrix in self.transitions:
            if len(matrix.counts) != 4 or any(len(line) != 3 for line in matrix.counts.values()):
                raise ValueError("transitions: not of four categories and three levels")
        return self


def read_experiment(path: Path) -> ExperimentRecord:
    """Read ``experiment.json``.

    Raises:
        DataError: it cannot be read, or is something else.
    """
    value = read_json(path, dict, finite=True)
    return parse_record(
        ExperimentRecord, value, path, "Write it again with `kft report FOLDER`.", "not the record of an experiment"
    )
