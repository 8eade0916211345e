"""One task class for two versions of lm-eval: what each hands over comes out the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from kft_tasks.harness.lm_eval_versions import results_by_request
from kft_tasks.scoring.scorers import SCORERS

ROOT = Path(__file__).parents[2]


def test_answers_in_one_list_are_those_of_the_requests() -> None:
    nested = [["g1"], ["a", "b"], ["g2"], ["c", "d"]]
    flat = [text for given in nested for text in given]
    assert results_by_request(nested, [1, 2, 1, 2]) == nested
    assert results_by_request(flat, [1, 2, 1, 2]) == nested
    assert results_by_request([*flat, "c", "d"], [1, 2, 1, 2]) == nested  # a padded rank repeats its last request


def test_every_scorer_is_an_entry_point_that_lm_eval_can_load() -> None:
    lines = (ROOT / "pyproject.toml").read_text(encoding="utf-8").splitlines()
    named = [line.split(" = ") for line in lines if "kft_tasks.harness.metrics:" in line]
    found = {name: EntryPoint(name, value.strip('"'), "lm_eval.metrics") for name, value in named}
    assert sorted(found) == sorted(f"kft_{name}" for name in SCORERS)
    for name, point in found.items():
        function = point.load()
        assert f"kft_{function.__name__}" == name
        assert bool(function(references=[["Paris"]], predictions=["Paris"]))
    from lm_eval.api.registry import metric_registry

    assert set(found) <= set(metric_registry)


def test_a_group_of_kfts_tasks_loads(tmp_path: Path) -> None:
    from lm_eval.tasks import TaskManager

    rows = [{"question": f"Tree {n}?", "answers": ["Elm"], "split": "exemplars" if n > 4 else "test"} for n in range(9)]
    (tmp_path / "q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    kft = f"{{set: questions, path: {tmp_path}/q.jsonl, shots: 1, exemplar_sets: 2, seed: SEED}}"
    for seed in "12":
        text = f"task: trees_{seed}\nclass: !function kft_tasks.harness.task.KnowledgeTask\nkft: {kft}\n"
        (tmp_path / f"{seed}.yaml").write_text(text.replace("SEED", seed), encoding="utf-8")
    (tmp_path / "group.yaml").write_text("group: forest\ntask: [trees_1, trees_2]\n", encoding="utf-8")
    loaded = TaskManager(include_path=str(tmp_path), include_defaults=False).load(["forest"])["tasks"]
    seeds = {task.config.task.rpartition(":")[2]: task.settings.protocol.seed for task in loaded.values()}
    assert seeds == {"trees_1": 1, "trees_2": 2}


def test_a_task_of_anybody_scores_with_kfts_rules(tiny_lm: Callable[..., Any], tmp_path: Path) -> None:
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    rows = [{"q": f"Tree {number}?", "a": ["none", "Elm"]} for number in range(3)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (tmp_path / "trees.yaml").write_text(
        f"""
task: trees
dataset_path: json
dataset_kwargs: {{data_files: {{test: {tmp_path}/rows.jsonl}}, cache_dir: {tmp_path}/cache}}
test_split: test
output_type: generate_until
doc_to_text: "{{{{q}}}}"
doc_to_target: a
generation_kwargs: {{until: ["\\n"], do_sample: false, max_gen_toks: 4}}
metric_list:
  - {{metric: !function kft_tasks.harness.metrics.answer_contained, aggregation: mean, higher_is_better: true}}
""",
        encoding="utf-8",
    )
    lm = tiny_lm("llama")
    said = iter(["It is an elm.", "oak", "none"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(lm), "generate_until", lambda self, requests, **kwargs: [next(said) for _ in requests])
        manager = TaskManager(include_path=str(tmp_path), include_defaults=False)
        patch.setattr("torch.utils.collect_env.get_pretty_env_info", lambda: "")
        results = simple_evaluate(model=lm, tasks=["trees"], task_manager=manager, bootstrap_iters=0)
    scores = [value for name, value in results["results"]["trees"].items() if "answer_contained" in name]
    assert scores[0] == pytest.approx(2 / 3)
