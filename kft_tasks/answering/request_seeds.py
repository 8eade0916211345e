"""A seed for every sample on engines that accept one: kft detect and lm-eval's command line send the same requests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kft_tasks.answering import completions_server as served
from kft_tasks.answering.blank_lines import skip_blank_lines
from kft_tasks.answering.model_kinds import is_served, is_vllm
from kft_tasks.answering.quiet_bars import quiet_bars
from kft_tasks.engine.decoding import sample_keys
from kft_tasks.errors import UsageError


def sample_seed(key: int, number: int) -> int:
    """Seed of sample ``number`` of the request with this key: 31 bits, which every engine accepts.

    It depends only on the protocol's seed, the question, the exemplar set and the number.
    """
    return int(sample_keys(key, number + 1)[number]) >> 33


def takes_seeds(lm: Any) -> bool:
    """Whether this lm-eval model accepts a seed in a request's settings: HFLM refuses it, sglang's class has none."""
    return is_served(lm) or is_vllm(lm)


def generate(lm: Any, requests: Sequence[Any], stops: Sequence[Sequence[str]] | None = None) -> list[str]:
    """Answer requests (lm-eval Instances), the sampled ones with a seed in their settings.

    Args:
        stops: for requests that skip blank lines before the answer, and so have no stop strings in their settings,
            those that cut each answer; see :mod:`kft_tasks.answering.blank_lines`.
    """
    if stops is None or not any(stops):
        return _ask(lm, requests)
    repeatable = [_is_repeatable(lm, request) for request in requests]
    return skip_blank_lines(lambda some: _ask(lm, some), requests, stops, repeatable)


def _is_repeatable(lm: Any, request: Any) -> bool:
    """Whether the request gets the same tokens when it is sent again."""
    settings = request.args[1]
    if not settings["do_sample"]:
        return True
    if "seed" not in settings:
        return False
    return not is_served(lm) or served.check_sampling(lm, request)


def _ask(lm: Any, requests: Sequence[Any]) -> list[str]:
    if is_served(lm):
        return served.generate(lm, requests)
    if is_vllm(lm):
        _check_vllm(lm)
    with quiet_bars():
        answers: list[str] = lm.generate_until(list(requests), disable_tqdm=True)
    return answers


def _check_vllm(lm: Any) -> None:
    """Refuse settings under which a seeded request ends vLLM's worker on a CPU ("CPU Generator does not use offset").

    Raises:
        UsageError: prompts may be prefilled in chunks.
    """
    config = getattr(getattr(getattr(lm, "model", None), "llm_engine", None), "vllm_config", None)
    device = getattr(getattr(config, "device_config", None), "device_type", "")
    chunked = getattr(getattr(config, "scheduler_config", None), "enable_chunked_prefill", False)
    if device == "cpu" and chunked:
        raise UsageError(
            "vLLM on a CPU cannot prefill the prompt of a request with a seed in chunks. Add "
            "enable_chunked_prefill=False,block_size=32,enable_prefix_caching=True to the model's arguments."
        )
