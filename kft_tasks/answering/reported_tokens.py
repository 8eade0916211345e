"""Tokens computed by other engines, as they report them; what an engine does not report stays 0."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from kft_tasks.answering.model_kinds import is_served, is_vllm
from kft_tasks.engine.token_count import TokenCount

_counts: weakref.WeakKeyDictionary[Any, TokenCount] = weakref.WeakKeyDictionary()


def reported_tokens(lm: Any) -> TokenCount:
    """What a model of lm-eval reports from now on; the same object whenever it is asked for."""
    if lm not in _counts:
        count = _counts[lm] = TokenCount()
        if is_served(lm):
            lm.parse_generations = _counting(lm.parse_generations, lambda outputs: _add_replies(count, outputs))
        elif is_vllm(lm) and hasattr(lm, "model"):  # with data_parallel_size, others hold the engines
            lm.model.generate = _counting_results(lm.model.generate, count)
    return _counts[lm]


def _counting(stock: Callable[..., list[str]], add: Callable[[Any], None]) -> Callable[..., list[str]]:
    def parse_generations(outputs: Any, **kwargs: Any) -> list[str]:
        add(outputs)
        return stock(outputs=outputs, **kwargs)

    return parse_generations


def _add_replies(count: TokenCount, outputs: Any) -> None:
    """Add the ``usage`` of OpenAI's interface; llama.cpp and vLLM also say how much of a prompt was cached."""
    for reply in outputs if isinstance(outputs, list) else [outputs]:
        usage = reply.get("usage") if isinstance(reply, dict) else None
        if not isinstance(usage, dict):
            continue
        prompt, answer = _whole(usage.get("prompt_tokens")), _whole(usage.get("completion_tokens"))
        details = usage.get("prompt_tokens_details")
        cached = details.get("cached_tokens") if isinstance(details, dict) else None
        _add(count, prompt, answer, None if cached is None else _whole(cached))


def _counting_results(stock: Callable[..., Any], count: TokenCount) -> Callable[..., Any]:
    def generate(*args: Any, **kwargs: Any) -> Any:
        results = stock(*args, **kwargs)
        for result in results:
            prompt, answer = len(result.prompt_token_ids or ()), sum(len(one.token_ids) for one in result.outputs)
            _add(count, prompt, answer, result.num_cached_tokens)
        return results

    return generate


def _add(count: TokenCount, prompt: int, answer: int, cached: int | None) -> None:
    count.prompt_tokens += prompt
    count.answer_tokens += answer
    count.decoded += answer
    if cached is not None:
        count.prefilled += max(0, prompt - cached)


def _whole(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else 0
