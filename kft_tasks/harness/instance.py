"""The request that kft's tasks hand to lm-eval's models."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from lm_eval.api.instance import Instance

from kft_tasks.protocol.prompt_maker import PromptRequest


@dataclass
class KnowledgeInstance(Instance):
    """An lm-eval request that says which question and exemplar set it is for, so that a model can share work.

    Attributes:
        stop: the strings that end an answer.
        skip_blank_lines: they end it only from its first character on that is not white space. The settings then have
            no stop strings, because most models would end an answer there that begins on the next line.
    """

    request: PromptRequest = field(kw_only=True)
    question_type: str = field(kw_only=True)
    stop: tuple[str, ...] = field(kw_only=True)
    skip_blank_lines: bool = field(kw_only=True)

    @property
    def settings(self) -> dict[str, Any]:
        """Generation settings, see :func:`kft_tasks.protocol.generation.generation_kwargs`."""
        settings: dict[str, Any] = self.arguments[1]
        return settings
