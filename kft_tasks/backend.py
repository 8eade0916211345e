"""The fast path inside lm-eval: ``--model kft-hf``, and plain ``--model hf`` where that is safe.

Requests of kft tasks are answered by :mod:`kft_tasks.engine`; all others, and models or settings that the engine does
not cover, go to lm-eval's own generation. ``KFT_FAST=0`` turns the engine off.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from typing import Any

from lm_eval.models.huggingface import HFLM
from lm_eval.models.utils import has_bos_prefix
from tqdm import tqdm

from kft_tasks.detect import CHUNK_QUESTIONS, make_waves
from kft_tasks.engine import Engine, UnsupportedModelError
from kft_tasks.task import KnowledgeInstance

_log = logging.getLogger("kft")
_stock_generate_until = HFLM.generate_until
_ENGINE_KEYS = {"until", "max_gen_toks", "do_sample", "temperature", "top_k", "top_p", "repetition_penalty"}


class KftHF(HFLM):
    """lm-eval's transformers model with kft's generation; register name ``kft-hf``."""

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        """Answer kft's requests on the engine, the others as HFLM does."""
        return generate_until(self, requests, disable_tqdm)


def use_engine_for_hf() -> None:
    """Let plain ``--model hf`` answer kft's requests on the engine (off with ``KFT_FAST=0``).

    Tasks are loaded after the model is built and the method is looked up when it is called, so that this reaches the
    model of the same run. Subclasses with a generation of their own are not touched.
    """
    if HFLM.generate_until is _stock_generate_until:
        HFLM.generate_until = generate_until


def engine_for(lm: Any) -> Engine | None:
    """The engine of an lm-eval transformers model, made once; None (said once) where it cannot be used."""
    if not hasattr(lm, "_kft_engine"):
        lm._kft_engine = None
        reason = _unsuitable(lm)
        if not reason:
            try:
                lm._kft_engine = Engine(lm.model, lm.tokenizer)
            except UnsupportedModelError as error:
                reason = str(error)
        if reason:
            _log.warning("kft: using lm-eval's own generation, which is slower: %s", reason)
    engine: Engine | None = lm._kft_engine
    return engine


def _unsuitable(lm: Any) -> str:
    if os.environ.get("KFT_FAST", "1") == "0":
        return "KFT_FAST=0."
    if getattr(lm, "backend", "causal") != "causal":
        return "not a decoder-only model."
    if getattr(lm, "think_end_token", None):
        return "think_end_token is set."
    return ""


def encode(lm: Any, prompts: Sequence[str]) -> list[list[int]]:
    """Token ids exactly as ``HFLM.tok_batch_encode`` makes them, without padding."""
    special: dict[str, bool] = {}
    if has_bos_prefix(prompts[0], getattr(lm.tokenizer, "bos_token", None)):
        special = {"add_special_tokens": False}
    elif lm.add_bos_token is not None:
        special = {"add_special_tokens": lm.add_bos_token}
    ids: list[list[int]] = lm.tokenizer(list(prompts), padding=False, **special)["input_ids"]
    return ids


def generate_until(lm: Any, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
    """Drop-in for ``HFLM.generate_until``: one response a request, in order."""
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
    stock = iter(_stock_generate_until(lm, rest, disable_tqdm=disable_tqdm) if rest else ())
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
    if not isinstance(request, KnowledgeInstance) or request.ask is None:
        return False
    settings = request.arguments[1]
    neutral = settings.get("top_p", 1.0) == 1.0 and settings.get("repetition_penalty", 1.0) == 1.0
    return set(settings) <= _ENGINE_KEYS and "max_gen_toks" in settings and neutral


def _groups(requests: Sequence[KnowledgeInstance]) -> Iterator[list[KnowledgeInstance]]:
    """Requests that go into one pack: neighbours in type, as `kft detect --exhaustive` takes them together.

    Tasks never share a pack: two may ask the same question with other exemplars, another template or temperature.
    """
    by_task: dict[str, dict[tuple[str, str], dict[int, list[KnowledgeInstance]]]] = {}
    for request in requests:
        assert request.ask is not None
        sets = by_task.setdefault(str(request.task_name), {}).setdefault(
            (request.question_type, request.ask.question_id), {}
        )
        sets.setdefault(request.ask.exemplar_set, []).append(request)
    for by_question in by_task.values():
        ordered = sorted(by_question.items(), key=lambda item: item[0][0])
        for start in range(0, len(ordered), CHUNK_QUESTIONS):
            chunk = [sets for _, sets in ordered[start : start + CHUNK_QUESTIONS]]
            for wave in make_waves(max(number for sets in chunk for number in sets) + 1):
                if group := [request for number in wave for sets in chunk for request in sets.get(number, ())]:
                    yield group


def _answer(lm: Any, engine: Engine, group: Sequence[KnowledgeInstance]) -> dict[int, list[str]]:
    asks = {request.ask.key: request.ask for request in group if request.ask is not None}
    place = {key: index for index, key in enumerate(asks)}
    settings = group[0].arguments[1]
    sampled = [request for request in group if request.arguments[1]["do_sample"]]
    greedy = [request for request in group if not request.arguments[1]["do_sample"]]
    prompts = encode(lm, [ask.prompt for ask in asks.values()])
    longest = max(map(len, prompts))
    if longest + settings["max_gen_toks"] > lm.max_length:
        return {}  # lm-eval truncates these
    try:
        pack = engine.open(
            prompts,
            max_tokens=settings["max_gen_toks"],
            stop=settings["until"],
            top_k=max((request.arguments[1]["top_k"] for request in sampled), default=1),
            groups=[ask.group for ask in asks.values()],
        )
    except UnsupportedModelError as error:
        _log.warning("kft: using lm-eval's own generation, which is slower: %s", error)
        return {}
    answers: dict[int, list[str]] = {}
    given = pack.greedy([place[request.ask.key] for request in greedy if request.ask])
    answers |= {id(request): [text] for request, text in zip(greedy, given, strict=True)}
    if sampled:
        keys = [request.ask.key for request in sampled if request.ask]
        count, temperature = sampled[0].repeats or 1, sampled[0].arguments[1]["temperature"]
        drawn = pack.sample([place[key] for key in keys], keys, count, temperature)
        answers |= {id(request): list(texts) for request, texts in zip(sampled, drawn, strict=True)}
    return answers
