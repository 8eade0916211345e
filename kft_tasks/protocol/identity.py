"""Which model was asked, and which questions: what a category file says of its origin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SERVED = "served:"  # begins the "weights" of a model behind a server, which nobody here can see


@dataclass(frozen=True)
class ModelIdentity:
    """Which model was asked.

    Attributes:
        id: as the user named it (alias, hub id or folder).
        weights: SHA-256 over the weight files; of a served model "served:" and its name, the weights being unknown.
        adapter: SHA-256 over the adapter's weights and configuration, or None.
        dtype: precision it ran in; bfloat16 and float32 can differ in a few categories. With another engine than
            kft's own its name stands before: "vllm:bfloat16".
    """

    id: str
    weights: str
    adapter: str | None = None
    dtype: str = "auto"

    def same_weights(self, other: ModelIdentity) -> bool:
        """Do both name the same weights and adapter, under whatever name and precision?"""
        return (self.weights, self.adapter) == (other.weights, other.adapter)


@dataclass(frozen=True)
class QuestionsIdentity:
    """Which questions were asked, and out of which exemplars prompts were made (digests do not depend on order).

    ``options`` are those that the set was opened with.
    """

    set: str
    version: str
    split: str
    count: int
    digest: str
    exemplars: str
    options: Mapping[str, Any] = field(default_factory=dict)
