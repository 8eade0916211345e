"""How much memory generation may take: a budget for the key-value cache, and the tokens of one forward call.

The budget is :data:`SHARE` of what is free on the device when the engine is made, or ``KFT_KV_GB``. It is kept by
computing again: packs of prompts that do not fit beside the one at work lose their cache and prefill anew when they are
asked. How many tokens go into one call is found by trying: half as many after each out-of-memory error.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kft_tasks.errors import UsageError

if TYPE_CHECKING:
    import torch

SHARE = 0.5
MOST_ROWS = 4096  # tokens of one forward call: more gain nothing
LEAST_ROWS = 32
VARIABLE = "KFT_KV_GB"
_GROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")
_GROUP_USED = Path("/sys/fs/cgroup/memory.current")


@dataclass
class Memory:
    """What an engine may use, and has used.

    Attributes:
        budget: bytes for the keys and values of all packs; what other packs keep is given up first.
        slot: bytes of one token in all layers; 0 until a cache was seen.
        rows: tokens of one forward call at most.
        most: slots in use at most so far.
    """

    budget: int
    slot: int = 0
    rows: int = MOST_ROWS
    most: int = 0

    @property
    def slots(self) -> int:
        """Tokens that the budget holds; the least that makes progress where it holds less."""
        return max(self.budget // self.slot, 1) if self.slot else 1 << 40

    def see(self, cache: Any) -> None:
        """Learn the size of a token from a cache that has some."""
        if not self.slot:
            tensors = [tensor for layer in cache.layers for tensor in (layer.keys, layer.values)]
            self.slot = sum(t.numel() * t.element_size() for t in tensors) // cache.get_seq_length()

    def use(self, slots: int) -> None:
        """Note how many slots all packs have."""
        self.most = max(self.most, slots)

    def halve_rows(self) -> bool:
        """Make forward calls smaller after one did not fit; False where they cannot be."""
        if self.rows <= LEAST_ROWS:
            return False
        self.rows = max(LEAST_ROWS, self.rows // 2)
        return True


def find_memory(device: torch.device) -> Memory:
    """The budget on a device.

    Raises:
        UsageError: ``KFT_KV_GB`` is not a positive number.
    """
    given = os.environ.get(VARIABLE)
    if given is None:
        return Memory(int(free_bytes(device) * SHARE))
    try:
        gigabytes = float(given)
    except ValueError:
        gigabytes = 0.0
    if not 0 < gigabytes < 1e6:
        raise UsageError(f"{VARIABLE}={given!r} is not a positive number of gigabytes. Correct or unset it.")
    return Memory(int(gigabytes * 1e9))


def free_bytes(device: torch.device) -> int:
    """Memory that is free on a device; on a CPU within the limits of the control group."""
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
