"""The embedded model, for real: lazy detection, exhaustive detection and lm-eval agree."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kft_tasks.categories.category_file import CategoryFile
from kft_tasks.detection.target import select
from kft_tasks.question_sets.registry import open_set
from kft_tasks.questions import write_questions

pytestmark = pytest.mark.model

SMALL = [
    "--exemplar-sets",
    "4",
    "--samples",
    "4",
    "--dtype",
    "float32",
    "--set",
    "questions",
    "--path",
    "questions.jsonl",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 real questions of two types, with exemplars."""
    folder = tmp_path_factory.mktemp("embedded")
    source, types = open_set("worldfacts"), ("capital_of_country", "country_of_city")
    chosen = [
        question
        for split, count in (("train", 12), ("exemplars", 16))
        for type_ in types
        for question in select(lambda: (q for q in source.split(split) if q.type == type_), count)()  # noqa: B023
    ]
    write_questions(folder / "questions.jsonl", chosen)
    return folder


def run(folder: Path, *arguments: str) -> str:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, env=environment)
    assert result.returncode == 0, result.stderr[-2000:]
    return result.stdout


def test_lazy_exhaustive_and_harness_agree(folder: Path) -> None:
    run(folder, "kft_cli.main", "detect", *SMALL, "-o", "lazy.jsonl")
    run(folder, "kft_cli.main", "detect", *SMALL, "--exhaustive", "-o", "full.jsonl")
    lazy = {item.question.id: item for item in CategoryFile(folder / "lazy.jsonl")}
    full = {item.question.id: item for item in CategoryFile(folder / "full.jsonl")}
    assert len(lazy) == len(full) == 24
    assert len({item.category for item in full.values()}) >= 3
    asked = 0
    for id_, item in lazy.items():
        assert item.category is full[id_].category
        assert all(a in (None, b) for a, b in zip(item.greedy_answers, full[id_].greedy_answers, strict=True))
        assert all(a in (None, b) for a, b in zip(item.sampled_answers, full[id_].sampled_answers, strict=True))
        asked += item.greedy.asked + item.sampled.asked
    assert asked < 24 * 4 * 5 / 1.5

    model = run(folder, "kft_cli.main", "model", "path", "smollm2-135m").strip()
    metadata = {"kft_path": "questions.jsonl", "kft_split": "train", "kft_exemplar_sets": 4, "kft_samples": 4}
    tasks = run(folder, "kft_cli.main", "tasks", "--path").strip()
    code = (
        "import json, sys; from lm_eval import simple_evaluate; from lm_eval.tasks import TaskManager;"
        f"metadata = {metadata!r};"
        f"manager = TaskManager(include_defaults=False, include_path={tasks!r}, metadata=metadata);"
        f"results = simple_evaluate('hf', model_args=dict(pretrained={model!r}, dtype='float32'), tasks=['kft_questions'],"
        "task_manager=manager, metadata=metadata, bootstrap_iters=0, device='cpu');"
        "json.dump([[s['doc'], s['resps']] for s in results['samples']['kft_questions']], open('harness.json', 'w'))"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", code], check=True, cwd=folder, env=environment, capture_output=True)
    rows = json.loads((folder / "harness.json").read_text(encoding="utf-8"))
    assert len(rows) == 24
    for document, responses in rows:
        item = full[document["id"]]
        assert document["category"] == item.category.value
        assert tuple(texts[0].strip() for texts in responses[::2]) == item.greedy_answers
        assert tuple(tuple(text.strip() for text in texts) for texts in responses[1::2]) == item.sampled_answers
