"""Keys and values of the prefixes that prompts share (their exemplars), kept from one trie to the next."""

from __future__ import annotations

import bisect
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

Prefix = tuple[int, ...]
States = list[tuple["torch.Tensor", "torch.Tensor"]]
"""Keys and values of one prefix, each (1, heads, tokens, size), by layer."""


class PrefixCache:
    """Computes each prefix once, and only what a kept one does not begin with already.

    Kept are the most recently used ones that fit into ``budget.prefix_slots``, and at least those of the last trie.

    Attributes:
        model, budget, count: of the engine; its tries share them.
    """

    def __init__(self, model: PackedModel, budget: KvBudget, count: TokenCount) -> None:
        self.model = model
        self.budget = budget
        self.count = count
        self._kept: OrderedDict[Prefix, States] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def slots(self) -> int:
        """Tokens of all prefixes that are kept."""
        return sum(map(len, self._kept))

    def clear(self) -> None:
        """Drop everything: the model's weights have changed."""
        self._kept.clear()

    def append_to(self, cache: Any, prefixes: Sequence[Prefix]) -> None:
        """Append prefixes to ``cache``, in order; those that are not kept are computed together."""
        import torch

        wanted = list(dict.fromkeys(filter(None, prefixes)))
        batch: list[Prefix] = []
        for prefix in wanted:
            if prefix not in self._kept:
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
        held = self.slots
        while held > self.budget.prefix_slots and len(self._kept) > len(wanted):
            held -= len(self._kept.popitem(last=False)[0])

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
        """Compute what is not known of each prefix; one may be longer than a call, several together may not."""
        import torch

        from kft_tasks.engine.kv_cache import KvCache

        own = KvCache(sum(map(len, prefixes)))
        slots: list[list[int]] = []  # of each prefix's tokens in ``own``
        filled = 0
        for known in map(self._known, prefixes):
            with torch.inference_mode():
                for index, (keys, values) in enumerate(known):
                    own.update(keys, values, index)
            length = known[0][0].shape[2] if known else 0
            slots.append(list(range(filled, filled + length)))
            filled += length
        starts = [len(places) for places in slots]
        if len(prefixes) == 1:
            parts = [range(start, len(prefixes[0])) for start in range(starts[0], len(prefixes[0]), self.budget.rows)]
            rounds = [[part[: self.budget.rows]] for part in parts]
        else:
            rounds = [[range(start, len(prefix)) for start, prefix in zip(starts, prefixes, strict=True)]]
        for parts in rounds:
            self._run(own, prefixes, parts, slots)
        with torch.inference_mode():
            for prefix, places in zip(prefixes, slots, strict=True):
                at = torch.tensor(places, device=self.model.device)
                self._kept[prefix] = [
                    (layer.keys.index_select(2, at), layer.values.index_select(2, at)) for layer in own.layers
                ]
        self.count.prefilled += sum(map(len, prefixes)) - sum(starts)

    def _run(self, own: Any, prefixes: Sequence[Prefix], parts: Sequence[range], slots: list[list[int]]) -> None:
        """Run these positions of each prefix in one call, and add their places in ``own`` to ``slots``."""
        filled = own.get_seq_length()
        tokens: list[int] = []
        segments = []
        for prefix, part, places in zip(prefixes, parts, slots, strict=True):
            rows = range(len(tokens), len(tokens) + len(part))
            places += [filled + row for row in rows]
            if part:
                mask = np.tri(len(part), len(places), part.start, dtype=bool)
                segments.append(Segment(rows, np.array(places), mask))
            tokens += prefix[part.start : part.stop]
        if tokens:
            self.model.forward(own, tokens, list(itertools.chain(*parts)), segments, [len(tokens) - 1])
            self.budget.measure(own)

    def _known(self, prefix: Prefix) -> States:
        """States of the first tokens of a prefix, if a kept one begins with at least half of it; else none."""
        in_order = sorted(self._kept)
        at = bisect.bisect(in_order, prefix)
        common, nearest = max(
            ((_common(prefix, other), other) for other in in_order[max(0, at - 1) : at + 1]), default=(0, ())
        )
        if 2 * common < len(prefix):
            return []
        return [(keys[:, :, :common], values[:, :, :common]) for keys, values in self._kept[nearest]]


def _common(one: Prefix, other: Prefix) -> int:
    """Number of first tokens that are the same."""
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
