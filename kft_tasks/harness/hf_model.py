"""The fast path inside lm-eval: ``--model kft-hf``, and plain ``--model hf`` where that is safe.

Requests of kft's tasks are answered by :mod:`kft_tasks.engine.engine`; all others, and models or settings that the
engine does not cover, go to lm-eval's own generation. ``KFT_FAST=0`` turns the engine off.
"""

from __future__ import annotations

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
from kft_tasks.protocol.generation import NEUTRAL
from kft_tasks.protocol.prompt_maker import PromptRequest

logger = logging.getLogger(__name__)
stock_generate_until = HFLM.generate_until
_ENGINE_KEYS = {"until", "max_gen_toks", "do_sample", "temperature", "top_k", *NEUTRAL}


class KftHF(HFLM):
    """lm-eval's transformers model with kft's generation; register name ``kft-hf``."""

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        """Answer kft's requests on the engine, the others as HFLM does."""
        return generate_until(self, requests, disable_tqdm)


def generate_until(lm: Any, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
    """Drop-in for ``HFLM.generate_until``: one response per request, in order."""
    engine = engine_for(lm) if any(isinstance(request, KnowledgeInstance) for request in requests) else None
    ours = [] if engine is None else [request for request in requests if _covered(request)]
    answers: dict[int, list[str]] = {}
    if engine is not None and ours:
        unique = list({id(request): request for request in ours}.values())
        bar = tqdm(total=len(ours), disable=disable_tqdm or lm.rank != 0, desc="kft: answers")
        for group in _groups(unique):
            answers |= _answer(lm, engine, group)
            bar.update(sum(request.repeats for request in group))
        bar.close()
    rest = [request for request in requests if id(request) not in answers]
    stock = iter(stock_generate_until(lm, rest, disable_tqdm=disable_tqdm) if rest else ())
    given: dict[int, int] = {}
    result = []
    for request in requests:
        if id(request) not in answers:
            result.append(next(stock))
            continue
        texts = answers[id(request)]
        number = given.get(id(request), 0)  # ranks that are short repeat their last request: answers start over
        given[id(request)] = number + 1
        result.append(texts[number % len(texts)])
    return result


def _covered(request: Any) -> bool:
    if not isinstance(request, KnowledgeInstance) or request.request is None:
        return False
    settings = request.arguments[1]
    neutral = all(settings.get(key, value) == value for key, value in NEUTRAL.items())
    return set(settings) <= _ENGINE_KEYS and "max_gen_toks" in settings and neutral


def _request_of(instance: KnowledgeInstance) -> PromptRequest:
    if instance.request is None:  # _covered passes none on
        raise ValueError("an instance without its prompt")
    return instance.request


def _groups(requests: Sequence[KnowledgeInstance]) -> Iterator[list[KnowledgeInstance]]:
    """Requests that go into one trie: neighbours in type, as `kft detect --exhaustive` takes them together.

    Tasks never share a trie: two may ask the same question with other exemplars, another template or temperature.
    """
    by_task: dict[str, dict[tuple[str, str], dict[int, list[KnowledgeInstance]]]] = {}
    for request in requests:
        prompt = _request_of(request)
        question = (request.question_type, prompt.question_id)
        sets = by_task.setdefault(str(request.task_name), {}).setdefault(question, {})
        sets.setdefault(prompt.exemplar_set, []).append(request)
    for by_question in by_task.values():
        ordered = sorted(by_question.items(), key=lambda item: item[0][0])
        for start in range(0, len(ordered), CHUNK_QUESTIONS):
            chunk = [sets for _, sets in ordered[start : start + CHUNK_QUESTIONS]]
            for round_ in make_rounds(max(number for sets in chunk for number in sets) + 1):
                if group := [request for number in round_ for sets in chunk for request in sets.get(number, ())]:
                    yield group


def _answer(lm: Any, engine: Engine, group: Sequence[KnowledgeInstance]) -> dict[int, list[str]]:
    prompts_of = {request.key: request for request in map(_request_of, group)}
    place = {key: index for index, key in enumerate(prompts_of)}
    settings = group[0].arguments[1]
    sampled = [request for request in group if request.arguments[1]["do_sample"]]
    greedy = [request for request in group if not request.arguments[1]["do_sample"]]
    prompts = encode(lm, [request.prompt for request in prompts_of.values()])
    longest = max(map(len, prompts))
    if longest + settings["max_gen_toks"] > lm.max_length:
        return {}  # lm-eval truncates these
    try:
        trie = engine.open(
            prompts,
            max_tokens=settings["max_gen_toks"],
            stop=settings["until"],
            top_k=max((request.arguments[1]["top_k"] for request in sampled), default=1),
            groups=[request.group for request in prompts_of.values()],
        )
    except UnsupportedModelError as error:
        logger.warning("Using lm-eval's own generation, which is slower: %s", error)
        return {}
    answers: dict[int, list[str]] = {}
    given = trie.greedy([place[_request_of(request).key] for request in greedy])
    answers |= {id(request): [text] for request, text in zip(greedy, given, strict=True)}
    if sampled:
        keys = [_request_of(request).key for request in sampled]
        count, temperature = sampled[0].repeats or 1, sampled[0].arguments[1]["temperature"]
        drawn = trie.sample([place[key] for key in keys], keys, count, temperature)
        answers |= {id(request): list(texts) for request, texts in zip(sampled, drawn, strict=True)}
    return answers
