"""Attention over a packed sequence whose segments do not see one another.

A packed sequence holds prompts with several beginnings (one per type and exemplar set). The linear layers run over all
tokens at once; attention is computed segment by segment, as padded batches, so that its cost does not grow with the
square of the sequence. Query heads that share a key head are rows of one matrix, so that keys and values are not copied
for each of them. Registered with transformers as the attention ``kft_segments``; outside :func:`segmented` it is
PyTorch's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from kft_tasks.engine.transfer import to_device

NAME = "kft_segments"
Bools = npt.NDArray[np.bool_]
# Costs relative to one row that attends to one slot, measured on a CPU:
_GATHER = 6  # to fetch keys and values of one slot
_CALL = 2000  # to compute one more batch
_WASTE = 0.2  # padding, as a share of what is not padding, that is always accepted
_BLOCKS = (8, 16, 32, 64, 128, 256)  # rows of the blocks that a segment may be cut into


@dataclass(frozen=True)
class Segment:
    """Rows of one call that attend to the same slots.

    Attributes:
        rows: positions in the call's tokens.
        slots: positions in the key-value cache, including those of this call.
        mask: (rows, slots) bool, True where a row may attend to a slot.
    """

    rows: Sequence[int]
    slots: npt.NDArray[np.int64]
    mask: Bools


@dataclass(frozen=True)
class _Batch:
    """Segments of about the same size, padded to one batch. G query heads share one of the key heads."""

    query: torch.Tensor  # (segments * key heads * max rows,) row * key heads + head, for the queries of G heads each
    key: torch.Tensor | slice  # (segments * max slots,) slot of each place; a slice: one segment, of neighbours
    bias: torch.Tensor  # (segments, 1, max rows * G, max slots)


@dataclass
class _Layout:
    """The segments of a call, laid out when the first layer shows how many heads there are."""

    segments: Sequence[Segment]
    dtype: torch.dtype
    device: torch.device
    _made: dict[tuple[int, int], tuple[list[_Batch], torch.Tensor]] = field(default_factory=dict)

    def for_heads(self, heads: int, key_heads: int) -> tuple[list[_Batch], torch.Tensor]:
        """The batches, and for each row and head the place of its output in the concatenated batches."""
        if (heads, key_heads) not in self._made:
            self._made[heads, key_heads] = _lay_out(self.segments, heads, key_heads, self.dtype, self.device)
        return self._made[heads, key_heads]


_current: ContextVar[_Layout | None] = ContextVar("kft_segments", default=None)


def use_segments(model: Any) -> bool:
    """Switch a model's attention to ``kft_segments``; return False if it does not run on PyTorch's SDPA."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    if getattr(model.config, "_attn_implementation", None) == NAME:
        return True
    if getattr(model.config, "_attn_implementation", None) != "sdpa":
        return False
    AttentionInterface.register(NAME, _attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    base.set_attn_implementation(NAME)
    return True


@contextmanager
def segmented(segments: Sequence[Segment], dtype: torch.dtype, device: torch.device) -> Iterator[torch.Tensor]:
    """Compute attention by ``segments`` within the block; yields a 4-D mask that keeps transformers from making one."""
    layout = _Layout(segments, dtype, device)
    token = _current.set(layout)
    try:
        yield torch.zeros((1, 1, 1, 1), dtype=dtype, device=device)
    finally:
        _current.reset(token)


def in_blocks(segment: Segment) -> Iterator[Segment]:
    """A segment cut into blocks of rows that attend only to the slots that one of them sees, if that is cheaper.

    In a trie, neighbouring rows share most of what they see, and see little of what the rest of the segment sees.
    """
    count = len(segment.rows)
    cuts = [range(0, count, rows) for rows in _BLOCKS if rows < count]
    cuts.append(range(0, count, max(count, 1)))
    seen = [np.add.reduceat(segment.mask, cut, axis=0, dtype=bool) for cut in cuts]
    costs = [float(each.sum(1) @ (np.diff([*cut, count]) + _GATHER)) for cut, each in zip(cuts, seen, strict=True)]
    best = int(np.argmin(costs))
    if len(cuts[best]) == 1:
        yield segment
        return
    for start, slots in zip(cuts[best], seen[best], strict=True):
        rows = slice(start, start + cuts[best].step)
        yield Segment(segment.rows[rows], segment.slots[slots], segment.mask[rows, slots])


def _alike(segments: Sequence[Segment]) -> Iterator[list[Segment]]:
    """Batches of segments of about the same size: more padding than a call is worth is not accepted."""
    batch: list[Segment] = []
    real = 0
    for segment in sorted(segments, key=lambda segment: (len(segment.rows), len(segment.slots))):
        area = real + segment.mask.size
        most_slots = max((len(one.slots) for one in [*batch, segment]), default=0)
        padded = (len(batch) + 1) * len(segment.rows) * most_slots
        if batch and padded - area > _WASTE * area + _CALL:
            yield batch
            batch, area = [], segment.mask.size
        batch.append(segment)
        real = area
    yield batch


@dataclass(frozen=True)
class _Padded:
    """A batch on the host. ``key`` is None where the slots are neighbours, from ``first`` to ``last``."""

    query: npt.NDArray[np.int64]
    key: npt.NDArray[np.int64] | None
    visible: Bools
    first: int
    last: int


def _lay_out(
    segments: Sequence[Segment], heads: int, key_heads: int, dtype: torch.dtype, device: torch.device
) -> tuple[list[_Batch], torch.Tensor]:
    """See :meth:`_Layout.for_heads`."""
    groups = heads // key_heads
    # of row and head: which place of (rows * groups, key heads) of the outputs of all batches
    back = np.zeros((sum(len(segment.rows) for segment in segments), key_heads, groups), dtype=np.int64)
    inner = np.arange(key_heads)[:, None] + key_heads * np.arange(groups)[None, :]
    padded = []
    places = 0
    for alike in _alike(segments):
        batch = _pad(alike, key_heads)
        rows = batch.visible.shape[1]
        for index, segment in enumerate(alike):
            first = (places + index * rows + np.arange(len(segment.rows))) * heads
            back[np.asarray(segment.rows)] = first[:, None, None] + inner
        places += len(alike) * rows
        padded.append(batch)
    numbers = [array for batch in padded for array in (batch.query, batch.key) if array is not None]
    *sent, back_there = to_device([*numbers, back.reshape(-1)], device)
    masks = to_device([batch.visible for batch in padded], device)
    there = iter(sent)
    batches = []
    for batch, visible in zip(padded, masks, strict=True):
        query = next(there)
        key = slice(batch.first, batch.last + 1) if batch.key is None else next(there)
        batches.append(_Batch(query, key, bias_of(visible, dtype).repeat_interleave(groups, dim=1)[:, None]))
    return batches, back_there


def _pad(segments: Sequence[Segment], key_heads: int) -> _Padded:
    """A padded batch."""
    max_rows = max(len(segment.rows) for segment in segments)
    max_slots = max(len(segment.slots) for segment in segments)
    query = np.zeros((len(segments), max_rows), dtype=np.int64)
    key = np.zeros((len(segments), max_slots), dtype=np.int64)
    visible = np.zeros((len(segments), max_rows, max_slots), dtype=bool)
    for index, segment in enumerate(segments):
        rows, slots = len(segment.rows), len(segment.slots)
        query[index, :rows] = segment.rows
        key[index, :slots] = segment.slots
        visible[index, :rows, :slots] = segment.mask
        visible[index, rows:, 0] = True  # padding must see something: the softmax of nothing is NaN
    by_head = query[:, None] * key_heads + np.arange(key_heads)[None, :, None]
    neighbours = len(segments) == 1 and bool((np.diff(key[0]) == 1).all())
    places = None if neighbours else key.reshape(-1)
    return _Padded(by_head.reshape(-1), places, visible, int(key[0, 0]), int(key[0, -1]))


def bias_of(visible: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """0 where visible, the lowest number of ``dtype`` elsewhere, on the same device."""
    bias = torch.zeros(visible.shape, dtype=dtype, device=visible.device)
    return bias.masked_fill_(~visible, torch.finfo(dtype).min)


def dense_mask(segments: Sequence[Segment], slots: int) -> Bools:
    """The same visibility as one dense (rows, slots) mask, for models that need it."""
    mask = np.zeros((sum(len(segment.rows) for segment in segments), slots), dtype=bool)
    for segment in segments:
        mask[np.ix_(np.array(segment.rows), segment.slots)] = segment.mask
    return mask


def _attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Attention as a ``transformers.AttentionInterface``: (1, heads, rows, size) to (1, rows, heads, size)."""
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    layout = _current.get()
    if layout is None:
        result: tuple[torch.Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
        return result
    unknown = [name for name in ("softcap", "s_aux", "sinks") if kwargs.get(name) is not None]
    if unknown:
        raise NotImplementedError(f"attention with {unknown[0]}")
    _, heads, rows, size = query.shape
    key_heads = key.shape[1]
    batches, back = layout.for_heads(heads, key_heads)
    # the query heads of one key head side by side: (rows * key heads, groups * size)
    by_row = query[0].transpose(0, 1).reshape(rows * key_heads, -1)
    flat = []
    for batch in batches:
        segments = batch.bias.shape[0]
        queries = by_row.index_select(0, batch.query).view(segments, key_heads, -1, size)
        keys, values = (_gather(states[0], batch.key, segments) for states in (key, value))
        mixed = torch.nn.functional.scaled_dot_product_attention(
            queries, keys, values, attn_mask=batch.bias, scale=scaling
        )
        flat.append(mixed.transpose(1, 2).reshape(-1, mixed.shape[-1]))
    return torch.cat(flat).index_select(0, back).view(1, rows, heads, -1), None


def _gather(states: torch.Tensor, places: torch.Tensor | slice, segments: int) -> torch.Tensor:
    """(heads, n, size) -> (segments, heads, max slots, size)."""
    if isinstance(places, slice):
        return states[None, :, places]
    picked = states.transpose(0, 1).index_select(0, places)
    return picked.view(segments, -1, *picked.shape[1:]).transpose(1, 2)
