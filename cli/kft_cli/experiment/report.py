"""The report of an experiment's folder: ``experiment.json`` and the page that is rendered from it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from kft_cli.display.console import narrate
from kft_cli.experiment.costs import ExperimentCost
from kft_cli.experiment.differences import Runs
from kft_cli.experiment.file import ExperimentFile, read_experiment_file
from kft_cli.experiment.layout import ExperimentLayout
from kft_cli.experiment.page import render_experiment_page
from kft_cli.experiment.render import render_experiment
from kft_cli.experiment.results import Plan, experiment_record
from kft_cli.experiment.values import RunValues, read_entities, read_values
from kft_cli.report.run_data import SharedFiles
from kft_cli.report.run_layout import RunLayout
from kft_tasks.errors import DataError
from kft_tasks.files import atomic_write, write_json
from kft_tasks.records import read_record
from kft_train.recipes.plan import steps_of
from kft_train.recipes.recipe import load_recorded_recipe


def is_experiment(folder: Path) -> bool:
    """Whether ``kft experiment`` made this folder."""
    return ExperimentLayout(folder).file.is_file()


def write_experiment(folder: Path) -> Path:
    """Write ``experiment.json``, ``.md`` and ``.html`` from the finished runs of an experiment's folder.

    Runs that are not finished are left out, and the page names them.

    Returns:
        The path of ``experiment.md``.

    Raises:
        DataError: no run is finished, or one is damaged or of another model than the others.
        RecipeError: the folder's ``experiment.yaml`` cannot be read.
    """
    layout = ExperimentLayout(folder)
    file = read_experiment_file(layout.file)
    runs = read_finished(layout, file)
    cost = read_record(ExperimentCost, layout.cost, "Remove it.") if layout.cost.is_file() else None
    record = experiment_record(plan_of(file), runs, _entities(layout, runs), cost)
    write_json(layout.record, record.model_dump(mode="json"))
    with atomic_write(layout.page) as stream:
        stream.write(render_experiment(record))
    with atomic_write(layout.html) as stream:
        stream.write(render_experiment_page(record))
    return layout.page


def plan_of(file: ExperimentFile) -> Plan:
    """What an experiment's file says, as its record needs it."""
    arms = {name: "" if arm is None else arm.description for name, arm in file.arms.items()}
    return Plan(file.name, file.description, arms, tuple(file.seeds), tuple(file.hypotheses))


def has_finished_runs(folder: Path) -> bool:
    """Whether there is anything to report."""
    layout = ExperimentLayout(folder)
    return next(_finished(layout, read_experiment_file(layout.file)), None) is not None


def read_finished(layout: ExperimentLayout, file: ExperimentFile) -> Runs:
    """The runs of an experiment that are finished, by arm and seed.

    Raises:
        DataError: a finished run is damaged.
    """
    found: dict[tuple[str, int], RunValues] = {}
    shared = SharedFiles()
    for arm, seed in _finished(layout, file):  # seed by seed: its arms have most in common
        found[arm, seed] = read_values(layout.run(arm, seed), shared)
    left = len(file.arms) * len(file.seeds) - len(found)
    if left:
        narrate(f"{left} runs are not finished. The report is of the other {len(found)}.")
    return found


def _finished(layout: ExperimentLayout, file: ExperimentFile) -> Iterator[tuple[str, int]]:
    """Arms and seeds whose run has all its steps."""
    for seed in file.seeds:
        for arm in file.arms:
            run = RunLayout(layout.run(arm, seed))
            if not run.recipe.is_file() or not run.about.is_file():
                continue
            steps = [step.name for step in steps_of(load_recorded_recipe(run.recipe))]
            if all(run.step_record(name).is_file() for name in steps):
                yield arm, seed


def _entities(layout: ExperimentLayout, runs: Runs) -> dict[str, tuple[str, ...]] | None:
    """Entities of the measured questions, which are those of every run."""
    key = next((key for key, run in runs.items() if run.train is not None), None)
    if key is None:
        return None
    found = read_entities(layout.run(*key))
    ids = set(found)
    same = all(run.train is None or set(run.train.ids) <= ids for run in runs.values())
    if not same:
        raise DataError(
            f"{layout.folder}: the runs measured different questions. Run the experiment again in another folder."
        )
    return found
