"""The whole pipeline through the real command line, with a tiny random model."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from kft_tasks.categories.category_file import CategoryFile
from kft_tasks.files import json_line
from tiny import make_tiny_model

CATEGORY_STEPS = ("detect-base", "retest-base", "test-categories", "detect-stage1", "detect-stage2")


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
        "adapter": {"r": 2, "lora_alpha": 4},
        "stages": [
            {"name": "stage1", "mixture": [{"name": "any"}], **stage},
            {"name": "stage2", "mixture": [{"name": "some", "limit": 8}], "start": "continue", **stage},
        ],
        "evaluation": {"shots": [2, 0]},
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
    files += [run / stage / "adapter" / "adapter_model.safetensors" for stage in ("stage1", "stage2")]
    files += [run / stage / "mixture.jsonl" for stage in ("stage1", "stage2")]
    files += [run / f"evaluate-{point}" / "answers.jsonl" for point in ("base", "stage1", "stage2")]
    return {str(file.relative_to(run)): file.read_bytes() for file in files}


def report_without_cost(run: Path) -> dict[str, Any]:
    report = json.loads((run / "report" / "report.json").read_text(encoding="utf-8"))
    return {key: _without_clock(value) for key, value in report.items() if key not in ("cost", "repeat")}


def _without_clock(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_clock(inner) for key, inner in value.items() if key not in ("seconds", "cost")}
    return [_without_clock(inner) for inner in value] if isinstance(value, list) else value


def test_run_makes_every_step_and_the_report(undisturbed: Path) -> None:
    for step in CATEGORY_STEPS:
        assert sum(CategoryFile(undisturbed / step / "categories.jsonl").header.counts.values()) in (6, 12)
    text = (undisturbed / "report" / "report.md").read_text(encoding="utf-8")
    assert "Report of run tiny" in text
    assert len(list((undisturbed / "report" / "figures").glob("*.png"))) >= 3


def test_a_finished_run_is_left_as_it_is(undisturbed: Path, project: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in undisturbed.rglob("step.json")}
    result = run_kft("run", "recipe.yaml", "-o", "run", cwd=project)
    assert result.returncode == 0, result.stderr
    assert {path: path.stat().st_mtime_ns for path in undisturbed.rglob("step.json")} == before
    assert "..." not in result.stderr


def test_a_killed_run_ends_as_an_undisturbed_one(undisturbed: Path, project: Path) -> None:
    dice = random.Random(int(os.environ.get("KFT_KILL_SEED", "1")))
    command = [sys.executable, "-m", "kft_cli.main", "run", "recipe.yaml", "-o", "killed"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for _ in range(int(os.environ.get("KFT_KILLS", "3"))):
        with (project / "log").open("a") as log:
            process = subprocess.Popen(command, cwd=project, env=environment, stdout=log, stderr=log)
            time.sleep(dice.uniform(6, 16))
            process.send_signal(signal.SIGKILL)
            process.wait()
    result = run_kft("run", "recipe.yaml", "-o", "killed", cwd=project)
    assert result.returncode == 0, result.stderr
    assert essence(project / "killed") == essence(undisturbed)
    assert report_without_cost(project / "killed") == report_without_cost(undisturbed)


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

    shots = ["--with-shots", "2", "--with-shots", "0"]
    evaluated = run_kft(
        "eval", *common, *shots, "--adapter", "own-stage1/adapter", "-o", "own-answers.jsonl", cwd=project
    )
    assert evaluated.returncode == 0, evaluated.stderr
    expected = (undisturbed / "evaluate-stage1" / "answers.jsonl").read_bytes()
    assert (project / "own-answers.jsonl").read_bytes() == expected
