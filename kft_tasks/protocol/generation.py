"""The generation settings of a protocol, as lm-eval writes them, and where its answers end."""

from __future__ import annotations

from typing import Any

from kft_tasks.engine.stop_strings import cut_at
from kft_tasks.protocol.prompts import get_template
from kft_tasks.protocol.protocol import Protocol

NEUTRAL = {"top_p": 1.0, "repetition_penalty": 1.0}
"""Settings without effect; sent with every request, because a model's or a server's defaults would apply otherwise."""

NEUTRAL_SAMPLED = {"min_p": 0.0}
"""The same for sampled requests only: transformers warns of min_p in a greedy one."""


def generation_kwargs(protocol: Protocol, *, sampled: bool) -> dict[str, Any]:
    """Settings of a greedy or a sampled request: all that lm-eval's models need to know.

    A greedy request has no temperature: lm-eval's sglang class samples if there is one.
    """
    chosen: dict[str, Any] = {**length_and_stop(protocol), "do_sample": sampled}
    if sampled:
        chosen |= {"temperature": protocol.temperature, "top_k": protocol.top_k, **NEUTRAL_SAMPLED}
    return chosen | NEUTRAL


def length_and_stop(protocol: Protocol) -> dict[str, Any]:
    """What greedy and sampled requests have in common.

    No stop string is sent if blank lines are skipped: it would end an answer that begins on the next line.
    """
    return {"until": [] if protocol.skip_blank_lines else stop_strings(protocol), "max_gen_toks": protocol.max_tokens}


def stop_strings(protocol: Protocol) -> list[str]:
    """The strings that end an answer."""
    return list(get_template(protocol.template).stop)


def cut_answer(text: str, protocol: Protocol) -> str:
    """The answer in a generated text: all before the first stop string, without white space around it."""
    return cut_at(text, stop_strings(protocol), skip_blank_lines=protocol.skip_blank_lines).strip()
