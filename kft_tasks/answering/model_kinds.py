"""Which of lm-eval's classes a model is, without importing those that are not in use."""

from __future__ import annotations

import sys
from typing import Any


def is_served(lm: Any) -> bool:
    """Whether this is one of lm-eval's models that speak OpenAI's protocol."""
    module = sys.modules.get("lm_eval.models.openai_completions")
    if module is None or not isinstance(lm, module.LocalCompletionsAPI):
        return False
    return not type(lm).__module__.startswith(("lm_eval.models.anthropic", "lm_eval.models.sglang"))  # no seed there


def is_vllm(lm: Any) -> bool:
    """Whether vLLM runs in this process."""
    module = sys.modules.get("lm_eval.models.vllm_causallms")
    return module is not None and isinstance(lm, module.VLLM)
