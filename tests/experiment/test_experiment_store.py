"""Steps that are held once: locks, links into runs, failures."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kft_cli.experiment import store as store_module
from kft_cli.experiment.graph import Graph, RunNode, StepNode
from kft_cli.experiment.layout import ExperimentLayout
from kft_cli.experiment.store import Store
from kft_cli.pipeline.run_folder import RunFolder, StepCost

GRAPH = Graph(
    runs=[RunNode(arm=arm, seed=1, steps={"evaluate-base": "key"}, trains=True) for arm in ("a", "b")],
    steps={"key": StepNode(kind="evaluate", point="base", needs=[], runs=[0, 1], turn=0)},
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    for arm in ("a", "b"):
        RunFolder(tmp_path / "runs" / arm / "seed-1")
    return Store(ExperimentLayout(tmp_path), GRAPH)


def do_step(store: Store, text: str = "{}") -> None:
    def make(folder: Path) -> StepCost:
        (folder / "answers.jsonl").write_text(text, encoding="utf-8")
        (folder / "more").mkdir()
        (folder / "more" / "file").write_text(text, encoding="utf-8")
        return StepCost()

    with store.take("key") as home:
        assert home is not None
        home.step("evaluate-base", {"text": text}, make)
        store.link("key")


def run_step(store: Store, arm: str) -> Path:
    return store.layout.run(arm, 1) / "evaluate-base"


def test_a_finished_step_is_the_same_file_in_all_its_runs(store: Store) -> None:
    assert store.done() == set()
    do_step(store)
    assert store.done() == {"key"}
    home = store.layout.home("key") / "evaluate-base"
    for arm in ("a", "b"):
        assert run_step(store, arm).joinpath("more", "file").samefile(home / "more" / "file")
    files = sorted(path.name for path in store.layout.run("a", 1).iterdir())
    assert files == [".kft-run", "evaluate-base"]


def test_linking_again_changes_nothing_and_mends_what_is_missing_or_damaged(store: Store) -> None:
    do_step(store)
    report = store.layout.run("a", 1) / "report"
    report.mkdir()
    before = run_step(store, "a").stat().st_ino
    store.link("key")
    assert run_step(store, "a").stat().st_ino == before
    assert report.exists()
    file = run_step(store, "a") / "answers.jsonl"
    file.unlink()
    file.write_text("other", encoding="utf-8")
    store.link("key")
    assert file.read_text(encoding="utf-8") == "{}"
    assert not report.exists(), "the report told of other answers"


def test_a_step_that_was_done_anew_replaces_the_old_one_in_all_runs(store: Store) -> None:
    do_step(store)
    do_step(store, '{"new": 1}')
    assert {run_step(store, arm).joinpath("answers.jsonl").read_text(encoding="utf-8") for arm in "ab"} == {
        '{"new": 1}'
    }


def test_without_links_files_are_copied(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(store_module.os, "link", refuse)
    do_step(store)
    file = run_step(store, "b") / "answers.jsonl"
    assert file.read_text(encoding="utf-8") == "{}"
    before = file.stat().st_ino
    store.link("key")
    assert file.stat().st_ino == before


def test_a_step_is_taken_by_one_process_at_a_time_and_is_free_when_that_is_killed(store: Store, tmp_path: Path) -> None:
    code = f"""
import sys, time
from pathlib import Path
from kft_cli.pipeline.run_folder import RunFolder
with RunFolder(Path({str(store.layout.home("key"))!r})).locked():
    print("locked", flush=True)
    time.sleep(60)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    other = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment)
    with other:
        assert other.stdout is not None
        assert other.stdout.readline() == "locked\n"
        with store.take("key") as home:
            assert home is None
        other.kill()
        other.wait()
        with store.take("key") as home:
            assert home is not None


def test_failures_are_kept_until_they_are_tried_again(store: Store) -> None:
    store.fail(store.layout.failed("key"), "It broke. Mend it.", 1, log=["last words"])
    store.fail(store.layout.failed_report("a", 1), "No report. Mend it.")
    assert store.failed() == {"key"}
    assert store.failure("key").log == ["last words"]
    assert not store.needs_report(GRAPH.runs[0])
    store.retry()
    assert store.failed() == set()
    do_step(store)
    assert store.needs_report(GRAPH.runs[0])


def test_a_run_that_a_killed_worker_did_not_link_gets_its_step(store: Store) -> None:
    do_step(store)
    for path in sorted(run_step(store, "b").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    run_step(store, "b").rmdir()
    store.link_all(["key"], GRAPH.runs[1])
    assert run_step(store, "b").joinpath("answers.jsonl").is_file()
