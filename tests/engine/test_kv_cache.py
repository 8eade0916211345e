"""The cache that is written in place, against transformers' own."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import DynamicCache

from kft_tasks.engine.kv_cache import KvCache

LAYERS, HEADS, SIZE = 2, 3, 4


def _states(tokens: int, seed: int) -> Any:
    return torch.randn(2, 1, HEADS, tokens, SIZE, generator=torch.Generator().manual_seed(seed))


def _fill(cache: Any, lengths: list[int]) -> list[Any]:
    return [
        cache.update(*_states(tokens, 10 * number + layer), layer)
        for number, tokens in enumerate(lengths)
        for layer in range(LAYERS)
    ]


@pytest.mark.parametrize("capacity", [0, 7, 100])
def test_states_are_those_of_transformers_cache_whatever_the_capacity(capacity: int) -> None:
    ours, theirs = KvCache(capacity), DynamicCache()
    for own, other in zip(_fill(ours, [5, 1, 3]), _fill(theirs, [5, 1, 3]), strict=True):
        assert all(torch.equal(one, two) for one, two in zip(own, other, strict=True))
    assert ours.get_seq_length() == theirs.get_seq_length() == 9
    for own, other in zip(ours.layers, theirs.layers, strict=True):
        assert torch.equal(own.keys, other.keys)
        assert torch.equal(own.values, other.values)


def test_what_fits_into_the_capacity_is_not_copied_when_more_comes() -> None:
    cache = KvCache(10)
    _fill(cache, [4])
    places = [(layer.keys.data_ptr(), layer.values.data_ptr()) for layer in cache.layers]
    _fill(cache, [3, 3])
    assert [(layer.keys.data_ptr(), layer.values.data_ptr()) for layer in cache.layers] == places
    _fill(cache, [1])
    assert cache.layers[0].keys.data_ptr() != places[0][0]
    assert cache.get_seq_length() == 11


def test_storage_has_room_for_the_capacity_and_no_more() -> None:
    cache = KvCache(10)
    _fill(cache, [4])
    assert cache.layers[0].keys.untyped_storage().nbytes() == 10 * HEADS * SIZE * 4
    cache.select(torch.tensor([3, 0]))
    assert cache.capacity == 2
    assert cache.layers[0].keys.untyped_storage().nbytes() == 2 * HEADS * SIZE * 4


def test_tokens_are_selected_in_the_order_given_and_forgotten_from_the_end() -> None:
    cache, theirs = KvCache(8), DynamicCache()
    _fill(cache, [5])
    _fill(theirs, [5])
    cache.select(torch.tensor([4, 1, 2]))
    for own, other in zip(cache.layers, theirs.layers, strict=True):
        assert torch.equal(own.keys, other.keys[:, :, [4, 1, 2]])
        assert torch.equal(own.values, other.values[:, :, [4, 1, 2]])
    cache.truncate(2)
    cache.truncate(2)
    assert cache.get_seq_length() == 2
    keys, _ = cache.update(*_states(1, 99), 0)
    assert torch.equal(keys[:, :, :2], theirs.layers[0].keys[:, :, [4, 1]])
    assert torch.equal(keys[:, :, 2:], _states(1, 99)[0])
