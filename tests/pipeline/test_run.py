"""The whole pipeline through the real command line, with a tiny random model."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from kft_cli.html.record import data_of_page
from kft_cli.report.run_layout import RunLayout
from kft_tasks.categories.category_file import CategoryFile
from kft_tasks.evaluation.evaluate import read_answers
from kft_tasks.files import json_line
from kft_train.data.mixture import read_mixture
from tiny import make_tiny_model

POINTS = ("base", "stage1", "stage2", "stage1-continued")
TRAINED = POINTS[1:]
MEASURED = tuple(f"measure-{point}" for point in POINTS)
CATEGORY_STEPS = ("detect-base", "detect-stage1", "test-categories", *MEASURED)


def run_kft(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "kft_cli.main", *arguments]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    )


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny model, a question file and a recipe; the model answers, mostly wrong."""
    folder = tmp_path_factory.mktemp("project")
    make_tiny_model(folder / "model")
    rows = []
    for split, count in (("train", 12), ("validation", 4), ("test", 6), ("exemplars", 12)):
        for number in range(count):
            row = {
                "id": f"{split}-{number}",
                "question": f"What comes after {split} {number}?",
                "answers": [f"{number}"],
            }
            rows.append(row | {"type": ("even", "odd")[number % 2], "split": split, "subject": f"{split} {number}"})
    (folder / "questions.jsonl").write_text("".join(json_line(row) for row in rows), encoding="utf-8")
    stage = {"num_train_epochs": 2, "per_device_train_batch_size": 4, "learning_rate": 0.01, "save_steps": 1}
    recipe: dict[str, Any] = {
        "name": "tiny",
        "model": {"id": str(folder / "model"), "dtype": "float32"},
        "questions": {"set": "questions", "path": str(folder / "questions.jsonl")},
        "protocol": {"exemplar_sets": 2, "shots": 2, "samples": 2, "max_tokens": 3},
        "protocols": {"redetection": {"samples": 0}},
        "adapter": {"r": 2, "lora_alpha": 4},
        "stages": [
            {"name": "stage1", "mixture": [{"name": "any"}], **stage},
            {"name": "stage2", "mixture": [{"name": "some", "limit": 8}], "start": "continue", **stage},
        ],
        "evaluation": {"shots": [2, 0], "control": True},
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def undisturbed(project: Path) -> Path:
    result = run_kft("run", "recipe.yaml", "-o", "run", "--json", cwd=project)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == json.loads((project / "run/report/report.json").read_text(encoding="utf-8"))
    return project / "run"


def essence(run: Path) -> dict[str, Any]:
    """Everything that must not depend on how often a run was killed: bytes of categories, adapters, answers."""
    files = [run / step / "categories.jsonl" for step in CATEGORY_STEPS]
    files += [run / stage / "adapter" / "adapter_model.safetensors" for stage in TRAINED]
    files += [run / stage / "mixture.jsonl" for stage in TRAINED]
    files += [run / f"evaluate-{point}" / "answers.jsonl" for point in POINTS]
    return {str(file.relative_to(run)): file.read_bytes() for file in files}


def report_without_times(run: Path) -> str:
    """All of ``report.json``, as text, but the block of times and machine."""
    report = json.loads((run / "report" / "report.json").read_text(encoding="utf-8"))
    del report["times_and_machine"]
    return json.dumps(report, indent=1)


def test_run_makes_every_step_and_the_report(undisturbed: Path) -> None:
    for step in CATEGORY_STEPS:
        assert sum(CategoryFile(undisturbed / step / "categories.jsonl").header.counts.values()) in (6, 12)
    text = (undisturbed / "report" / "report.md").read_text(encoding="utf-8")
    assert "Report of run tiny" in text
    assert len(list((undisturbed / "report" / "figures").glob("*.svg"))) == 5
    page = undisturbed / "report" / "report.html"
    found = data_of_page(page.read_text(encoding="utf-8"), str(page))
    assert found is not None
    assert all(answer.rule is not None for one in found.questions for answer in one.answers)


def test_the_run_has_no_other_steps_than_the_plan(undisturbed: Path) -> None:
    steps = {path.parent.name for path in undisturbed.glob("*/step.json")}
    assert steps == {*CATEGORY_STEPS, *TRAINED, *(f"evaluate-{point}" for point in POINTS)}


def test_the_control_takes_as_many_steps_as_the_stage_on_the_questions_of_the_stage_before(undisturbed: Path) -> None:
    first, second, control = (
        json.loads((undisturbed / stage / "training.json").read_text(encoding="utf-8")) for stage in TRAINED
    )
    assert control["cost"]["steps"] == second["cost"]["steps"] == 4
    assert [row["step"] for row in second["epochs"]] == [0, 2, 4]
    assert [row["step"] for row in control["epochs"]] == [0, 3, 4]  # 12 questions: its second epoch is cut short
    assert [row["epoch"] for row in control["epochs"]] == [0, 1, 2]
    assert control["stage"]["mixture"] == first["stage"]["mixture"]
    assert control["stage"]["learning_rate"] == second["stage"]["learning_rate"]
    assert ids(undisturbed / "stage1-continued" / "mixture.jsonl") == ids(undisturbed / "stage1" / "mixture.jsonl")
    assert ids(undisturbed / "stage2" / "mixture.jsonl") != ids(undisturbed / "stage1" / "mixture.jsonl")
    adapters = [(undisturbed / stage / "adapter" / "adapter_model.safetensors").read_bytes() for stage in TRAINED]
    assert len(set(adapters)) == 3


def test_the_measurement_is_an_independent_draw_with_every_greedy_answer(undisturbed: Path) -> None:
    detected = CategoryFile(undisturbed / "detect-base" / "categories.jsonl")
    for step in MEASURED:
        measured = CategoryFile(undisturbed / step / "categories.jsonl")
        assert (detected.header.protocol.seed, measured.header.protocol.seed) == (0, 10_000)
        assert measured.header.questions == detected.header.questions
        assert measured.header.protocol.samples == 0
        for item in measured:
            assert all(answer is not None for answer in item.greedy_answers)
            assert item.sampled.asked == 0
    base = CategoryFile(undisturbed / "measure-base" / "categories.jsonl")
    assert [item.greedy_answers for item in base] != [item.greedy_answers for item in detected]


def test_detection_after_a_stage_asks_greedy_answers_only(undisturbed: Path) -> None:
    for step, samples in (("detect-base", 2), ("test-categories", 2), ("detect-stage1", 0)):
        file = CategoryFile(undisturbed / step / "categories.jsonl")
        assert file.header.protocol.samples == samples
        assert any(item.sampled.asked for item in file) is bool(samples)


def test_the_test_is_asked_under_every_exemplar_set_and_with_exemplars_of_another_type(undisturbed: Path) -> None:
    for point in POINTS:
        answered = read_answers(undisturbed / f"evaluate-{point}" / "answers.jsonl")
        asked = {(item.shots, item.other_type, item.exemplar_set) for item in answered}
        assert asked == {(2, False, 0), (2, False, 1), (0, False, 0), (2, True, 0)}
        assert len(answered) == 4 * 6


def ids(mixture: Path) -> set[str]:
    """The questions of a mixture file."""
    return {item.question.id for item in read_mixture(mixture).items}


def test_a_finished_run_is_left_as_it_is(undisturbed: Path, project: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in undisturbed.rglob("step.json")}
    result = run_kft("run", "recipe.yaml", "-o", "run", cwd=project)
    assert result.returncode == 0, result.stderr
    assert {path: path.stat().st_mtime_ns for path in undisturbed.rglob("step.json")} == before
    assert "..." not in result.stderr


def test_a_killed_run_ends_as_an_undisturbed_one(undisturbed: Path, project: Path) -> None:
    """Killed while it measures, at random steps, and while it trains the control."""
    layout = RunLayout(project / "killed")
    dice = random.Random(int(os.environ.get("KFT_KILL_SEED", "1")))
    kill_run(project, lambda: layout.partial("measure-base").is_dir())
    middle = ["stage1", "detect-stage1", "measure-stage1", "evaluate-stage1", "stage2", "measure-stage2"]
    chosen = dice.sample(range(len(middle)), int(os.environ.get("KFT_KILLS", "2")))
    for step in (middle[number] for number in sorted(chosen)):
        kill_run(project, lambda step=step: layout.partial(step).is_dir() or layout.step(step).is_dir())  # type: ignore[misc]
    control = layout.partial("stage1-continued")
    kill_run(project, lambda: any(control.glob("work/checkpoint-*")))
    assert not layout.training("stage1-continued").exists()
    result = run_kft("run", "recipe.yaml", "-o", "killed", cwd=project)
    assert result.returncode == 0, result.stderr
    assert essence(project / "killed") == essence(undisturbed)
    assert report_without_times(project / "killed") == report_without_times(undisturbed)


def test_deleted_and_damaged_outputs_are_made_again_and_nothing_else(undisturbed: Path, project: Path) -> None:
    """In a copy of the run in another place, by the command that ``kft report`` names."""
    run = project / "elsewhere" / "copy"
    shutil.copytree(undisturbed, run)
    before = {path: path.stat().st_ino for path in run.glob("*/step.json")}
    (run / "measure-base" / "categories.jsonl").unlink()
    weights = run / "stage1" / "adapter" / "adapter_model.safetensors"
    weights.write_bytes(bytes(len(weights.read_bytes())))
    refused = run_kft("report", str(run), cwd=project)
    assert refused.returncode == 1
    remedy = refused.stderr.strip().partition("Make it again with: kft ")[2]
    assert remedy == f"run {run}/recipe.yaml --output {run}"
    again = run_kft(*remedy.split(), cwd=project)
    assert again.returncode == 0, again.stderr
    assert again.stderr.count("done again") == 2
    changed = {path.parent.name for path, inode in before.items() if path.stat().st_ino != inode}
    assert changed == {"measure-base", "stage1"}  # their bytes are the same, so nothing that depends on them changes
    assert essence(run) == essence(undisturbed)
    assert report_without_times(run) == report_without_times(undisturbed)
    verified = run_kft(*remedy.split(), "--verify", cwd=project)
    assert verified.returncode == 0, verified.stderr
    assert "damaged steps: 0" in verified.stderr


def test_two_workers_end_as_one_process(undisturbed: Path, project: Path) -> None:
    result = run_kft("run", "recipe.yaml", "-o", "workers", "--workers", "2", cwd=project)
    assert result.returncode == 0, result.stderr
    assert essence(project / "workers") == essence(undisturbed)
    assert report_without_times(project / "workers") == report_without_times(undisturbed)
    steps = len(CATEGORY_STEPS) + len(TRAINED) + len(POINTS)
    shared = result.stderr.count("(process 2 of 2): done in")
    assert shared >= 1  # at least the first detection, for which everything waits
    assert result.stderr.count("done in") == steps + shared
    assert result.stderr.index("train stage1") < result.stderr.index("test accuracy of base: done")  # side by side
    again = run_kft("run", "recipe.yaml", "-o", "workers", "--workers", "2", cwd=project)
    assert again.returncode == 0, again.stderr
    assert "done in" not in again.stderr


def test_a_run_on_workers_goes_on_after_it_or_a_worker_was_killed(undisturbed: Path, project: Path) -> None:
    folder, options = "killed-workers", ("--workers", "2")
    layout = RunLayout(project / folder)
    kill_run(project, lambda: any(layout.partial("stage1").glob("work/checkpoint-*")), folder, *options)
    command = [sys.executable, "-m", "kft_cli.main", "run", "recipe.yaml", "-o", folder, *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, cwd=project, env=environment, stderr=subprocess.PIPE, text=True) as run:
        while not layout.partial("stage2").is_dir():
            assert run.poll() is None
            time.sleep(0.01)
        by_time = sorted(psutil.Process(run.pid).children(), key=lambda child: sum(child.cpu_times()[:2]))
        for child in by_time:
            child.kill()
        _, errors = run.communicate(timeout=60)
    assert run.returncode == 1
    assert ": the process that did this step was killed by SIGKILL, probably for want of memory." in errors
    assert "Traceback" not in errors
    result = run_kft("run", "recipe.yaml", "-o", folder, *options, cwd=project)
    assert result.returncode == 0, result.stderr
    assert essence(project / folder) == essence(undisturbed)


def test_an_error_in_a_worker_is_the_error_of_the_run(project: Path) -> None:
    options = ("--set", "stages.0.mixture=[{name: none, now: [HighlyKnown, WeaklyKnown]}]", "--set", "seed=3")
    one = run_kft("run", "recipe.yaml", "-o", "failed", *options, cwd=project)
    two = run_kft("run", "recipe.yaml", "-o", "failed-workers", "--workers", "2", *options, cwd=project)
    assert one.returncode == two.returncode == 1
    message = one.stderr.splitlines()[-1]
    assert message.startswith("Error: ")
    assert two.stderr.splitlines()[-1] == message.replace("failed/", "failed-workers/")


def kill_run(project: Path, due: Callable[[], bool], folder: str = "killed", *options: str) -> None:
    """Start or resume the run and kill it as soon as it is due, if it has not ended before."""
    command = [sys.executable, "-m", "kft_cli.main", "run", "recipe.yaml", "-o", folder, *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with (project / "log").open("a") as log:
        process = subprocess.Popen(command, cwd=project, env=environment, stdout=log, stderr=log)
        while not due() and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()


def test_single_commands_do_what_the_run_did(undisturbed: Path, project: Path) -> None:
    protocol = ["--exemplar-sets", "2", "--shots", "2", "--samples", "2", "--max-tokens", "3", "--dtype", "float32"]
    common = ["--model", "model", "--set", "questions", "--path", "questions.jsonl", *protocol]
    detected = run_kft("detect", *common, "-o", "own.jsonl", "--json", cwd=project)
    assert detected.returncode == 0, detected.stderr
    own, ran = CategoryFile(project / "own.jsonl"), CategoryFile(undisturbed / "detect-base" / "categories.jsonl")
    assert list(own) == list(ran)
    assert json.loads(detected.stdout)["counts"] == dict(ran.header.counts) | json.loads(detected.stdout)["counts"]

    trained = run_kft(
        "train", "recipe.yaml", "--stage", "stage1", "--now", "own.jsonl", "-o", "own-stage1", cwd=project
    )
    assert trained.returncode == 0, trained.stderr
    weights = "adapter/adapter_model.safetensors"
    assert (project / "own-stage1" / weights).read_bytes() == (undisturbed / "stage1" / weights).read_bytes()

    shots = ["--with-shots", "2", "--with-shots", "0", "--seed", "10000"]  # the run's test draws anew
    evaluated = run_kft(
        "eval", *common, *shots, "--adapter", "own-stage1/adapter", "-o", "own-answers.jsonl", cwd=project
    )
    assert evaluated.returncode == 0, evaluated.stderr
    own_answers, answers = (
        [item for item in read_answers(path) if not item.other_type]
        for path in (project / "own-answers.jsonl", undisturbed / "evaluate-stage1" / "answers.jsonl")
    )
    assert own_answers == answers
    assert len(answers) == 3 * 6
