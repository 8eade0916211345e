"""A LoRA whose first ranks are frozen: how ``start: merged`` trains on top of the adapter of the stage before.

``s1 B1 A1 + s2 B2 A2`` is one LoRA of rank r1 + r2. Training that LoRA, with the first r1 ranks frozen, is training a
new LoRA on the merged model, except that nothing is ever added to the base weights: what is saved is what was trained,
to the bit and in every precision. (A merge that is rounded to bfloat16 loses most of the first adapter.)

Importing this module imports torch; the rest of kft_train imports it inside functions.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  # the name everybody knows it by


class _FrozenRanks(torch.nn.Linear):
    """A factor of a LoRA whose first ``count`` ranks do not learn.

    In evaluation it is the plain layer. The frozen values are kept beside the weight because weight decay reaches all
    of a weight: see :func:`restore_frozen`.

    Args:
        axis: of the ranks: 0 in A, 1 in B.
    """

    frozen: torch.Tensor

    def __init__(self, factor: torch.nn.Linear, axis: int, count: int) -> None:
        super().__init__(factor.in_features, factor.out_features, bias=False, device="meta")
        self.weight = factor.weight
        self.axis = axis
        self.register_buffer("frozen", self.weight.detach().narrow(axis, 0, count).clone(), persistent=False)

    def learning(self) -> torch.Tensor:
        """The part of the weight that learns."""
        count = self.frozen.shape[self.axis]
        return self.weight.narrow(self.axis, count, self.weight.shape[self.axis] - count)

    def restore(self) -> None:
        """Write the frozen values back."""
        self.weight.detach().narrow(self.axis, 0, self.frozen.shape[self.axis]).copy_(self.frozen)


class _FrozenA(_FrozenRanks):
    """A. Its frozen ranks see no dropout, as if they had been merged."""

    def __init__(self, factor: torch.nn.Linear, count: int, dropout: torch.nn.Module) -> None:
        super().__init__(factor, 0, count)
        self.dropout = dropout

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Output of shape (..., ranks)."""
        if not self.training:
            return super().forward(x)
        return torch.cat([F.linear(x, self.frozen), F.linear(self.dropout(x), self.learning())], dim=-1)


class _FrozenB(_FrozenRanks):
    """B."""

    def __init__(self, factor: torch.nn.Linear, count: int) -> None:
        super().__init__(factor, 1, count)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Output of shape (..., features)."""
        if not self.training:
            return super().forward(x)
        return F.linear(x, torch.cat([self.frozen, self.learning()], dim=1))


def freeze_first_ranks(model: Any, ranks: int, learning: Collection[str]) -> None:
    """Freeze the first ``ranks`` of every LoRA layer of a PeftModel, in place.

    Args:
        learning: names of the layers whose other ranks learn; any other layer is frozen as a whole.
    """
    for name, layer in list(model.named_modules()):
        for adapter in list(getattr(layer, "lora_A", ())):
            down, up = layer.lora_A[adapter], layer.lora_B[adapter]
            count = ranks if name in learning else down.out_features
            layer.lora_A[adapter] = _FrozenA(down, count, layer.lora_dropout[adapter])
            layer.lora_B[adapter] = _FrozenB(up, count)
            layer.lora_dropout[adapter] = torch.nn.Identity()


def restore_frozen(model: Any) -> None:
    """Undo what an optimizer step did to frozen ranks: their gradient is zero, but weight decay still shrinks them."""
    for module in model.modules():
        if isinstance(module, _FrozenRanks):
            module.restore()
