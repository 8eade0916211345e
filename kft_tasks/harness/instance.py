"""The request that kft's tasks hand to lm-eval's models."""

from __future__ import annotations

from dataclasses import dataclass

from lm_eval.api.instance import Instance

from kft_tasks.protocol.prompt_maker import PromptRequest


@dataclass
class KnowledgeInstance(Instance):
    """A request that says which question and exemplar set it is for, so that a backend can share work."""

    request: PromptRequest | None = None
    question_type: str = ""
