"""Experiments with a tiny model: each step once, the same results as plain runs, failures, kills."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import kill_experiment
from experiment_helpers import TWO, InlineLauncher, Told, prepared, run_inline, write_experiment
from kft_cli.commands import experiment as command_module
from kft_cli.experiment import engine, launchers
from kft_cli.experiment import report as report_module
from kft_cli.experiment.engine import Prepared, check_finished, failures, is_over
from kft_cli.experiment.launchers import LocalLauncher
from kft_cli.experiment.store import Store
from kft_cli.experiment.worker_state import StateFile
from kft_cli.main import main
from kft_cli.pipeline.pipeline import Pipeline
from kft_cli.report.run_data import read_run
from kft_tasks.errors import StateError
from kft_tasks.files import remove
from kill_runs import contents, make_project

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")  # between libraries


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    make_project(folder)
    return folder


ARMS: dict[str, Any] = {"no-training": None, **TWO}


@pytest.fixture(scope="module")
def whole(project: Path) -> Path:
    """A finished experiment."""
    run_inline(prepared(project, project / "whole", arms=ARMS))
    return project / "whole"


@pytest.fixture
def copied(whole: Path, tmp_path: Path) -> Callable[..., tuple[Prepared, Told]]:
    """Change a copy of the finished experiment, and run it again with other values."""

    def run(change: Callable[[Prepared], object] = lambda one: None, **values: Any) -> tuple[Prepared, Told]:
        folder = tmp_path / "copy"
        shutil.copytree(whole, folder)
        one = prepared(whole.parent, folder, **{"arms": ARMS, **values})
        change(one)
        return one, run_inline(one)

    return run


def test_its_runs_are_those_of_plain_runs(whole: Path, project: Path, tmp_path: Path) -> None:
    one = prepared(project, tmp_path / "again", arms=ARMS)
    Pipeline(one.pipelines[2].recipe, tmp_path / "seed-1", ["kft", "run"]).execute()
    assert contents(tmp_path / "seed-1") == contents(whole / "runs" / "method" / "seed-1")
    assert read_run(whole / "runs" / "no-training" / "seed-1").points == ("base",)
    assert not (whole / "runs" / "no-training" / "seed-1" / "report").exists()


def test_a_finished_experiment_starts_no_worker(whole: Path, project: Path) -> None:
    launcher = InlineLauncher()
    engine.execute(prepared(project, whole, arms=ARMS), launcher, 2, Told())
    assert launcher.started == 0


def test_an_arm_that_is_added_later_does_only_what_is_new(copied: Callable[..., tuple[Prepared, Told]]) -> None:
    slow = {"stages": ["stage1", "stage2"], "set": {"stages.1.learning_rate": 0.001}}
    one, told = copied(arms={**ARMS, "slow": slow})
    assert sorted(told.done) == ["evaluate-stage2", "measure-stage2", "stage2"]
    assert (one.layout.run("slow", 1) / "report" / "report.json").is_file()


def test_what_is_damaged_is_done_again_and_nothing_else(copied: Callable[..., tuple[Prepared, Told]]) -> None:
    def damage(one: Prepared) -> None:
        key = one.graph.runs[1].steps["evaluate-stage1"]
        path = one.layout.home(key) / "evaluate-stage1" / "answers.jsonl"
        text = path.read_text(encoding="utf-8")
        path.unlink()
        path.write_text(text.replace("even", "evil"), encoding="utf-8")

    one, told = copied(damage)
    assert told.done == ["evaluate-stage1"]
    answers = [one.layout.run(arm, 1) / "evaluate-stage1" / "answers.jsonl" for arm in ("stage1", "method")]
    assert answers[0].samefile(answers[1])
    assert "evil" not in answers[0].read_text(encoding="utf-8")
    assert (one.layout.run("method", 1) / "report" / "report.json").is_file()


def test_a_step_that_others_were_made_from_is_made_again_and_they_stay(
    copied: Callable[..., tuple[Prepared, Told]],
) -> None:
    def lose(one: Prepared) -> None:
        shutil.rmtree(one.layout.home(one.graph.runs[2].steps["detect-base"]))

    _, told = copied(lose)
    assert told.done == ["detect-base"]


def test_runs_that_left_their_values_are_not_done_again_and_are_reported(
    project: Path, whole: Path, tmp_path: Path
) -> None:
    shutil.copytree(whole, tmp_path / "copy")
    before = report_module.write_experiment(tmp_path / "copy").read_bytes()
    for gone in ("runs", "steps", "graph.json"):
        remove(tmp_path / "copy" / gone)
    one = prepared(project, tmp_path / "copy", arms=ARMS)
    assert one.graph.runs == []
    launcher = InlineLauncher()
    engine.execute(one, launcher, 1, Told())
    assert launcher.started == 0
    assert report_module.write_experiment(tmp_path / "copy").read_bytes() == before
    with pytest.raises(StateError, match="is of another recipe than arm method has now"):
        prepared(project, tmp_path / "copy", arms={"method": {"set": {"stages.0.learning_rate": 0.5}}})


BROKEN = {"stages": ["stage1"], "set": {"stages.0.mixture": [{"name": "none", "now": ["HighlyKnown"], "limit": 3}]}}


def test_a_failed_step_is_reported_others_go_on_and_retry_tries_it_again(
    project: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(whole, tmp_path / "copy")
    monkeypatch.setattr(command_module, "LocalLauncher", InlineLauncher)
    more = {"stages": ["stage1"], "set": {"evaluation.shots": [2]}}
    file = write_experiment(project, arms={**ARMS, "broken": BROKEN, "other": more})
    begun: Counter[str] = Counter()
    do = Pipeline.do

    def counted(self: Pipeline, step: Any, *args: Any, **options: Any) -> None:
        begun[step.name] += 1
        do(self, step, *args, **options)

    monkeypatch.setattr(Pipeline, "do", counted)

    def run(*options: str) -> str:
        begun.clear()
        with pytest.raises(SystemExit) as caught:
            main(["experiment", str(file), "-o", str(tmp_path / "copy"), "--workers", "1", *options])
        assert caught.value.code == 1
        return capsys.readouterr().err

    said = run()
    assert begun == {"stage1": 1, "evaluate-base": 1, "evaluate-stage1": 1}
    assert "failed: stage1 of broken, seed 1: Nothing to train on" in said
    assert "Run the same command with --retry" in said
    assert "Traceback" not in said
    assert "Nothing to train on" in run()
    assert not begun
    assert "Nothing to train on" in run("--retry")
    assert begun == {"stage1": 1}


def test_the_plan_knows_what_is_done_and_what_sharing_saves(
    project: Path, whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    slow = {"stages": ["stage1", "stage2"], "set": {"stages.1.learning_rate": 0.001}}
    file = write_experiment(project, arms={**ARMS, "slow": slow})
    with pytest.raises(SystemExit) as caught:
        main(["experiment", str(file), "-o", str(whole), "--dry-run", "--json"])
    assert not caught.value.code
    plan = json.loads(capsys.readouterr().out)
    assert [step["step"] for step in plan["steps"] if not step["done"]] == [
        "stage2",
        "measure-stage2",
        "evaluate-stage2",
    ]
    totals = {name: total["steps"] for name, total in plan["totals"].items()}
    assert totals == {"left": 3, "all": 14, "separate": 4 + 7 + 11 + 11}
    assert plan["rates"] == "this experiment"
    assert 0 < plan["totals"]["left"]["seconds"] < plan["totals"]["all"]["seconds"]


def test_a_folder_of_another_experiment_or_of_something_else_is_left_alone(
    project: Path, whole: Path, tmp_path: Path
) -> None:
    with pytest.raises(StateError, match="holds the experiment 'tiny'"):
        prepared(project, whole, name="other")
    (tmp_path / "thesis.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(StateError, match="is not an experiment"):
        prepared(project, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_step_at_which_workers_die_again_counts_as_failed(project: Path, tmp_path: Path) -> None:
    one = prepared(project, tmp_path / "e")
    key = one.graph.runs[0].steps["detect-base"]
    deaths: Counter[str] = Counter()
    for name in ("first", "second"):
        state = StateFile(one.layout, name)
        state.tell(key, "detect")
        engine._bury(one, name, -9, deaths)
        assert not state.path.exists()
        assert one.store.failed() == ({key} if name == "second" else set())
    assert "SIGKILL" in one.store.failure(key).error


def test_workers_are_processes_with_their_threads_that_end_with_the_experiment(
    copied: Callable[..., tuple[Prepared, Told]],
) -> None:
    one, _ = copied()
    key = one.graph.runs[0].steps["evaluate-base"]
    with one.store.take(key):
        one.store.remove(key)
    launcher = LocalLauncher(1)
    launcher.start(one.layout, 1)
    (process,) = launcher._running.values()
    assert process.wait(120) == 0
    assert launcher.alive() == 0
    assert launcher.dead() == []
    assert is_over(Store(one.layout, one.graph))
    assert not list(one.layout.workers.iterdir())


def test_a_worker_that_dies_is_named_once_and_one_that_hangs_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "import sys; sys.exit(3) if 'x' in sys.argv else sys.stdin.read()"
    monkeypatch.setattr(launchers, "worker_command", lambda layout, name: [sys.executable, "-c", code, *extra])
    extra = ["x"]
    launcher = LocalLauncher(1)
    launcher.start(None, 1)  # type: ignore[arg-type]
    ((name, process),) = launcher._running.items()
    process.wait()
    assert launcher.dead() == [(name, 3)]
    assert launcher.dead() == []
    extra.clear()
    launcher.start(None, 1)  # type: ignore[arg-type]
    (process,) = launcher._running.values()
    assert launcher.alive() == 1
    launcher.stop()
    assert process.poll() is not None


def test_killed_experiments_end_as_undisturbed_ones(tmp_path: Path) -> None:
    """``KFT_ATTACK_KILLS`` is the number of kills: of the experiment, of a worker, or of one that joined late."""
    asked, seed = os.environ.get("KFT_ATTACK_KILLS", "2"), os.environ.get("KFT_ATTACK_SEED", "1")
    paths = os.pathsep.join(path for path in sys.path if path)
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    kills = "20" if asked == "all" else asked
    command = [sys.executable, kill_experiment.__file__, str(tmp_path / "project"), "--seed", seed, "--kills", kills]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout
    result = json.loads(done.stdout.splitlines()[-1])
    found = {kind: result[kind] for kind in ("differing", "lost", "stuck", "litter")}
    assert found == {kind: [] for kind in found}
    assert result["kills"] >= int(kills)
    assert result["files"] > 60


def test_failures_are_told_in_the_order_of_the_experiment(project: Path, tmp_path: Path) -> None:
    one = prepared(project, tmp_path / "e", seeds=[1, 2])
    for number in (2, 0):
        run = one.graph.runs[number]
        one.store.fail(one.layout.failed(run.steps["stage1"]), "Broken.")
    assert [what for what, _ in failures(one.store)] == ["stage1 of stage1, seed 1", "stage1 of stage1, seed 2"]
    assert check_finished(one) == 0
