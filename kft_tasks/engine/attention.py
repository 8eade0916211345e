"""Attention over a packed sequence whose segments do not see one another.

A packed sequence holds prompts with several beginnings (one per type and exemplar set). The linear layers run over all
tokens at once; attention is computed segment by segment, as a padded batch, so that its cost does not grow with the
square of the sequence. Registered with transformers as the attention ``kft_segments``; outside :func:`segmented` it is
PyTorch's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

NAME = "kft_segments"
Bools = npt.NDArray[np.bool_]
_SMALL = 4  # rows: below this, a separate call costs more than padding


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
    """Segments of about the same size, padded to one batch."""

    query: torch.Tensor  # (segments * max rows,) row of each place in the padded batch
    key: torch.Tensor  # (segments * max slots,) slot of each place
    bias: torch.Tensor  # (segments, 1, max rows, max slots)


@dataclass(frozen=True)
class _Layout:
    batches: Sequence[_Batch]
    back: torch.Tensor  # (rows,) place of each row in the concatenated batches


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
    back = np.zeros(sum(len(segment.rows) for segment in segments), dtype=np.int64)
    batches = []
    places = 0
    for alike in _alike(segments):
        batch, rows = _pad(alike, dtype, device)
        for index, segment in enumerate(alike):
            back[list(segment.rows)] = places + index * rows + np.arange(len(segment.rows))
        places += len(alike) * rows
        batches.append(batch)
    layout = _Layout(batches, torch.from_numpy(back).to(device))
    token = _current.set(layout)
    try:
        yield torch.zeros((1, 1, 1, 1), dtype=dtype, device=device)
    finally:
        _current.reset(token)


def _alike(segments: Sequence[Segment]) -> Iterator[list[Segment]]:
    """Batches whose largest segment has at most twice the rows of the smallest: little is lost to padding."""
    batch: list[Segment] = []
    for segment in sorted(segments, key=lambda segment: (len(segment.rows), len(segment.slots))):
        if batch and len(segment.rows) > max(2 * len(batch[0].rows), _SMALL):
            yield batch
            batch = []
        batch.append(segment)
    yield batch


def _pad(segments: Sequence[Segment], dtype: torch.dtype, device: torch.device) -> tuple[_Batch, int]:
    """A padded batch, and its number of rows per segment."""
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
    query_at, key_at = (torch.from_numpy(places.reshape(-1)).to(device) for places in (query, key))
    return _Batch(query_at, key_at, bias_of(visible, dtype)[:, None].to(device)), max_rows


def bias_of(visible: Bools, dtype: torch.dtype) -> torch.Tensor:
    """0 where visible, the lowest number of ``dtype`` elsewhere."""
    bias = torch.zeros(visible.shape, dtype=dtype)
    return bias.masked_fill_(torch.from_numpy(~visible), torch.finfo(dtype).min)


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
    groups = query.shape[1] // key.shape[1]
    flat = []
    for batch in layout.batches:
        segments = batch.bias.shape[0]
        queries = _gather(query[0], batch.query, segments)
        keys, values = (_gather(states[0], batch.key, segments) for states in (key, value))
        if groups > 1:
            keys, values = keys.repeat_interleave(groups, dim=1), values.repeat_interleave(groups, dim=1)
        mixed = torch.nn.functional.scaled_dot_product_attention(
            queries, keys, values, attn_mask=batch.bias, scale=scaling
        )
        flat.append(mixed.transpose(1, 2).reshape(-1, query.shape[1], mixed.shape[-1]))
    return torch.cat(flat).index_select(0, layout.back)[None], None


def _gather(states: torch.Tensor, places: torch.Tensor, segments: int) -> torch.Tensor:
    """(heads, n, size) -> (segments, heads, max rows or slots, size)."""
    picked = states.index_select(1, places)
    return picked.view(states.shape[0], segments, -1, states.shape[-1]).transpose(0, 1)
