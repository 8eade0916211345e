"""Sampling that does not depend on the batch: noise comes from a hash, not from a generator's state.

A token is drawn by the Gumbel-max trick: ``argmax(logits / T + g)`` over the top k, where ``g`` is a hash of (sample
key, step, token id). The draw follows the softmax at temperature T over the top k exactly, and is the same whatever
else is in the batch, was skipped, or ran before.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from kft_tasks.hashing import keyed_int

U64 = npt.NDArray[np.uint64]
F64 = npt.NDArray[np.float64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def context_key(seed: int, question_id: str, exemplar_set: int) -> int:
    """64-bit key of everything sampled for one question with one exemplar set."""
    return keyed_int(seed, exemplar_set, question_id)


def sample_keys(key: int, count: int) -> U64:
    """Keys of the samples 0 to count - 1 under one context key; shape (count,)."""
    with np.errstate(over="ignore"):
        return _mix(np.uint64(key) + _GOLDEN * np.arange(1, count + 1, dtype=np.uint64))


def gumbel(keys: U64, step: int, tokens: npt.NDArray[np.int64]) -> F64:
    """Standard Gumbel noise, one value per sample and token.

    Args:
        keys: (rows,) sample keys.
        step: position in the answer, from 0.
        tokens: (rows, k) token ids.

    Returns:
        (rows, k) noise.
    """
    with np.errstate(over="ignore"):
        state = _mix(keys + _GOLDEN * np.uint64(step + 1))[:, None]
        bits = _mix(_mix(state ^ (tokens.astype(np.uint64) * _GOLDEN)))
    # 52 bits: with 53 the half is rounded away near 1, and a uniform of exactly 1 would give infinite noise
    uniform = ((bits >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52
    noise: F64 = -np.log(-np.log(uniform))
    return noise


def _mix(x: Any) -> U64:
    """Finaliser of SplitMix64 (Steele, Lea and Flood 2014): every input bit moves every output bit."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    result: U64 = x ^ (x >> np.uint64(31))
    return result
