"""What vLLM needs to be told for seeded requests with long shared prompts, by the platform that it runs on."""

from __future__ import annotations

from typing import Any

_CPU: dict[str, Any] = {
    # a seeded request whose prompt is cut into pieces ends the worker: "CPU Generator does not use offset"
    "enable_chunked_prefill": False,
    # whole blocks of tokens are shared: with 128, the default on a CPU, hardly any of a prompt of 150 is
    "block_size": 32,
}


def platform_arguments() -> dict[str, Any]:
    """Arguments of vLLM's engine for the platform that it chose."""
    return dict(_CPU) if on_cpu() else {}


def on_cpu() -> bool:
    """Whether vLLM computes on the CPU; false for releases too old to say."""
    try:
        from vllm.platforms import current_platform
    except ImportError:
        return False
    return bool(current_platform.is_cpu())
