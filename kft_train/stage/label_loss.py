"""The loss of a batch at its labels: logits where a label is predicted, cross-entropy, divergence from another model.

Importing this module imports torch; the rest of kft_train imports it inside functions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from kft_tasks.engine.attention import segmented
from kft_train.data.rows import IGNORED
from kft_train.stage.packed_rows import PackedRows


@dataclass(frozen=True)
class LabelLogits:
    """What a model says at the K positions that predict the L labels of a batch.

    Attributes:
        logits: (K, vocabulary), float32.
        at: (L,) index into the positions for each label.
        targets: (L,) the labels.
        rows: (L,) number of each label's row in the batch.
        outputs: of the model.
    """

    logits: torch.Tensor
    at: torch.Tensor
    targets: torch.Tensor
    rows: torch.Tensor
    outputs: Any

    def cross_entropy(self, weights: torch.Tensor | None = None) -> torch.Tensor:
        """Summed over the labels, in nats.

        Args:
            weights: (rows,) factors of the rows' losses; None for 1.
        """
        each = self.logits.logsumexp(-1)[self.at] - self.logits[self.at, self.targets]
        return each.sum() if weights is None else (each * weights[self.rows]).sum()

    def divergence_from(self, other: LabelLogits) -> torch.Tensor:
        """KL(other || this) of the next-token distributions, summed over the labels, in nats."""
        ours, theirs = self.logits.log_softmax(-1), other.logits.log_softmax(-1)
        return (theirs.exp() * (theirs - ours)).sum(-1)[self.at].sum()


Run = Callable[[Any], LabelLogits]
"""Runs a model on one batch."""


def run_padded(inputs: dict[str, Any]) -> Run:
    """Run a batch as it is; the head is computed in columns with a label."""
    inputs = dict(inputs)
    labels = inputs.pop("labels")[:, 1:]  # position i predicts token i + 1
    columns = (labels != IGNORED).any(0).nonzero()[:, 0]
    kept = labels[:, columns]
    mask = kept != IGNORED

    def run(model: Any) -> LabelLogits:
        outputs = model(**inputs, use_cache=False, logits_to_keep=columns)
        targets = kept[mask]
        places = torch.arange(len(targets), device=targets.device)
        return LabelLogits(outputs.logits[mask].float(), places, targets, mask.nonzero()[:, 0], outputs)

    return run


def run_packed(packed: PackedRows, device: torch.device) -> Run:
    """Run a batch packed; the head is computed once per token that predicts a label."""

    def tensor(values: list[int]) -> torch.Tensor:
        return torch.tensor(values, dtype=torch.int64, device=device)

    def run(model: Any) -> LabelLogits:
        with segmented(packed.segments, torch.float32, device) as mask:
            outputs = model(
                input_ids=tensor(packed.tokens)[None],
                position_ids=tensor(packed.positions)[None],
                attention_mask=mask,
                use_cache=False,
                logits_to_keep=tensor(packed.keep),
            )
        logits = outputs.logits[0].float()
        return LabelLogits(logits, tensor(packed.at), tensor(packed.targets), tensor(packed.rows), outputs)

    return run
