"""The runs of a comparison: their reports, and their test answers scored by one rule where these are stored."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kft_cli.report.measures.accuracy import measure_test
from kft_cli.report.measures.rounding import rounded
from kft_cli.report.report import build_report, read_report
from kft_cli.report.run_data import is_run, read_run
from kft_cli.report.run_layout import BASE, RunLayout
from kft_tasks.errors import DataError, UsageError
from kft_tasks.evaluation.evaluate import TestQuestion
from kft_tasks.scoring.scorers import get_scorer


@dataclass(frozen=True)
class LoadedRun:
    """One run of a comparison.

    Attributes:
        name: name of its recipe, or its path where several runs have that name.
        report: content of ``report.json``.
        test: the report's section on test accuracy, with the answers scored by ``scorer``.
        scorer: rule for a right answer in ``test``.
        folder: the run folder, which holds the answers given; None for a report alone.
    """

    name: str
    report: Mapping[str, Any]
    test: Mapping[str, Any]
    scorer: str
    folder: Path | None

    @property
    def own_scorer(self) -> str:
        """The rule that the run itself used in its test."""
        return _test_scorer(self.report)

    @property
    def last(self) -> str:
        """The last point."""
        return str(self.report["run"]["points"][-1])

    def right(self, shots: int) -> list[bool]:
        """Whether each test question is answered right at the last point, sorted by question id."""
        rows = self.test["accuracy"]
        row = next(row for row in rows if (row["point"], row["shots"]) == (self.last, shots))
        return [digit == "1" for digit in row["right"]]

    def change(self, shots: int) -> float:
        """Test accuracy at the last point minus that of the base model."""
        rows = self.test["differences"]
        row = next(row for row in rows if (row["shots"], row["before"], row["after"]) == (shots, BASE, self.last))
        return float(row["difference"])


def load_runs(paths: Sequence[Path], scorer: str | None = None) -> list[LoadedRun]:
    """Load runs; score stored answers again where they were scored by another rule than ``scorer``.

    Args:
        scorer: that of the first run where it is not given. A report alone holds no answers and keeps its own.

    Raises:
        UsageError: a run is named twice, or there is no such scorer.
        DataError: a path is no run and no report, or a run is not finished.
    """
    if scorer is not None:
        get_scorer(scorer)
    loaded = [_load(path) for path in paths]
    rule = scorer or loaded[0].scorer
    names = _names(paths, loaded)
    return [dataclasses.replace(_scored_by(run, rule), name=name) for run, name in zip(loaded, names, strict=True)]


def _load(path: Path) -> LoadedRun:
    """The run of a path. A run folder is measured again, since a report in it may be out of date."""
    folder = path if is_run(path) else None
    report = build_report(path) if folder else _read(path)
    return LoadedRun(str(report["run"]["name"]), report, report["test"], _test_scorer(report), folder)


def _read(path: Path) -> dict[str, Any]:
    if path.is_file():
        return read_report(path)
    for file in (path / "report.json", RunLayout(path).report / "report.json"):
        if file.is_file():
            return read_report(file)
    raise DataError(
        f"{path}: not a run folder, and there is no report.json in it. Make a run with `kft run RECIPE -o {path}`."
    )


def _test_scorer(report: Mapping[str, Any]) -> str:
    """The recipe's: the protocol of a detection names another one where its answers were scored again."""
    return str(report["run"]["settings"]["protocol"]["scorer"])


def _scored_by(run: LoadedRun, rule: str) -> LoadedRun:
    if run.folder is None or run.scorer == rule:
        return run
    scorer = get_scorer(rule)

    def score(item: TestQuestion) -> TestQuestion:
        right = tuple(scorer(given, item.answers, item.question) for given in item.given)
        return dataclasses.replace(item, right=right)

    data = read_run(run.folder)
    answers = {
        point: {asking: [score(item) for item in items] for asking, items in sets.items()}
        for point, sets in data.answers.items()
    }
    test = rounded(measure_test(dataclasses.replace(data, answers=answers)))
    return dataclasses.replace(run, test=test, scorer=rule)


def _names(paths: Sequence[Path], runs: Sequence[LoadedRun]) -> list[str]:
    """Recipe names if they are distinct, else paths."""
    names = [run.name for run in runs]
    if len(set(names)) < len(names):
        names = [str(path) for path in paths]
    if len(set(names)) < len(names):
        raise UsageError(f"{_duplicate(names)}: named twice. Name each run once.")
    return names


def _duplicate(names: Sequence[str]) -> str:
    return next(name for index, name in enumerate(names) if name in names[:index])
