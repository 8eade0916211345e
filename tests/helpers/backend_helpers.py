"""A small detection of embedded questions with any engine."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest

from kft_tasks.categories.category_file import CategorizedQuestion, CategoryFile
from kft_tasks.detection.run import DetectionResult, detect
from kft_tasks.detection.target import Target, select
from kft_tasks.models.backends import identify_choice
from kft_tasks.models.choice import ModelChoice
from kft_tasks.models.loading import load_model
from kft_tasks.protocol.exemplars import ExemplarPool
from kft_tasks.protocol.prompt_maker import PromptMaker
from kft_tasks.protocol.protocol import Protocol
from kft_tasks.question_sets.registry import open_set
from task_helpers import ListSet

PROTOCOL = Protocol(exemplar_sets=2, shots=1, samples=3, max_tokens=4)


@cache
def some_facts(limit: int) -> ListSet:
    """A few embedded questions, read once: reading them would take most of the time of these tests."""
    source = open_set("worldfacts", None, {})
    questions = list(select(lambda: source.split("test"), limit)())
    types = {question.type for question in questions}
    exemplars = [question for question in source.split("exemplars") if question.type in types]
    return ListSet(questions, exemplars, "worldfacts", source.version)


def detection(
    choice: ModelChoice,
    output: Path,
    protocol: Protocol = PROTOCOL,
    *,
    limit: int = 4,
    lazy: bool = False,
    chunk_questions: int = 3,
) -> DetectionResult:
    source = some_facts(limit)
    pool = ExemplarPool(source.split("exemplars"), protocol, source.name)

    def load() -> Any:
        model = load_model(choice)
        render = model.lm.apply_chat_template if protocol.chat else None
        return model.answerer(protocol), PromptMaker(protocol, pool, render)

    target = Target(source, "test")
    identity = identify_choice(choice)
    return detect(target, protocol, identity, load, output, exemplars=pool, lazy=lazy, chunk_questions=chunk_questions)


def items(result: DetectionResult) -> dict[str, CategorizedQuestion]:
    return {item.question.id: item for item in CategoryFile(result.path)}


def greedy(result: DetectionResult) -> dict[str, tuple[str | None, ...]]:
    return {id_: item.greedy_answers for id_, item in items(result).items()}


def served(url: str, **arguments: Any) -> ModelChoice:
    return ModelChoice("tiny", backend="local-completions", backend_args={"base_url": url, **arguments})


def few_facts_task(monkeypatch: pytest.MonkeyPatch) -> Any:
    """An lm-eval task of the questions that :func:`detection` asks."""
    import kft_tasks.harness.task

    monkeypatch.setattr(kft_tasks.harness.task, "open_set", lambda *args: some_facts(4))
    protocol = {key: value for key, value in PROTOCOL.to_json().items() if key != "chat"}
    return kft_tasks.harness.task.KnowledgeTask({"task": "kft_few", "kft": {"set": "worldfacts", **protocol}})


def harness_samples(task: Any, **arguments: Any) -> list[dict[str, Any]]:
    """The sample log of :func:`few_facts_task` in lm-eval."""
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    results = simple_evaluate(
        tasks=[task], task_manager=TaskManager(include_defaults=False), bootstrap_iters=0, **arguments
    )
    samples: list[dict[str, Any]] = results["samples"]["kft_few"]
    return samples
