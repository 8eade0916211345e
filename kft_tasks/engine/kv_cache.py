"""Keys and values of a packed sequence, written in place into storage that grows ahead of need.

transformers' own cache is copied as a whole, layer by layer, for every call and every prefix that is appended. Here a
call writes its own tokens only. Importing this module imports transformers.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers.cache_utils import Cache, DynamicLayer


class _Layer(DynamicLayer):
    """One layer: ``keys`` and ``values`` are views, (1, heads, tokens, size), of storage with a token per row."""

    _key_rows: torch.Tensor | None = None  # (capacity, 1, heads, size)
    _value_rows: torch.Tensor | None = None
    _length = 0
    reserved = 0

    def get_seq_length(self) -> int:
        """Tokens in this layer."""
        return self._length

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append states of shape (1, heads, new tokens, size); all keys and values so far."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        first, self._length = self._length, self._length + key_states.shape[-2]
        capacity = max(self.reserved, self._length)
        self._key_rows = _write(self._key_rows, key_states, first, capacity)
        self._value_rows = _write(self._value_rows, value_states, first, capacity)
        self._show()
        return self.keys, self.values

    def truncate(self, length: int) -> None:
        """Forget all tokens but the first ``length``; the storage stays."""
        if self._length > length:
            self._length = length
            self._show()

    def select(self, index: torch.Tensor) -> None:
        """Keep the tokens at these places, in this order, in storage of exactly their size."""
        if self._key_rows is None or self._value_rows is None:
            return
        self._key_rows = self._key_rows.index_select(0, index)
        self._value_rows = self._value_rows.index_select(0, index)
        self._length = len(index)
        self._show()

    def _show(self) -> None:
        assert self._key_rows is not None
        assert self._value_rows is not None
        self.keys = self._key_rows[: self._length].permute(1, 2, 0, 3)
        self.values = self._value_rows[: self._length].permute(1, 2, 0, 3)


class KvCache(Cache):
    """A cache of transformers for one packed sequence.

    Attributes:
        capacity: tokens that the storage of a layer is made for when it is made or has to grow.
    """

    layers: list[_Layer]

    def __init__(self, capacity: int = 0) -> None:
        super().__init__(layer_class_to_replicate=_Layer)
        self.capacity = capacity

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append states of shape (1, heads, new tokens, size) to a layer; all its keys and values so far."""
        while len(self.layers) <= layer_idx:
            self.layers.append(_Layer())
        self.layers[layer_idx].reserved = self.capacity
        found: tuple[torch.Tensor, torch.Tensor] = super().update(key_states, value_states, layer_idx, *args, **kwargs)
        return found

    def truncate(self, length: int) -> None:
        """Forget all tokens but the first ``length`` in the layers that have more."""
        for layer in self.layers:
            layer.truncate(length)

    def select(self, index: torch.Tensor) -> None:
        """Keep the tokens at these places, in this order; the capacity becomes their number."""
        for layer in self.layers:
            layer.select(index)
        self.capacity = len(index)


def _write(rows: torch.Tensor | None, states: torch.Tensor, first: int, capacity: int) -> torch.Tensor:
    """Write states of shape (1, heads, n, size) from row ``first`` on; into larger storage if there is no room."""
    by_token = states.permute(2, 0, 1, 3)
    if rows is None or first + len(by_token) > len(rows):
        larger = by_token.new_empty((capacity, *by_token.shape[1:]))
        if rows is not None:
            larger[:first] = rows[:first]
        rows = larger
    rows[first : first + len(by_token)] = by_token
    return rows
