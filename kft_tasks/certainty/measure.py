"""The price of certainty: what cheaper protocols would have found, and how many categories a retest would change.

Reads an exhaustive category file. Memory holds four bytes per question, and the categories of the retest.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kft_tasks.categories.answer_scorer import AnswerScorer
from kft_tasks.categories.category import KnowledgeCategory
from kft_tasks.categories.category_file import CategorizedQuestion, CategoryFile
from kft_tasks.certainty.retest import (
    Changes,
    ExemplarOutcomes,
    Prior,
    change_chance,
    exemplar_outcomes,
    expected_changes,
    fit_prior,
    retest_chances,
)
from kft_tasks.certainty.subsets import SetScores, score_sets, smaller_protocol
from kft_tasks.errors import DataError, UsageError
from kft_tasks.files import atomic_write, json_line, sha256_of_file
from kft_tasks.progress import ProgressCallback, no_progress
from kft_tasks.protocol.protocol import RecordedProtocol

GRID_SETS = (1, 2, 4, 6, 8, 10)
GRID_SAMPLES = (0, 1, 2, 4, 8, 16)

Matrix = dict[KnowledgeCategory, dict[KnowledgeCategory, float]]
"""Number of questions by category in this file (outer) and in the retest (inner)."""


@dataclass
class Cell:
    """One smaller protocol, summed over the questions.

    Attributes:
        counts: expected number of questions of each category.
        agreeing: expected number of questions with the category of the full protocol.
        greedy, sampled: expected number of answers that lazy detection asks for.
    """

    sets: int
    samples: int
    counts: dict[KnowledgeCategory, float] = field(default_factory=lambda: dict.fromkeys(KnowledgeCategory, 0.0))
    agreeing: float = 0.0
    greedy: float = 0.0
    sampled: float = 0.0

    def add(self, category: KnowledgeCategory, scores: SetScores) -> None:
        """Count one question, whose category under the full protocol is ``category``."""
        small = smaller_protocol(scores, self.sets, self.samples)
        for name, chance in small.chances.items():
            self.counts[name] += chance
        self.agreeing += small.chances[category]
        self.greedy += small.greedy
        self.sampled += small.sampled

    def to_json(self, questions: int) -> dict[str, Any]:
        """Counts, agreement as a share, and generations per question."""
        return {
            "sets": self.sets,
            "samples": self.samples,
            "counts": {category.value: count for category, count in self.counts.items()},
            "agreement": self.agreeing / questions,
            "generations": self.sets * (1 + self.samples),
            "lazy_generations": (self.greedy + self.sampled) / questions,
        }


@dataclass
class Forecast:
    """What a retest of the same questions is expected to give.

    Attributes:
        chances: number of questions by their chance of a change.
        matrix: expected number of questions by category in the file and in the retest.
    """

    prior: Prior
    sets: int
    sampling: bool
    chances: Counter[float] = field(default_factory=Counter)
    matrix: Matrix = field(default_factory=lambda: _empty_matrix())

    def add(self, category: KnowledgeCategory, outcomes: ExemplarOutcomes) -> float:
        """Count one question; return the chance that its category changes."""
        chance = change_chance(outcomes, self.sets, self.prior, sampling=self.sampling)
        self.chances[chance] += 1
        for after, part in retest_chances(outcomes, self.sets, self.prior, sampling=self.sampling).items():
            self.matrix[category][after] += part
        return chance

    def changes(self) -> Changes:
        """Expected number of changed categories, with its interval."""
        return expected_changes(self.chances)

    def to_json(self) -> dict[str, Any]:
        """Prior, expected changes with interval, and the expected matrix."""
        return {
            "prior": {"greedy": list(self.prior.greedy), "sampled": list(self.prior.sampled)},
            "questions": sum(self.chances.values()),
            "changes": self.changes()._asdict(),
            "matrix": _matrix_json(self.matrix),
        }


@dataclass
class Comparison:
    """A second detection compared with what was expected of it, over the questions that both files hold.

    Attributes:
        left_out: number of questions that only one of the two files holds.
    """

    path: Path
    expected: tuple[Forecast, Forecast]
    observed: Matrix = field(default_factory=lambda: _empty_matrix())
    left_out: int = 0

    def add(self, category: KnowledgeCategory, outcomes: ExemplarOutcomes, after: KnowledgeCategory | None) -> None:
        """Count one question; ``after`` is its category in the retest, None if the retest does not hold it."""
        if after is None:
            self.left_out += 1
            return
        self.observed[category][after] += 1
        for forecast in self.expected:
            forecast.add(category, outcomes)

    @property
    def changed(self) -> int:
        """Number of questions whose category differs."""
        return int(sum(n for row, line in self.observed.items() for column, n in line.items() if row is not column))

    def to_json(self) -> dict[str, Any]:
        """Observed changes, and what both priors expected for the same questions."""
        fitted, jeffreys = self.expected
        return {
            "file": str(self.path),
            "left_out": self.left_out,
            "observed": {"changes": self.changed, "matrix": _matrix_json(self.observed)},
            "expected": {"fitted": fitted.to_json(), "jeffreys": jeffreys.to_json()},
        }


@dataclass
class Certainty:
    """The whole result for one category file."""

    path: Path
    digest: str
    file: CategoryFile
    questions: int
    cells: list[Cell]
    fitted: Forecast
    jeffreys: Forecast
    comparison: Comparison | None = None

    def to_json(self) -> dict[str, Any]:
        """The result as JSON values."""
        header = self.file.header
        return {
            "file": str(self.path),
            "file_digest": self.digest,
            "model": header.model.id,
            "protocol": header.protocol.to_json(),
            "questions": self.questions,
            "counts": {category.value: header.counts.get(category.value, 0) for category in KnowledgeCategory},
            "grid": [cell.to_json(self.questions) for cell in self.cells],
            "retest": {"fitted": self.fitted.to_json(), "jeffreys": self.jeffreys.to_json()},
            "comparison": self.comparison.to_json() if self.comparison else None,
        }


def measure_certainty(
    path: Path,
    *,
    sets: Sequence[int] | None = None,
    samples: Sequence[int] | None = None,
    per_question: Path | None = None,
    retest: Path | None = None,
    progress: ProgressCallback = no_progress,
) -> Certainty:
    """Measure what smaller protocols would have found and what a retest is expected to change.

    Args:
        path: an exhaustive category file.
        sets, samples: of the smaller protocols; by default those of ``GRID_SETS`` and ``GRID_SAMPLES`` that fit.
        per_question: JSON Lines file to write the chances of every question to.
        retest: a second category file of the same model and protocol with another seed, lazy or exhaustive.

    Raises:
        DataError: a lazy, broken or empty file, or a retest of none of its questions.
        UsageError: a grid that exceeds the protocol, or a retest of another model or protocol.
    """
    file = _open_exhaustive(path)
    cells = _grid(file.header.protocol, sets, samples)
    again = None if retest is None else _retest_categories(file, retest)
    outcomes = _score_all(file, cells, progress)
    priors = fit_prior(outcomes.census()), Prior()
    result = Certainty(path, sha256_of_file(path), file, len(outcomes.codes), cells, *_forecasts(file, priors))
    if retest is not None and again is not None:
        result.comparison = Comparison(retest, _forecasts(file, priors))
    with nullcontext() if per_question is None else atomic_write(per_question) as stream:
        for item, own in zip(file, outcomes, strict=True):
            chances = result.fitted.add(item.category, own), result.jeffreys.add(item.category, own)
            if stream is not None:
                stream.write(_question_line(item, own, chances, result.fitted))
            if result.comparison is not None and again is not None:
                result.comparison.add(item.category, own, again.pop(item.question.id, None))
    if result.comparison is not None and again is not None:
        result.comparison.left_out += len(again)
    return result


def relabel_chances(path: Path, progress: ProgressCallback = no_progress) -> Iterator[float]:
    """For each question of an exhaustive file, in its order, the chance that a retest gives another category.

    Raises:
        DataError: a lazy, broken or empty file.
    """
    file = _open_exhaustive(path)
    outcomes = _score_all(file, [], progress)
    forecast, _ = _forecasts(file, (fit_prior(outcomes.census()), Prior()))
    return (change_chance(own, forecast.sets, forecast.prior, sampling=forecast.sampling) for own in outcomes)


class _AllOutcomes:
    """The outcomes of every question, in the order of the file: four bytes each."""

    def __init__(self) -> None:
        self.codes = array("I")
        self._numbers: dict[ExemplarOutcomes, int] = {}

    def add(self, outcomes: ExemplarOutcomes) -> None:
        self.codes.append(self._numbers.setdefault(outcomes, len(self._numbers)))

    def census(self) -> dict[ExemplarOutcomes, int]:
        counts = Counter(self.codes)
        return {outcomes: counts[number] for outcomes, number in self._numbers.items()}

    def __iter__(self) -> Iterator[ExemplarOutcomes]:
        known = list(self._numbers)
        return (known[code] for code in self.codes)


def _open_exhaustive(path: Path) -> CategoryFile:
    file = CategoryFile(path)
    if not file.header.exhaustive:
        raise DataError(f"{path}: was detected lazily and does not hold all answers. Detect again, exhaustively.")
    if not file.header.questions.count:
        raise DataError(f"{path}: holds no questions. Detect some.")
    return file


def _grid(protocol: RecordedProtocol, sets: Sequence[int] | None, samples: Sequence[int] | None) -> list[Cell]:
    across = _axis("sets", sets, GRID_SETS, 1, protocol.exemplar_sets)
    down = _axis("samples", samples, GRID_SAMPLES, 0, protocol.samples)
    return [Cell(number, drawn) for number in across for drawn in down]


def _axis(name: str, chosen: Sequence[int] | None, usual: Sequence[int], minimum: int, full: int) -> list[int]:
    """The values asked for in ascending order, always including the full protocol's own."""
    for value in chosen or ():
        if not minimum <= value <= full:
            raise UsageError(f"{name} {value}: the file has {full}. Choose numbers from {minimum} to {full}.")
    values = usual if chosen is None else chosen
    return sorted({full, *(value for value in values if value <= full)})


def _score_all(file: CategoryFile, cells: Sequence[Cell], progress: ProgressCallback) -> _AllOutcomes:
    """Score every answer once: fill the cells, return the outcomes."""
    protocol, total = file.header.protocol, file.header.questions.count
    scorer = AnswerScorer(protocol.scorer)
    outcomes = _AllOutcomes()
    for item in file:
        scores = _scores(item, scorer, protocol, file.path)
        outcomes.add(exemplar_outcomes(scores))
        for cell in cells:
            cell.add(item.category, scores)
        progress(len(outcomes.codes), total, "")
    return outcomes


def _scores(item: CategorizedQuestion, scorer: AnswerScorer, protocol: RecordedProtocol, path: Path) -> SetScores:
    """Score the answers to one question again; they must give the counts that the file states."""
    id_ = item.question.id
    if (item.greedy.asked, item.sampled.asked) != (protocol.exemplar_sets, protocol.sampled_total):
        raise DataError(f"{path}: question {id_!r} lacks answers. Detect again, exhaustively.")
    sets = scorer.score(item.question, item.greedy_answers, item.sampled_answers)
    right, hits = [one.right is True for one in sets], [one.hits or 0 for one in sets]
    if (sum(right), sum(hits)) != (item.greedy.right, item.sampled.right):
        raise DataError(
            f"{path}: question {id_!r}: this version's {protocol.scorer} does not give the counts of the file. "
            f"Rescore the file with {protocol.scorer}."
        )
    return score_sets(right, hits, protocol.samples)


def _forecasts(file: CategoryFile, priors: tuple[Prior, Prior]) -> tuple[Forecast, Forecast]:
    protocol = file.header.protocol
    first, second = (Forecast(prior, protocol.exemplar_sets, protocol.samples > 0) for prior in priors)
    return first, second


def _retest_categories(file: CategoryFile, path: Path) -> dict[str, KnowledgeCategory]:
    other = CategoryFile(path)
    mine, theirs = file.header.protocol.to_json(), other.header.protocol.to_json()
    if not file.header.model.same_weights(other.header.model):
        raise UsageError(
            f"{path}: made with other weights, or with weights that are not recorded, so it is no retest. Detect the "
            "same model again."
        )
    different = [key for key in mine if mine[key] != theirs[key] and key != "seed"]
    if different:
        raise UsageError(f"{path}: made with another {' and '.join(different)}. Change nothing but the seed.")
    if mine["seed"] == theirs["seed"]:
        raise UsageError(
            f"{path}: made with the same seed, so with the same exemplars and samples. "
            f"Detect again with seed {mine['seed'] + 1}."
        )
    found = {item.question.id: item.category for item in other}
    if not any(item.question.id in found for item in file):
        raise DataError(f"{path}: holds none of the questions of {file.path}. Name a retest of the same questions.")
    return found


def _question_line(
    item: CategorizedQuestion, outcomes: ExemplarOutcomes, chances: tuple[float, float], fitted: Forecast
) -> str:
    predicted = retest_chances(outcomes, fitted.sets, fitted.prior, sampling=fitted.sampling)
    fitted_chance, jeffreys_chance = chances
    return json_line(
        {
            "id": item.question.id,
            "type": item.question.type,
            "category": item.category.value,
            "sets": outcomes._asdict(),
            "change": fitted_chance,
            "change_jeffreys": jeffreys_chance,
            "retest": {category.value: chance for category, chance in predicted.items()},
        }
    )


def _empty_matrix() -> Matrix:
    return {row: dict.fromkeys(KnowledgeCategory, 0.0) for row in KnowledgeCategory}


def _matrix_json(matrix: Matrix) -> dict[str, dict[str, float]]:
    return {row.value: {column.value: count for column, count in line.items()} for row, line in matrix.items()}
