"""KftTrainer: TRL's SFTTrainer with a head that scores answers only, and accuracy on generated answers.

Importing this module imports torch and TRL; the rest of kft_train imports it inside functions.
"""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers.trainer_utils import EvalLoopOutput
from trl import SFTTrainer

from kft_tasks.engine.attention import use_segments
from kft_tasks.engine.folding import folded
from kft_tasks.engine.model import sliding_window
from kft_tasks.errors import UnsupportedModelError
from kft_tasks.protocol.protocol import Protocol
from kft_train.data.rows import WEIGHT, ValidationPrompt
from kft_train.stage.checkpoints import rotate, saving, write_manifest
from kft_train.stage.label_loss import LabelLogits, Run, run_packed, run_padded
from kft_train.stage.packed_rows import pack_rows
from kft_train.stage.validation import Validation

logger = logging.getLogger(__name__)
_COMPARED = 4  # rows that are computed packed and padded before a model is trained on packed rows


class KftTrainer(SFTTrainer):
    """Trains on rows of ``input_ids`` and ``labels``; evaluation adds ``eval_<scorer>``, measured on greedy answers.

    It differs from SFTTrainer in four ways only:

    - The head is computed at labelled positions. TRL scores every position on a CPU. TRL's entropy and token accuracy
      are not logged. Models that take no tensor of positions as ``logits_to_keep``, and losses other than plain
      cross-entropy, use TRL's head.
    - A batch is one sequence without padding in which rows share their common beginning: see
      :mod:`kft_train.stage.packed_rows`. The first rows are computed both ways (without dropout); a model that gives
      another loss packed than padded is trained on padded batches, as is one with another attention than PyTorch's
      SDPA, or with a sliding window shorter than a row.
    - A training row may have a ``weight``, which its loss is multiplied by, and the divergence from the base model at
      the labels may be added to the loss. Validation loss is cross-entropy alone.
    - ``evaluation_loop`` asks the validation questions, so that the metric exists before the epoch is compared with
      others.

    Args:
        validation: validation questions; each process answers its share of them.
        protocol: scorer, template and answer length.
        kl_to_base: how many times KL(base || model), in nats per label, is added to the cross-entropy.
        weighted: whether training rows have weights.
        **kwargs: passed to SFTTrainer.

    Raises:
        UnsupportedModelError: ``kl_to_base`` or ``weighted`` for a model or a loss that needs TRL's head.
    """

    def __init__(
        self,
        *,
        validation: Sequence[ValidationPrompt],
        protocol: Protocol,
        kl_to_base: float = 0.0,
        weighted: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.kl_to_base = kl_to_base
        if weighted:
            self.data_collator: Any = _WithWeights(self.data_collator)
        self.validation = Validation(validation, protocol, self.model, self.processing_class)
        base = self.model.get_base_model()
        self.short_head = self._can_shorten(base)
        self._packs: bool | None = None  # found out with the first batch
        self._window: int | None = None
        self.known_start: dict[str, float] | None = None  # loss and right answers in validation before the first step
        self.loss_tokens = 0  # of the current step, over all processes
        self._started, self._started_cpu = time.monotonic(), time.process_time()
        if self.short_head:
            # TRL put its own head into `forward` of this one object; removing it restores the model's own generation.
            base.__dict__.pop("forward", None)
        elif kl_to_base or weighted:
            raise UnsupportedModelError(
                f"{type(base).__name__}: its loss cannot be weighted or held to the base model: the model or a "
                "field in sft needs TRL's own loss. Remove kl_to_base and the weights of the mixture's parts."
            )
        else:
            logger.warning("%s: the stock loss head is used (slower).", type(base).__name__)

    def _can_shorten(self, base: Any) -> bool:
        parameter = inspect.signature(type(base).forward).parameters.get("logits_to_keep")
        takes_positions = parameter is not None and "Tensor" in str(parameter.annotation)
        plain = self.args.loss_type == "nll" and not self.args.label_smoothing_factor and not self.aux_loss_enabled
        return takes_positions and plain and not self.padding_free

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Loss summed over labelled tokens, divided by their number in the whole step on all processes."""
        if num_items_in_batch is not None:
            self.loss_tokens = int(num_items_in_batch)
        if not self.short_head:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        inputs = dict(inputs)
        weights = inputs.pop(WEIGHT, None)
        run = self._runner(inputs)
        found = run(model)
        total = found.cross_entropy(weights)
        if self.kl_to_base and model.training:
            total = total + self.kl_to_base * found.divergence_from(self._base_says(model, run))
        count = len(found.targets) if num_items_in_batch is None else num_items_in_batch
        loss = total / torch.as_tensor(count, device=total.device).clamp(min=1)
        if num_items_in_batch is not None and self.args.average_tokens_across_devices:
            loss = loss * self.accelerator.num_processes  # DDP averages gradients; the count covers all processes
        return (loss, found.outputs) if return_outputs else loss

    @property
    def packs(self) -> bool:
        """Whether batches are packed; False before the first one."""
        return bool(self._packs)

    def _runner(self, inputs: dict[str, Any]) -> Run:
        """How a model is run on a batch: packed or padded."""
        if self._packs is False or set(inputs) != {"input_ids", "attention_mask", "labels"}:
            return run_padded(inputs)
        packed = pack_rows(*_rows_of(inputs))
        if self._packs is None:
            self._packs = self._packs_alike({name: value[:_COMPARED] for name, value in inputs.items()})
        if not self._packs or (self._window is not None and packed.longest > self._window):
            return run_padded(inputs)
        return run_packed(packed, inputs["input_ids"].device)

    def _base_says(self, model: Any, run: Run) -> LabelLogits:
        """What the base model says on the batch: the same model with its adapter switched off, without dropout."""
        own = self.accelerator.unwrap_model(model)
        own.eval()
        try:
            with torch.no_grad(), own.disable_adapter():
                return run(own)
        finally:
            own.train()

    def _packs_alike(self, inputs: dict[str, Any]) -> bool:
        """Whether this model can run packed rows and gives them the loss of the padded batch; no random draw is made.

        Its attention is switched to the engine's segments, which outside a packed call are PyTorch's own.
        """
        reason = self._unpackable()
        if not reason:
            was_training = self.model.training
            self.model.eval()
            try:
                with torch.no_grad():
                    packed = pack_rows(*_rows_of(inputs))
                    padded = float(run_padded(inputs)(self.model).cross_entropy())
                    own = float(run_packed(packed, inputs["input_ids"].device)(self.model).cross_entropy())
                if not abs(padded - own) <= _allowed(self.model) * max(abs(padded), 1.0):
                    reason = f"the first rows have loss {own:.6g} packed and {padded:.6g} padded"
            except Exception as error:  # whatever a model raises here means that it cannot be run this way
                reason = f"{type(error).__name__}: {error}"
            finally:
                self.model.train(was_training)
        if reason:
            logger.warning("%s: batches are padded (slower): %s.", type(self.model.get_base_model()).__name__, reason)
        return not reason

    def _unpackable(self) -> str:
        """Why batches cannot be packed, or ""."""
        args, config = self.args, self.model.config
        if args.gradient_checkpointing or getattr(args, "activation_checkpointing", False):
            return "activations are recomputed"
        if args.neftune_noise_alpha or getattr(config, "attention_dropout", 0):
            return "noise depends on the shape of a batch"
        try:
            self._window = sliding_window(config)
        except UnsupportedModelError as error:
            return str(error).rstrip(".")
        return "" if use_segments(self.model) else "attention is not PyTorch's SDPA"

    def get_eval_dataloader(self, eval_dataset: Any = None) -> Any:
        """All validation rows, even when the last training batch of an epoch is dropped."""
        drop, self.args.dataloader_drop_last = self.args.dataloader_drop_last, False
        try:
            return super().get_eval_dataloader(eval_dataset)
        finally:
            self.args.dataloader_drop_last = drop

    def evaluation_loop(self, *args: Any, metric_key_prefix: str = "eval", **kwargs: Any) -> Any:
        """Loss on the validation rows; ``<prefix>_<scorer>``, ``_right`` and ``_asked`` from greedy answers.

        In float32 on a CPU the adapter is folded into the weights meanwhile (see :mod:`kft_tasks.engine.folding`).
        Before the first step the result may be known (``known_start``). Random draws of training do not depend on it.
        """
        prompts, scorer = self.validation.prompts, self.validation.protocol.scorer
        if self.known_start is not None and self.state.global_step == 0:
            output = EvalLoopOutput(None, None, {f"{metric_key_prefix}_loss": self.known_start["loss"]}, len(prompts))
            right = int(self.known_start["right"])
        else:
            with folded(self.model), torch.random.fork_rng(devices=[]):
                output = super().evaluation_loop(*args, metric_key_prefix=metric_key_prefix, **kwargs)
                right = self.count_right()
        output.metrics[f"{metric_key_prefix}_{scorer}"] = right / len(prompts)
        output.metrics[f"{metric_key_prefix}_right"] = right
        output.metrics[f"{metric_key_prefix}_asked"] = len(prompts)
        return output

    def count_right(self) -> int:
        """Number of validation questions answered correctly, over all processes."""
        return self.validation.count_right(self.accelerator)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add to every step what training.json needs: the log is part of each checkpoint, so a resumed run has it."""
        if "loss" in logs:
            logs["loss_tokens"] = self.loss_tokens
            logs["seconds"] = round(time.monotonic() - self._started, 3)
            logs["cpu_seconds"] = round(time.process_time() - self._started_cpu, 3)
        super().log(logs, start_time)

    def count_seconds_on(self, earlier: float, earlier_cpu: float) -> None:
        """Add the seconds and CPU seconds of earlier, interrupted runs to this run's."""
        self._started = time.monotonic() - earlier
        self._started_cpu = time.process_time() - earlier_cpu

    def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        """Save a checkpoint, and when all processes have saved their part of it, what is in it.

        Raises:
            DiskFullError: it does not fit on the disk.
        """
        work, limit = Path(self.args.output_dir), self.args.save_total_limit
        folder = work / f"checkpoint-{self.state.global_step}"
        with saving(folder):
            self.args.save_total_limit = None  # no older one is removed before this one is complete
            try:
                super()._save_checkpoint(*args, **kwargs)
            finally:
                self.args.save_total_limit = limit
            self.accelerator.wait_for_everyone()
            if self.accelerator.is_main_process:
                write_manifest(folder)
                rotate(work, limit, self.state.best_global_step)

    def _send_telemetry(self) -> None:
        """Send nothing: TRL reports every trainer, and reads the environment variable that stops it only on import."""

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Write no model card into checkpoints."""


class _WithWeights:
    """A collator for rows that have a weight.

    Args:
        collate: makes a batch of rows without weights.
    """

    def __init__(self, collate: Any) -> None:
        self.collate = collate

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """The batch; ``weight``, of shape (rows,), only where the rows have one, which those of validation have not."""
        batch = dict(self.collate([{key: value for key, value in row.items() if key != WEIGHT} for row in rows]))
        if all(WEIGHT in row for row in rows):
            batch[WEIGHT] = torch.tensor([row[WEIGHT] for row in rows], dtype=torch.float32)
        return batch


def _rows_of(inputs: dict[str, Any]) -> tuple[list[list[int]], list[list[int]]]:
    """Token ids and labels of a batch's rows without padding."""
    kept = [[place for place, seen in enumerate(row) if seen] for row in inputs["attention_mask"].tolist()]
    ids, labels = (
        [[row[place] for place in places] for row, places in zip(inputs[name].tolist(), kept, strict=True)]
        for name in ("input_ids", "labels")
    )
    return ids, labels


def _allowed(model: Any) -> float:
    """Relative difference of two losses that rounding explains: of float32, or of what autocast rounds to."""
    device = next(model.parameters()).device.type
    return 0.05 if torch.is_autocast_enabled(device) else 1e-3
