"""Attention by segments, against one dense mask."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from kft_tasks.engine.attention import Segment, _attention, _Layout, bias_of, dense_mask, in_blocks, segmented

SIZE = 8


def _trie_segment(first_row: int, first_slot: int, prefix: int, prompts: int, own: int) -> Segment:
    """``prompts`` chains of ``own`` rows behind a common prefix whose slots are filled already."""
    rows = prompts * own
    mask = np.zeros((rows, prefix + rows), dtype=bool)
    mask[:, :prefix] = True
    for start in range(0, rows, own):
        mask[start : start + own, prefix + start : prefix + start + own] = np.tri(own, dtype=bool)
    return Segment(range(first_row, first_row + rows), first_slot + np.arange(prefix + rows), mask)


@pytest.mark.parametrize(("heads", "key_heads"), [(4, 4), (6, 2), (3, 1)])
@pytest.mark.parametrize("shapes", [[(5, 1, 3)], [(0, 40, 5)], [(9, 2, 2), (3, 4, 3), (7, 1, 1), (30, 30, 6)]])
@pytest.mark.parametrize("blocks", [True, False])
def test_segments_give_what_one_mask_over_everything_gives(
    heads: int, key_heads: int, shapes: list[tuple[int, int, int]], blocks: bool
) -> None:
    segments, row, slot = [], 0, 0
    for shape in shapes:
        segments.append(_trie_segment(row, slot, *shape))
        row, slot = row + len(segments[-1].rows), slot + len(segments[-1].slots)
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(1, heads, row, SIZE, generator=generator)
    key, value = torch.randn(2, 1, key_heads, slot, SIZE, generator=generator)
    bias = bias_of(torch.from_numpy(dense_mask(segments, slot)), torch.float32)[None, None]
    expected = torch.nn.functional.scaled_dot_product_attention(
        query, *(states.repeat_interleave(heads // key_heads, 1) for states in (key, value)), attn_mask=bias
    )
    cut = [block for segment in segments for block in in_blocks(segment)] if blocks else segments
    with segmented(cut, torch.float32, torch.device("cpu")):
        given, _ = _attention(SimpleNamespace(), query, key, value, None)
    assert torch.allclose(given, expected.transpose(1, 2), atol=1e-5)


def test_a_segment_of_many_prompts_is_cut_so_that_rows_meet_little_that_they_do_not_see() -> None:
    segment = _trie_segment(0, 0, 70, 100, 12)
    blocks = list(in_blocks(segment))
    assert [row for block in blocks for row in block.rows] == list(segment.rows)
    assert sum(block.mask.size for block in blocks) < segment.mask.size / 5
    assert all(block.mask.any(0).all() for block in blocks)  # every slot is seen by somebody
    rebuilt = dense_mask(blocks, len(segment.slots))
    assert (rebuilt == segment.mask).all()


def test_a_segment_whose_rows_see_the_same_is_left_whole() -> None:
    segment = Segment(range(100), np.arange(300), np.ones((100, 300), dtype=bool))
    assert [len(block.rows) for block in in_blocks(segment)] == [100]


def test_one_segment_of_neighbouring_slots_is_read_without_a_copy() -> None:
    segments = [_trie_segment(0, 5, 3, 2, 2)]
    device = torch.device("cpu")
    batches, _ = _Layout(segments, torch.float32, device).for_heads(6, 2)
    assert [batch.key for batch in batches] == [slice(5, 12)]
    apart = Segment(segments[0].rows, segments[0].slots * 2, segments[0].mask)
    batches, _ = _Layout([apart], torch.float32, device).for_heads(6, 2)
    assert isinstance(batches[0].key, torch.Tensor)


def test_segments_of_very_different_size_are_not_padded_to_one_batch() -> None:
    segments = [_trie_segment(0, 0, 5, 1, 4), _trie_segment(4, 9, 400, 20, 10)]
    batches, _ = _Layout(segments, torch.float32, torch.device("cpu")).for_heads(3, 3)
    assert sorted(tuple(batch.bias.shape) for batch in batches) == [(1, 1, 4, 9), (1, 1, 200, 600)]
    alike = [_trie_segment(0, 0, 70, 1, 4), _trie_segment(4, 74, 71, 1, 4)]
    batches, _ = _Layout(alike, torch.float32, torch.device("cpu")).for_heads(3, 3)
    assert [tuple(batch.bias.shape) for batch in batches] == [(2, 1, 4, 75)]
