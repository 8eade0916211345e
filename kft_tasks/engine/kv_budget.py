"""How much memory generation may take: a budget for the key-value cache, and a limit on the tokens of one forward call.

The budget is :data:`SHARE` of the memory that is free on the device when the engine is made, or ``KFT_KV_GB``. It is
kept by recomputation: tries that do not fit beside the one in use lose their cache and are prefilled again at their
next request. The number of tokens per call is found by trial: it is halved after each out-of-memory error.
"""

from __future__ import annotations

import os
import weakref
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from kft_tasks.errors import UsageError

if TYPE_CHECKING:
    import torch

SHARE = 0.5
PREFIX_SHARE = 0.125  # of the budget: what prefixes that are kept for later may take beside it
MAX_ROWS = 4096  # tokens of one forward call; more gain nothing
MIN_ROWS = 32
VARIABLE = "KFT_KV_GB"
_GROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")
_GROUP_USED = Path("/sys/fs/cgroup/memory.current")


class CacheHolder(Protocol):
    """Something that holds keys and values and can release them. Its ``slots`` are the tokens it has storage for."""

    slots: int

    def release(self) -> None:
        """Drop the cache; it is computed again when needed."""
        ...


@dataclass
class KvBudget:
    """What an engine may use for keys and values, and what it has used.

    Attributes:
        budget: bytes for the keys and values of all tries.
        slot_bytes: bytes of one token in all layers; 0 until a cache has been measured.
        rows: largest number of tokens in one forward call.
        peak: largest number of slots in use so far.
    """

    budget: int
    slot_bytes: int = 0
    rows: int = MAX_ROWS
    peak: int = 0
    _last_use: weakref.WeakKeyDictionary[Any, int] = field(default_factory=weakref.WeakKeyDictionary)
    _uses: int = 0

    @property
    def slots(self) -> int:
        """Tokens that fit into the budget; at least one, so that there is progress."""
        return max(int(self.budget // self.slot_bytes), 1) if self.slot_bytes else 1 << 40

    @property
    def spare(self) -> int:
        """Tokens that could be held beside all that are held now."""
        held = sum(int(holder.slots) for holder in self._last_use)
        return max(0, self.slots - held)

    @property
    def prefix_slots(self) -> int:
        """Tokens of prefixes that may be kept for later tries, beside :attr:`slots`."""
        return int(self.slots * PREFIX_SHARE)

    @property
    def peak_bytes(self) -> int:
        """Largest number of bytes of keys and values so far."""
        return self.peak * self.slot_bytes

    def measure(self, cache: Any) -> None:
        """Learn the size of a token from a cache that holds some tokens."""
        if not self.slot_bytes:
            tensors = [tensor for layer in cache.layers for tensor in (layer.keys, layer.values)]
            self.slot_bytes = sum(t.numel() * t.element_size() for t in tensors) // cache.get_seq_length()

    def make_room(self, holder: CacheHolder, slots: int) -> None:
        """Release the least recently used other caches until ``holder`` can grow by ``slots``."""
        self._uses += 1
        self._last_use[holder] = self._uses
        others = sorted((other for other in self._last_use if other is not holder), key=self._last_use.__getitem__)
        held = sum(other.slots for other in others)
        for other in others:
            if held + holder.slots + slots <= self.slots:
                break
            held -= other.slots
            other.release()
        self.peak = max(self.peak, held + holder.slots + slots)

    def halve_rows(self) -> bool:
        """Make forward calls smaller after one did not fit; return False if they are as small as they get."""
        if self.rows <= MIN_ROWS:
            return False
        self.rows = max(MIN_ROWS, self.rows // 2)
        return True


def find_kv_budget(device: torch.device) -> KvBudget:
    """The budget for a device.

    Raises:
        UsageError: ``KFT_KV_GB`` is not a positive number.
    """
    given = os.environ.get(VARIABLE)
    if given is None:
        return KvBudget(int(free_bytes(device) * SHARE))
    try:
        gigabytes = float(given)
    except ValueError:
        gigabytes = 0.0
    if not 0 < gigabytes < 1e6:
        raise UsageError(f"{VARIABLE}={given!r} is not a positive number of gigabytes. Correct or unset it.")
    return KvBudget(int(gigabytes * 1e9))


def free_bytes(device: torch.device) -> int:
    """Free memory of a device in bytes; on a CPU, within the limit of the control group."""
    import psutil
    import torch

    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))
    if device.type == "mps":
        return int(torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory())
    free = int(psutil.virtual_memory().available)
    try:
        return max(0, min(free, int(_GROUP_LIMIT.read_text()) - int(_GROUP_USED.read_text())))
    except (OSError, ValueError):  # no control groups, or "max"
        return free
