"""Keys and values of the prefixes that prompts share (their exemplars), kept from one trie to the next."""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kft_tasks.engine.attention import Segment
from kft_tasks.engine.kv_budget import KvBudget
from kft_tasks.engine.model import PackedModel
from kft_tasks.engine.token_count import TokenCount

if TYPE_CHECKING:
    import torch

PREFIXES_KEPT = 64  # all exemplar sets of the types in use

Prefix = tuple[int, ...]


class PrefixCache:
    """Computes each prefix once; the least recently used ones are dropped.

    Attributes:
        model, budget, count: of the engine; its tries share them.
    """

    def __init__(self, model: PackedModel, budget: KvBudget, count: TokenCount) -> None:
        self.model = model
        self.budget = budget
        self.count = count
        self._kept: OrderedDict[Prefix, list[tuple[torch.Tensor, torch.Tensor]]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def clear(self) -> None:
        """Drop everything: the model's weights have changed."""
        self._kept.clear()

    def append_to(self, cache: Any, prefixes: Sequence[Prefix]) -> None:
        """Append prefixes to ``cache``, in order; those that are not kept are computed together."""
        import torch

        batch: list[Prefix] = []
        for prefix in dict.fromkeys(prefixes):
            if prefix and prefix not in self._kept:
                if batch and sum(map(len, batch)) + len(prefix) > self.budget.rows:
                    self._add(batch)
                    batch = []
                batch.append(prefix)
        self._add(batch)
        with torch.inference_mode():
            for prefix in filter(None, prefixes):
                self._kept.move_to_end(prefix)
                for index, (keys, values) in enumerate(self._kept[prefix]):
                    cache.update(keys, values, index)
        while len(self._kept) > PREFIXES_KEPT:
            self._kept.popitem(last=False)

    def _add(self, prefixes: Sequence[Prefix]) -> None:
        """Compute prefixes in one call, or in several if that does not fit."""
        import torch

        if not prefixes:
            return
        try:
            self._compute(prefixes)
        except torch.OutOfMemoryError:
            if not self.budget.halve_rows():
                raise
            half = len(prefixes) // 2
            self._add(prefixes[:half])
            self._add(prefixes[half:])

    def _compute(self, prefixes: Sequence[Prefix]) -> None:
        from transformers import DynamicCache

        own = DynamicCache()
        if len(prefixes) == 1:
            self._compute_in_parts(own, prefixes[0])
        else:
            ends = np.cumsum([0, *map(len, prefixes)])
            places = [np.arange(*between) for between in itertools.pairwise(ends)]
            segments = [Segment(range(at[0], at[-1] + 1), at, np.tri(len(at), dtype=bool)) for at in places]
            positions = [position for prefix in prefixes for position in range(len(prefix))]
            self._forward(own, list(itertools.chain(*prefixes)), positions, segments)
        first = 0
        for prefix in prefixes:
            last = first + len(prefix)
            self._kept[prefix] = [
                (layer.keys[:, :, first:last].clone(), layer.values[:, :, first:last].clone()) for layer in own.layers
            ]
            self.count.prefilled += len(prefix)
            first = last

    def _compute_in_parts(self, own: Any, prefix: Prefix) -> None:
        """Compute one prefix that may be longer than a call may be."""
        for start in range(0, len(prefix), self.budget.rows):
            part = prefix[start : start + self.budget.rows]
            end = start + len(part)
            segment = Segment(range(len(part)), np.arange(end), np.tri(len(part), end, start, dtype=bool))
            self._forward(own, part, range(start, end), [segment])

    def _forward(
        self, cache: Any, tokens: Sequence[int], positions: Sequence[int], segments: Sequence[Segment]
    ) -> None:
        self.model.forward(cache, tokens, positions, segments, [len(tokens) - 1])
        self.budget.measure(cache)
