"""Which model was asked which questions: what a category file says about its origin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SERVED = "served:"  # prefix of the "weights" of a model behind a server, whose real weights are unknown

NOT_RECORDED = "not recorded"  # in place of a text that an imported log does not contain


@dataclass(frozen=True)
class ModelIdentity:
    """Which model was asked.

    Attributes:
        id: as the user named it (alias, hub id or folder).
        weights: SHA-256 over the weight files; for a served model, "served:" and its name; ``NOT_RECORDED`` in
            a file that was made from a log.
        adapter: SHA-256 over the adapter's weights and configuration, or None.
        dtype: precision it ran in; bfloat16 and float32 can differ in a few categories. Engines other than kft's
            own are named in front: "vllm:bfloat16".
    """

    id: str
    weights: str
    adapter: str | None = None
    dtype: str = "auto"

    def same_weights(self, other: ModelIdentity) -> bool:
        """Whether both are the same weights and adapter, under whatever name and precision."""
        known = NOT_RECORDED not in (self.weights, other.weights)
        return known and (self.weights, self.adapter) == (other.weights, other.adapter)


@dataclass(frozen=True)
class QuestionsIdentity:
    """Which questions were asked, and with which exemplars. The two digests do not depend on the order.

    Attributes:
        digest: of the questions under test.
        exemplars: digest of the exemplars split.
        options: those that the set was opened with.
    """

    set: str
    version: str
    split: str
    count: int
    digest: str
    exemplars: str
    options: Mapping[str, Any] = field(default_factory=dict)
