"""kft's engine inside lm-eval: ``--model kft-hf``, and plain ``--model hf`` where that is safe.

Requests of kft's tasks are answered by :mod:`kft_tasks.engine.engine`; all other requests, and models or settings that
the engine does not support, go to lm-eval's own generation. ``KFT_FAST=0`` turns the engine off.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator, Sequence
from typing import Any

from lm_eval.models.huggingface import HFLM
from tqdm import tqdm

from kft_tasks.answering.hf_engine import encode, engine_for
from kft_tasks.detection.schedule import CHUNK_QUESTIONS, make_rounds
from kft_tasks.engine.engine import Engine
from kft_tasks.errors import UnsupportedModelError
from kft_tasks.harness.instance import KnowledgeInstance
from kft_tasks.protocol.generation import NEUTRAL, NEUTRAL_SAMPLED

logger = logging.getLogger(__name__)
stock_generate_until = HFLM.generate_until
_ENGINE_KEYS = {"until", "max_gen_toks", "do_sample", "temperature", "top_k", *NEUTRAL, *NEUTRAL_SAMPLED}


class KftHF(HFLM):
    """lm-eval's transformers model with kft's generation; registered as ``kft-hf``."""

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        """Answer kft's requests on the engine, all others as HFLM does."""
        return generate_until(self, requests, disable_tqdm)


def generate_until(lm: Any, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
    """Drop-in for ``HFLM.generate_until``: one response per request, in order."""
    ours = {id(request): request for request in requests if _is_supported(request)}
    engine = engine_for(lm) if ours else None
    answers: dict[int, list[str]] = {}
    if engine is not None:
        total = sum(instance.repeats for instance in ours.values())
        with tqdm(total=total, disable=disable_tqdm or lm.rank != 0, desc="kft: answers") as bar:
            for group in _groups(list(ours.values())):
                answers |= _answer(lm, engine, group)
                bar.update(sum(instance.repeats for instance in group))
    rest = [request for request in requests if id(request) not in answers]
    stock = iter(stock_generate_until(lm, rest, disable_tqdm=disable_tqdm) if rest else ())
    # lm-eval lists a request once per repeat; in a rank with fewer requests the last one is padded, so answers cycle
    ready = {key: itertools.cycle(texts) for key, texts in answers.items()}
    return [next(ready.get(id(request), stock)) for request in requests]


def _is_supported(request: Any) -> bool:
    """Whether the engine can answer this request with its settings."""
    if not isinstance(request, KnowledgeInstance):
        return False
    settings = request.settings
    neutral = all(settings.get(key, value) == value for key, value in (NEUTRAL | NEUTRAL_SAMPLED).items())
    return set(settings) <= _ENGINE_KEYS and "max_gen_toks" in settings and neutral


def _groups(instances: Sequence[KnowledgeInstance]) -> Iterator[list[KnowledgeInstance]]:
    """Instances that go into one trie: neighbours in type, as an exhaustive detection takes them together.

    Tasks never share a trie: two may ask the same question with other exemplars, another template or temperature.
    """
    by_task: dict[str, dict[str, list[KnowledgeInstance]]] = {}
    for instance in instances:
        questions = by_task.setdefault(str(instance.task_name), {})
        questions.setdefault(instance.request.question_id, []).append(instance)
    for questions in by_task.values():
        ordered = sorted(questions.values(), key=lambda own: own[0].question_type)
        for start in range(0, len(ordered), CHUNK_QUESTIONS):
            by_set: dict[int, list[KnowledgeInstance]] = {}
            for instance in itertools.chain(*ordered[start : start + CHUNK_QUESTIONS]):
                by_set.setdefault(instance.request.exemplar_set, []).append(instance)
            for round_ in make_rounds(max(by_set) + 1):
                if group := [instance for number in round_ for instance in by_set.get(number, ())]:
                    yield group


def _answer(lm: Any, engine: Engine, group: Sequence[KnowledgeInstance]) -> dict[int, list[str]]:
    """Answers of the engine by the id of their instance; none if lm-eval's own generation has to answer."""
    requests = {instance.request.key: instance.request for instance in group}
    position = {key: index for index, key in enumerate(requests)}
    greedy = [instance for instance in group if not instance.settings["do_sample"]]
    sampled = [instance for instance in group if instance.settings["do_sample"]]
    max_tokens = group[0].settings["max_gen_toks"]
    prompts = encode(lm, [request.prompt for request in requests.values()])
    if max(map(len, prompts)) + max_tokens > lm.max_length:
        return {}  # lm-eval truncates these
    try:
        trie = engine.open(
            prompts,
            max_tokens=max_tokens,
            stop=group[0].stop,
            skip_blank_lines=group[0].skip_blank_lines,
            top_k=max((instance.settings["top_k"] for instance in sampled), default=1),
            groups=[request.group for request in requests.values()],
        )
    except UnsupportedModelError as error:
        logger.warning("Using lm-eval's own generation, which is slower: %s", error)
        return {}
    texts = trie.greedy([position[instance.request.key] for instance in greedy])
    answers = {id(instance): [text] for instance, text in zip(greedy, texts, strict=True)}
    if sampled:
        keys = [instance.request.key for instance in sampled]
        count, temperature = sampled[0].repeats or 1, sampled[0].settings["temperature"]
        drawn = trie.sample([position[key] for key in keys], keys, count, temperature)
        answers |= {id(instance): list(given) for instance, given in zip(sampled, drawn, strict=True)}
    return answers
