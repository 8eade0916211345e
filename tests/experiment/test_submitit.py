"""Workers as jobs of submitit, by its local executor."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from experiment_helpers import prepared, run_inline
from kft_cli.experiment.engine import is_over
from kft_cli.experiment.launchers import SubmititLauncher
from kft_cli.experiment.store import Store
from kft_tasks.errors import UsageError
from kill_runs import make_project

pytest.importorskip("submitit")
pytestmark = pytest.mark.filterwarnings("ignore")  # of submitit and between libraries


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    make_project(folder)
    return folder


def test_a_job_does_what_is_left_and_a_hopeless_one_is_named(project: Path, tmp_path: Path) -> None:
    one = prepared(project, tmp_path / "e", arms={"no-training": None})
    run_inline(one)
    key = one.graph.runs[0].steps["measure-base"]
    with one.store.take(key):
        one.store.remove(key)
    launcher = SubmititLauncher(1, {"timeout_min": 5})
    launcher.start(one.layout, 1)
    assert launcher.alive() == 1
    _wait(launcher)
    assert launcher.dead() == []
    assert is_over(Store(one.layout, one.graph))
    one.layout.graph.unlink()
    launcher.start(one.layout, 1)
    _wait(launcher)
    ((_, code),) = launcher.dead()
    assert code
    assert launcher.dead() == []


def test_a_wrong_argument_is_refused(project: Path, tmp_path: Path) -> None:
    one = prepared(project, tmp_path / "e", arms={"no-training": None})
    with pytest.raises(UsageError, match="--launcher-args"):
        SubmititLauncher(1, {"hours": 5}).start(one.layout, 1)


def test_jobs_are_cancelled(project: Path, tmp_path: Path) -> None:
    one = prepared(project, tmp_path / "e", arms={"no-training": None})
    launcher = SubmititLauncher(1, {})
    launcher.start(one.layout, 1)
    launcher.stop()
    assert launcher.alive() == 0


def _wait(launcher: SubmititLauncher) -> None:
    end = time.monotonic() + 200
    while launcher.alive() and time.monotonic() < end:
        time.sleep(0.2)
