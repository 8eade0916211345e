from __future__ import annotations

import re
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from kft_tasks.question_sets.info import check_options
from kft_tasks.question_sets.loaders.entityquestions import RELATIONS, VARIANTS
from kft_tasks.question_sets.registry import SETS

TASKS = Path(__file__).parents[2] / "kft_tasks" / "lm_eval_tasks"
METRICS = ["highly_known", "maybe_known", "weakly_known", "unknown", "greedy_accuracy"]


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> Any:
    """lm-eval's own loader on our folder alone, with a stand-in for the task class."""

    class KnowledgeTask:
        def __init__(self, config: dict[str, Any]) -> None:
            self.config = types.SimpleNamespace(**config)
            self.task_name = self._qualified_name = config["task"]

    stub = types.ModuleType("kft_tasks.harness.task")
    stub.KnowledgeTask = KnowledgeTask  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "kft_tasks.harness.task", stub)
    from lm_eval.tasks import TaskManager

    return TaskManager(include_defaults=False, include_path=str(TASKS), metadata={"kft_path": "/data"})


def test_no_yaml_is_skipped_in_silence(manager: Any) -> None:
    names = {"kft", "kft_own", "kft_entityquestions", "kft_entityquestions_slick_in", "kft_entityquestions_slick_out"}
    names |= {f"kft_{name}" for name in SETS if name != "entityquestions"}
    names |= {f"kft_entityquestions_{relation}" for relation in RELATIONS}
    assert set(manager._index) == names
    assert len(list(TASKS.glob("**/*.yaml"))) == len(names) - 2  # the tags have no file


def test_every_task_loads_with_its_set_and_the_users_metadata(manager: Any) -> None:
    names = [f"kft_{name}" for name in SETS if name != "entityquestions"]
    names += [f"kft_entityquestions_{relation}" for relation in RELATIONS]
    tasks = manager.load(names)["tasks"]
    assert set(tasks) == set(names)
    for name, task in tasks.items():
        kft = task.config.kft
        assert name == f"kft_{kft['set']}" or name == f"kft_{kft['set']}_{kft['options']['relation']}"
        check_options(SETS[kft["set"]], kft.get("options"))
        assert task.config.metadata["version"] == 1.0
        assert task.config.metadata["kft_path"] == "/data"


def test_the_tag_has_everything_that_runs_without_a_path(manager: Any) -> None:
    tagged = manager._index["kft"].tags
    assert "kft_questions" not in tagged
    assert {"kft_worldfacts", "kft_wikiqa", "kft_entityquestions_P17"} <= tagged
    assert len(tagged) == len(RELATIONS) + len(SETS) - 2


@pytest.mark.parametrize("variant", list(VARIANTS))
def test_groups_have_the_relations_of_their_variant(manager: Any, variant: str) -> None:
    name = "kft_entityquestions" + ("" if variant == "all" else f"_{variant}")
    (group,) = manager.load([name])["groups"].values()
    assert set(group.child_names) == {f"kft_entityquestions_{relation}" for relation in VARIANTS[variant]}
    aggregates = group.aggregate_metric_list or group.config["aggregate_metric_list"]
    assert [aggregate.metric for aggregate in aggregates] == METRICS
    assert all(aggregate.weight_by_size and aggregate.filter_list == ["none"] for aggregate in aggregates)


@pytest.mark.parametrize("name", list(SETS))
def test_every_set_has_a_readme_with_what_users_must_know(name: str) -> None:
    text = (TASKS / name / "README.md").read_text(encoding="utf-8")
    info = SETS[name]
    assert text.startswith(f"# {info.title}\n")
    for part in (
        "- Paper:",
        "- Homepage:",
        "## Citation",
        "## Checklist",
        "## Changelog",
        info.source,
        info.licence,
        info.env,
    ):
        assert part in text
    for option in info.options:
        assert f"| `{option.name}` |" in text
        assert option.help in text
    for split, size in info.sizes.items():
        if size:
            assert re.search(rf"\| {split} \|.*{size:,}", text)
