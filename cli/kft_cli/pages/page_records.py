"""``benchmark.json`` and ``certainty.json``, measurements of kft itself, as the page of results reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from kft_cli.report.run_records import HardwareRecord
from kft_cli.studies.train_benchmark import CONTENDERS
from kft_tasks.files import read_json
from kft_tasks.records import Count, Record, parse_record

Amount = Annotated[float, Field(ge=0, le=1e15)]
Positive = Annotated[float, Field(gt=0, le=1e15)]


class SettingsRecord(Record):
    """See :class:`kft_cli.studies.benchmark.Settings`."""

    model: str
    type_: str
    dtype: str
    threads: Count
    device: str
    batch_size: Count
    questions: Count


class CostRecord(Record):
    """What one way cost."""

    contender: str
    questions: Count
    seconds: Positive
    cpu_seconds: Positive
    load_seconds: Amount | None = None
    load_cpu_seconds: Amount | None = None
    prefilled: Count
    decoded: Count
    peak_mb: Amount
    gflops: Amount
    matmul_gflops: Amount


class EqualityRecord(Record):
    """Answers and categories that are equal to those of kft exhaustive."""

    greedy_compared: Count
    greedy_equal: Count
    samples_compared: Count
    samples_equal: Count
    categories_compared: Count
    categories_equal: Count


class BenchmarkRecord(Record):
    """The whole of ``benchmark.json``."""

    settings: SettingsRecord
    hardware: HardwareRecord
    versions: dict[str, str]
    equality: dict[str, EqualityRecord]
    results: list[CostRecord]

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_hardware(self.hardware)
        return self


def _check_hardware(hardware: HardwareRecord) -> None:
    if not {"cpu", "cores", "memory_gb", "accelerator"} <= hardware.model_fields_set:
        raise ValueError("hardware: cpu, cores, memory_gb or accelerator is missing")


class TrainSettingsRecord(Record):
    """See :class:`kft_cli.studies.train_benchmark.TrainSettings`."""

    model: str
    type_: str
    threads: Count
    batch_size: Count
    epochs: Count
    dropout: Annotated[float, Field(ge=0, lt=1)]
    rounds: Count
    questions: Count


class PairRecord(Record):
    """Two trainings in turn, and their ratios: plain over kft."""

    round: Count
    cpu_seconds: dict[str, Positive]
    ratio_cpu_seconds: Positive
    ratio_seconds: Positive
    largest_loss_difference: Amount


class TrainCostRecord(Record):
    """What one training cost, and the loss of its steps."""

    round: Count
    load_before: Amount
    contender: str
    questions: Count
    steps: Count
    tokens: Count
    seconds: Positive
    cpu_seconds: Positive
    tokens_per_cpu_second: Positive
    losses: Annotated[list[Amount], Field(min_length=1)]


class TrainBenchmarkRecord(Record):
    """The whole of ``benchmark.json`` of a benchmark of training."""

    settings: TrainSettingsRecord
    hardware: HardwareRecord
    versions: dict[str, str]
    pairs: Annotated[list[PairRecord], Field(min_length=1)]
    results: Annotated[list[TrainCostRecord], Field(min_length=1)]

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_hardware(self.hardware)
        contenders = {one.contender for one in self.results}
        if contenders != set(CONTENDERS) or len({len(one.losses) for one in self.results}) != 1:
            raise ValueError(f"results: must be of {' and '.join(CONTENDERS)}, with the same number of losses")
        return self


class CountsRecord(Record):
    """A number of questions for each category, expected or counted."""

    HighlyKnown: Amount
    MaybeKnown: Amount
    WeaklyKnown: Amount
    Unknown: Amount


class MatrixRecord(Record):
    """Category in the file x category in the retest."""

    HighlyKnown: CountsRecord
    MaybeKnown: CountsRecord
    WeaklyKnown: CountsRecord
    Unknown: CountsRecord


class CellRecord(Record):
    """A smaller protocol."""

    sets: Annotated[int, Field(ge=1, lt=1 << 31)]
    samples: Annotated[int, Field(ge=0, lt=1 << 31)]
    counts: CountsRecord
    agreement: Annotated[float, Field(ge=0, le=1.000001)]
    generations: Count
    lazy_generations: Amount


Pair = Annotated[list[Amount], Field(min_length=2, max_length=2)]


class PriorRecord(Record):
    """Parameters of two beta distributions."""

    greedy: Pair
    sampled: Pair


class ChangesRecord(Record):
    """How many categories a retest is expected to change."""

    expected: Amount
    low: Count
    high: Count


class ForecastRecord(Record):
    """What a retest is expected to give, by one prior."""

    prior: PriorRecord
    questions: Count
    changes: ChangesRecord
    matrix: MatrixRecord


class ForecastsRecord(Record):
    """By both priors."""

    fitted: ForecastRecord
    jeffreys: ForecastRecord


class ObservedRecord(Record):
    """What a retest gave."""

    changes: Count
    matrix: MatrixRecord


class ComparisonRecord(Record):
    """A retest."""

    file: str
    left_out: Count
    observed: ObservedRecord
    expected: ForecastsRecord


class ProtocolSizes(Record):
    """The protocol of the file; of its values only these two are used."""

    exemplar_sets: Count
    shots: Count
    samples: Count
    temperature: Amount
    top_k: Count
    max_tokens: Count
    scorer: str
    seed: Count
    template: str
    chat: bool
    system: str
    exemplars: str = "fixed"
    skip_blank_lines: bool = False


class CertaintyRecord(Record):
    """The whole of ``certainty.json``."""

    file: str
    file_digest: str
    model: str
    protocol: ProtocolSizes
    questions: Annotated[int, Field(ge=1, lt=1 << 63)]
    counts: CountsRecord
    grid: Annotated[list[CellRecord], Field(min_length=1)]
    retest: ForecastsRecord
    comparison: ComparisonRecord | None


def read_measurement(kind: Literal["benchmark", "certainty"], path: Path) -> dict[str, Any]:
    """The content of ``benchmark.json`` or ``certainty.json``, checked.

    Args:
        kind: the name of the file; a benchmark is one of detection or, if it has ``pairs``, of training.
        path: the file.

    Raises:
        DataError: it cannot be read, or is something else.
    """
    value = read_json(path, finite=True)
    record: type[Record] = CertaintyRecord
    if kind == "benchmark":
        record = TrainBenchmarkRecord if isinstance(value, dict) and "pairs" in value else BenchmarkRecord
    parse_record(record, value, path, f"Make it again with `kft {kind}`.", f"not a {kind} that can be shown")
    result: dict[str, Any] = value
    return result
