"""The generation settings of a protocol, as lm-eval writes them."""

from __future__ import annotations

from typing import Any

from kft_tasks.protocol.prompts import get_template
from kft_tasks.protocol.protocol import Protocol

NEUTRAL = {"top_p": 1.0, "repetition_penalty": 1.0}
"""Settings without effect; sent with every request, because a model's or a server's defaults would apply otherwise."""


def generation_kwargs(protocol: Protocol, *, sampled: bool) -> dict[str, Any]:
    """Settings of a greedy or a sampled request: all that lm-eval's models need to know.

    A greedy request has no temperature: lm-eval's sglang class samples if there is one.
    """
    chosen: dict[str, Any] = {**length_and_stop(protocol), "do_sample": sampled}
    if sampled:
        chosen |= {"temperature": protocol.temperature, "top_k": protocol.top_k}
    return chosen | NEUTRAL


def length_and_stop(protocol: Protocol) -> dict[str, Any]:
    """What greedy and sampled requests have in common."""
    return {"until": list(get_template(protocol.template).stop), "max_gen_toks": protocol.max_tokens}
