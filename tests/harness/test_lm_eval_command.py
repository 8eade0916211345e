"""The command ``lm_eval`` itself, in an empty folder, on local copies of every set in the hub's own files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from lm_eval.api import registry

from hub_files import COLUMNS, write_hub_files
from kft_tasks.categories.category import KnowledgeCategory
from kft_tasks.harness.task_files import task_folder, task_names
from kft_tasks.question_sets.registry import SETS
from kft_tasks.scoring.scorers import get_scorer
from tiny import make_tiny_model

ROOT = Path(__file__).parents[2]
TASKS = {name: f"kft_{name}" for name in SETS if name != "worldfacts"} | {"entityquestions": "kft_entityquestions_P36"}
LIMIT, SETS_ASKED, SAMPLES = 4, 2, 3
PROTOCOL = (f"kft_exemplar_sets={SETS_ASKED}", f"kft_samples={SAMPLES}", "kft_max_tokens=8")


def lm_eval(folder: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KFT_DATA")}
    environment |= {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'cli'}", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "lm_eval", arguments[0], "--include_path", str(task_folder()), *arguments[1:]]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, env={**environment, **more})


def run(folder: Path, model: str, tasks: str, *metadata: str, **more: str) -> subprocess.CompletedProcess[str]:
    arguments = ["--model", "hf", "--model_args", f"pretrained={model},dtype=float32", "--device", "cpu"]
    arguments += ["--tasks", tasks, "--limit", str(LIMIT), "--output_path", "out", "--log_samples"]
    return lm_eval(folder, "run", *arguments, "--metadata", *_metadata((*PROTOCOL, *metadata)), **more)


def _metadata(pairs: Sequence[str]) -> Sequence[str]:
    """As it is given to lm-eval: pairs, or one JSON object, all that 0.5.0.dev1 takes."""
    if not hasattr(registry, "scorer_registry"):
        return pairs
    values: dict[str, Any] = {}
    for name, _, value in (pair.partition("=") for pair in pairs):
        values[name] = json.loads(value) if value[0] in "{0123456789" else value
    return (json.dumps(values),)


def check(folder: Path, printed: str, name: str) -> list[dict[str, Any]]:
    """The table, the results file and the sample log of one task say the same; returns the samples."""
    task = TASKS[name]
    assert f"|{task}" in printed.replace(" ", "")
    (results,) = (folder / "out").glob("*/results_*.json")
    record = json.loads(results.read_text(encoding="utf-8"))
    values = {key.removesuffix(",none"): value for key, value in record["results"][task].items()}
    assert record["configs"][task]["metadata"]["kft_samples"] == SAMPLES
    (log,) = (folder / "out").glob(f"*/samples_{task}_*.jsonl")
    samples = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    assert len(samples) == LIMIT
    right = get_scorer(record["configs"][task]["metadata"]["kft_scorer"])
    for sample in samples:
        document, prompt = sample["doc"], sample["arguments"]["gen_args_0"]["arg_0"]
        assert prompt.count("Question: ") == 5
        assert prompt.endswith(f"\n\nQuestion: {document['question']}\nAnswer:")
        assert [len(texts) for texts in sample["resps"]] == [1, SAMPLES] * SETS_ASKED
        hits = [[right(text.strip(), document["answers"]) for text in texts] for texts in sample["resps"]]
        greedy, sampled = [texts[0] for texts in hits[::2]], [hit for texts in hits[1::2] for hit in texts]
        expected = (
            KnowledgeCategory.HIGHLY_KNOWN
            if all(greedy)
            else KnowledgeCategory.MAYBE_KNOWN
            if any(greedy)
            else KnowledgeCategory.WEAKLY_KNOWN
            if any(sampled)
            else KnowledgeCategory.UNKNOWN
        )
        assert document["category"] == expected.value
    for category, metric in zip(
        KnowledgeCategory, ("highly_known", "maybe_known", "weakly_known", "unknown"), strict=True
    ):
        share = sum(sample["doc"]["category"] == category.value for sample in samples) / LIMIT
        assert values[metric] == pytest.approx(share)
    return samples


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_hub_files(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_tiny_model(tmp_path_factory.mktemp("model")))


@pytest.mark.model
def test_every_public_set_runs_on_the_files_of_its_source(data: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "kft_cli.main", "model", "path", "smollm2-135m"]
    model = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout.strip()
    names = [name for name in TASKS if name != "questions"]
    done = run(tmp_path, model, ",".join(TASKS[name] for name in names), KFT_DATA=str(data))
    assert done.returncode == 0, done.stderr[-2000:]
    samples = [sample for name in names for sample in check(tmp_path, done.stdout, name)]
    assert len({sample["doc"]["category"] for sample in samples}) == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_your_own_file_runs_with_its_own_column_names(data: Path, tiny: str, tmp_path: Path) -> None:
    (path,) = (data / "questions").iterdir()
    given = (f"kft_path={path}", f"kft_options={json.dumps(COLUMNS)}")
    done = run(tmp_path, tiny, "kft_questions", *given)
    assert done.returncode == 0, done.stderr[-2000:]
    samples = check(tmp_path, done.stdout, "questions")
    assert {sample["doc"]["type"] for sample in samples} == {"capital"}


def test_an_error_is_one_message_without_a_traceback(tiny: str, tmp_path: Path) -> None:
    (tmp_path / "q.csv").write_text("Frage,Antwort\nQ?,A\n", encoding="utf-8")
    done = run(tmp_path, tiny, "kft_questions", "kft_path=q.csv")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "\nError: q.csv:2: no column 'question' for question. The columns are: Frage, Antwort." in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["q.csv"]


def test_validate_finds_every_task(tmp_path: Path) -> None:
    done = lm_eval(tmp_path, "validate", "--tasks", ",".join(task_names()))
    assert done.returncode == 0, done.stderr[-2000:]
    assert "All tasks found and valid" in done.stdout


def test_a_task_file_with_the_class_path_of_version_0_1_0_ends_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("task: mine\nclass: !function kft_tasks.task.KnowledgeTask\n", encoding="utf-8")
    done = lm_eval(tmp_path, "run", "--include_path", str(tmp_path), "--model", "dummy", "--tasks", "mine")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1] == (
        "Error: kft_tasks.task.KnowledgeTask has moved. Write kft_tasks.harness.task.KnowledgeTask instead."
    )
