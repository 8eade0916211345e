"""The runs of a comparison: their reports, and their test answers scored by one rule where these are stored."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kft_cli.comparison.settings import protocol_of_test
from kft_cli.report.measures.accuracy import measure_test, question_values
from kft_cli.report.measures.rounding import rounded
from kft_cli.report.report import build_report, read_report
from kft_cli.report.run_data import is_run, read_run
from kft_cli.report.run_layout import BASE, RunLayout
from kft_cli.stats.groups import QuestionGroups, Reading
from kft_tasks.errors import DataError, UsageError
from kft_tasks.evaluation.evaluate import Asking, TestQuestion, by_question, read_answers
from kft_tasks.scoring.scorers import Scorer, get_scorer

Values = Mapping[tuple[str, Asking], Sequence[float]]
"""Share of right answers of each test question, sorted by question id; by point and way of asking."""


@dataclass(frozen=True)
class LoadedRun:
    """One run of a comparison.

    Attributes:
        name: name of its recipe, or its path where several runs have that name.
        report: content of ``report.json``.
        test: the report's section on test accuracy, with the answers scored by ``scorer``.
        values: the same answers by question.
        sets: number of exemplar sets under which each question was asked, by way of asking.
        groups: types and subjects of the test questions; None where a report does not say.
        scorer: rule for a right answer in ``test``.
        folder: the run folder, which holds the answers given; None for a report alone.
        report_file: the ``report.json`` of a report alone, whose page may hold the answers.
    """

    name: str
    report: Mapping[str, Any]
    test: Mapping[str, Any]
    values: Values
    sets: Mapping[Asking, int]
    groups: QuestionGroups | None
    scorer: str
    folder: Path | None
    report_file: Path | None = None

    @property
    def own_scorer(self) -> str:
        """The rule that the run itself used in its test."""
        return _test_scorer(self.report)

    @property
    def last(self) -> str:
        """The last point."""
        return str(self.report["run"]["points"][-1])

    @property
    def askings(self) -> list[Asking]:
        """The ways in which the test questions were asked, in the recipe's order; other types last."""
        shots = list(self.test["shots"])
        found = [asking for point, asking in self.values if point == BASE]
        return sorted(found, key=lambda asking: (asking.other_type, shots.index(asking.shots)))

    def scored(self, items: Sequence[TestQuestion]) -> list[TestQuestion]:
        """Stored answers of this run with the verdicts of ``scorer``."""
        if self.scorer == self.own_scorer:
            return list(items)
        return [_score(get_scorer(self.scorer), item) for item in items]

    def right(self, asking: Asking) -> Sequence[float]:
        """Share of right answers of each test question at the last point, sorted by question id."""
        return self.values[self.last, asking]

    def before(self, asking: Asking) -> Sequence[float]:
        """The same for the base model."""
        return self.values[BASE, asking]


def asking_of(row: Mapping[str, Any]) -> Asking:
    """How a row's questions were asked; rows of older versions know no exemplars of another type."""
    return Asking(int(row["shots"]), bool(row.get("other_type", False)))


def shared_groups(runs: Sequence[LoadedRun]) -> QuestionGroups | None:
    """Types and subjects of the test questions of runs that were asked the same ones; None where no run says.

    A run of an older version may not know all subjects: the fewest different ones are the best known.
    """
    known = [run.groups for run in runs if run.groups is not None]
    return min(known, key=lambda groups: groups.clusters(Reading.THESE_TYPES).count, default=None)


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
    file = None if folder else _report_file(path)
    report = read_report(file) if file else build_report(path)
    test, name, scorer = report["test"], str(report["run"]["name"]), _test_scorer(report)
    if folder is None:
        values = {(row["point"], asking_of(row)): question_values(row) for row in test["accuracy"]}
        sets = {asking_of(row): int(row.get("sets", 1)) for row in test["accuracy"]}
        return LoadedRun(name, report, test, values, sets, _groups_of(test), scorer, None, file)
    answers = {point: by_question(read_answers(RunLayout(folder).answers(point))) for point in report["run"]["points"]}
    first = next(iter(answers[BASE].values()))
    groups = QuestionGroups([item.type for item in first], [item.subject or item.id for item in first])
    sets = {asking: len(items[0].right) for asking, items in answers[BASE].items()}
    return LoadedRun(name, report, test, _values_of(answers), sets, groups, scorer, folder)


def _groups_of(test: Mapping[str, Any]) -> QuestionGroups | None:
    """The types and subjects in a report: numbers in the order of question ids."""
    groups = test.get("groups")
    if not groups:
        return None
    return QuestionGroups([str(code) for code in groups["types"]], [str(code) for code in groups["subjects"]])


def _values_of(answers: Mapping[str, Mapping[Asking, Sequence[TestQuestion]]]) -> Values:
    return {
        (point, asking): [item.value for item in items]
        for point, ways in answers.items()
        for asking, items in ways.items()
    }


def _report_file(path: Path) -> Path:
    if path.is_file():
        return path
    for file in (path / "report.json", RunLayout(path).report / "report.json"):
        if file.is_file():
            return file
    raise DataError(
        f"{path}: not a run folder, and there is no report.json in it. Make a run with `kft run RECIPE -o {path}`."
    )


def _test_scorer(report: Mapping[str, Any]) -> str:
    """The recipe's: the protocol of a detection names another one where its answers were scored again."""
    return str(protocol_of_test(report)["scorer"])


def _scored_by(run: LoadedRun, rule: str) -> LoadedRun:
    if run.folder is None or run.scorer == rule:
        return run
    scorer = get_scorer(rule)
    data = read_run(run.folder)
    answers = {
        point: {asking: [_score(scorer, item) for item in items] for asking, items in sets.items()}
        for point, sets in data.answers.items()
    }
    test = rounded(measure_test(dataclasses.replace(data, answers=answers)))
    return dataclasses.replace(run, test=test, values=_values_of(answers), scorer=rule)


def _score(scorer: Scorer, item: TestQuestion) -> TestQuestion:
    right = tuple(scorer(given, item.answers, item.question) for given in item.given)
    return dataclasses.replace(item, right=right)


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
