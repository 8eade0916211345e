"""Copies between host and device: few, because on a GPU each costs more than the arithmetic of a small step.

The engine lays out a step on the host. What the device needs of it goes over in one copy per kind of number, and what
the host needs to choose tokens comes back in one, which is the only point of a step where it waits for the device.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch


def to_device(arrays: Sequence[npt.NDArray[Any]], device: torch.device) -> list[torch.Tensor]:
    """Arrays of one type as tensors on the device, each in its shape, sent in one copy."""
    flat = [np.ascontiguousarray(array).reshape(-1) for array in arrays]
    sent = torch.from_numpy(np.concatenate(flat)).to(device, non_blocking=True)
    parts = sent.split([len(array) for array in flat])
    return [part.view(array.shape) for part, array in zip(parts, arrays, strict=True)]


def top_on_host(logits: torch.Tensor, count: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Token ids and values of the ``count`` largest logits of each row, the largest first, brought over in one copy."""
    top = logits.topk(count, dim=-1)
    both = torch.cat([top.indices.double(), top.values.double()], dim=-1).cpu().numpy()  # a double holds ids exactly
    return both[:, :count].astype(np.int64), both[:, count:]
