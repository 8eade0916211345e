"""LoRA layers that train faster than PEFT's on a CPU in float32; everywhere else they are PEFT's.

PEFT computes ``W x + s B A dropout(x)`` in eight operations that autograd records one by one. Here it is one function
with its gradient written out: ``B A`` is added in place, and dropout draws the places that are dropped (5 % of them)
instead of a number for every element. What is saved, and what evaluation computes, is unchanged: outside training,
under autocast and for other kinds of LoRA the layer is PEFT's own.

Importing this module imports torch and peft; the rest of kft_train imports it inside functions.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  # the name everybody knows it by
from peft.tuners.lora.layer import Linear as LoraLinear


def dropped_places(count: int, probability: float) -> torch.Tensor:
    """Ascending places in ``range(count)``, each of them with this probability, from torch's CPU generator.

    The gaps between dropped places are geometric, so that only as many numbers are drawn as places are dropped.
    """
    expected = count * probability
    draws = int(expected + 4 * expected**0.5) + 8
    last = -1
    parts = []
    while last < count:
        gaps = torch.empty(draws, dtype=torch.int64).geometric_(probability)
        parts.append(gaps.cumsum(0) + last)
        last = int(parts[-1][-1])
    places = torch.cat(parts)
    return places[: int(torch.searchsorted(places, count))]


class _LoraLinearFunction(torch.autograd.Function):
    """``W x + bias + scaling B A dropout(x)`` for float32 matrices; W and bias get no gradient."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        down: torch.Tensor,
        up: torch.Tensor,
        scaling: float,
        dropout: float,
    ) -> torch.Tensor:
        """Output of shape (..., out) for ``x`` of shape (..., in)."""
        flat = x.reshape(-1, x.shape[-1])
        places = dropped_places(flat.numel(), dropout) if dropout else None
        seen = flat if places is None else _without(flat.clone(), places)
        ctx.factor = scaling / (1 - dropout)
        hidden = seen @ down.t()
        output = F.linear(flat, weight, bias).addmm_(hidden, up.t(), alpha=ctx.factor)
        ctx.save_for_backward(seen, hidden, weight, down, up, places)
        return output.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Gradients of ``x``, ``down`` and ``up``."""
        seen, hidden, weight, down, up, places = ctx.saved_tensors
        gradient = gradients[0].reshape(-1, weight.shape[0])
        of_hidden = (gradient @ up).mul_(ctx.factor)
        of_up = (gradient.t() @ hidden).mul_(ctx.factor)
        of_down = of_hidden.t() @ seen
        of_x = None
        if ctx.needs_input_grad[0]:
            of_x = gradient @ weight
            if places is None:
                of_x.addmm_(of_hidden, down)
            else:
                of_x.add_(_without(of_hidden @ down, places))
            of_x = of_x.view(*gradients[0].shape[:-1], -1)
        return of_x, None, None, of_down, of_up, None, None


def _without(matrix: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """The matrix with zeros at these places of its elements, in place."""
    matrix.view(-1).index_fill_(0, places, 0.0)
    return matrix


class FusedLoraLinear(LoraLinear):
    """PEFT's layer, with the fused function while it trains in float32 on a CPU."""

    def forward(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Output of shape (..., out) for ``x`` of shape (..., in)."""
        if args or kwargs or not self._can_fuse(x):
            result: torch.Tensor = super().forward(x, *args, **kwargs)
            return result
        name = self.active_adapters[0]
        dropout = self.lora_dropout[name]
        probability = dropout.p if isinstance(dropout, torch.nn.Dropout) else 0.0
        base, down, up = self.base_layer, self.lora_A[name].weight, self.lora_B[name].weight
        output: torch.Tensor = _LoraLinearFunction.apply(
            x, base.weight, base.bias, down, up, self.scaling[name], probability
        )
        return output

    def _can_fuse(self, x: torch.Tensor) -> bool:
        """Whether the function computes exactly this layer, here and now."""
        if not self.training or not torch.is_grad_enabled() or self.disable_adapters or self.merged:
            return False
        names = self.active_adapters
        if len(names) != 1 or names[0] not in self.lora_A or torch.is_autocast_enabled("cpu"):
            return False
        base, down, up = self.base_layer, self.lora_A[names[0]], self.lora_B[names[0]]
        plain = all(type(layer) is torch.nn.Linear for layer in (base, down, up)) and not self.lora_variant
        if not plain or down.bias is not None or up.bias is not None or base.weight.requires_grad:
            return False
        if type(self.lora_dropout[names[0]]) not in (torch.nn.Dropout, torch.nn.Identity):
            return False
        tensors = (x, base.weight, down.weight, up.weight)
        return all(tensor.device.type == "cpu" and tensor.dtype == torch.float32 for tensor in tensors)


def fuse_lora(model: Any) -> int:
    """Let every plain LoRA layer of a PeftModel use the fused function, in place; returns how many there are."""
    layers = [module for module in model.modules() if type(module) is LoraLinear]
    for layer in layers:
        layer.__class__ = FusedLoraLinear
    return len(layers)
