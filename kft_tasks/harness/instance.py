"""The request that kft's tasks hand to lm-eval's models."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from lm_eval.api.instance import Instance

from kft_tasks.protocol.prompt_maker import PromptRequest


@dataclass
class KnowledgeInstance(Instance):
    """An lm-eval request that says which question and exemplar set it is for, so that a model can share work."""

    request: PromptRequest = field(kw_only=True)
    question_type: str = field(kw_only=True)

    @property
    def settings(self) -> dict[str, Any]:
        """Generation settings, see :func:`kft_tasks.protocol.generation.generation_kwargs`."""
        settings: dict[str, Any] = self.arguments[1]
        return settings
