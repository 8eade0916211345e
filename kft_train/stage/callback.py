"""What happens around the steps of a stage: progress, early stopping, checkpoints, the end by a signal.

Importing this module imports torch and TRL; the rest of kft_train imports it inside functions.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from transformers import TrainerCallback

from kft_tasks.progress import ProgressCallback, no_progress
from kft_train.errors import StageInterruptedError
from kft_train.stage.epoch_rows import EpochRows
from kft_train.stage.frozen_part import restore_frozen
from kft_train.stage.signals import Termination
from kft_train.stage.trainer import KftTrainer
from kft_train.stage.training_log import epoch_scores, out_of_patience, training_cost


class StageCallback(TrainerCallback):
    """Progress, early stopping, checkpoints within epochs, frozen ranks, and the end by SIGTERM or SIGHUP.

    Set ``epoch_rows`` if a part of the mixture is redrawn in every epoch.

    Early stopping is a function of the log, which is part of every checkpoint: no other state has to be restored.
    """

    def __init__(
        self, trainer: KftTrainer, patience: int | None, save_steps: int | None, report: ProgressCallback
    ) -> None:
        self.trainer = trainer
        self.patience = patience
        self.save_steps = save_steps
        self.report = report if trainer.accelerator.is_main_process else no_progress
        self.terminated = Termination()
        self.epoch_rows: EpochRows | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Continue the clocks from the checkpoint's last reading."""
        cost = training_cost(state.log_history)
        self.trainer.count_seconds_on(cost["seconds"], cost["cpu_seconds"])

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Redraw what the mixture redraws; an epoch that is resumed in the middle gets the rows it had."""
        if self.epoch_rows is not None:
            self.epoch_rows.draw(math.floor((state.epoch or 0) + 1e-6))

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Keep the frozen part of a ``merged`` start as it was."""
        restore_frozen(self.trainer.model)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Request a checkpoint when one is due, but never in the last step of an epoch.

        The evaluation that follows saves its own. A run killed between the two would resume from the earlier one in
        the next epoch, and this epoch would never be evaluated.
        """
        if self._last_of_epoch(state):
            return
        self._agree_to_end()
        due = self.save_steps is not None and state.global_step % self.save_steps == 0
        control.should_save = due or self.terminated.is_set()

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """Report a training step."""
        if logs and "loss" in logs:
            self.report(state.global_step, state.max_steps, f"epoch {state.epoch:.2f}, loss {logs['loss']:.3f}")

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: dict[str, Any], **kwargs: Any) -> None:
        """Report an evaluation; stop if patience has run out."""
        scorer = self.trainer.validation.protocol.scorer
        note = f"epoch {math.ceil((state.epoch or 0) - 1e-6)}, {scorer} {metrics['eval_right']}/{metrics['eval_asked']}"
        self.report(state.global_step, state.max_steps, note)
        if out_of_patience(epoch_scores(state.log_history, scorer), self.patience):
            control.should_training_stop = True

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Raise after the checkpoint that a signal requested: returning normally would look like a finished stage."""
        if self._last_of_epoch(state):
            self._agree_to_end()
        if self.terminated.is_set() and not self._finished(state, control):
            raise StageInterruptedError(
                f"Interrupted by {self.terminated.name}, saved at step {state.global_step}. "
                "Run the same command again to resume.",
                self.terminated.number,
            )

    def _last_of_epoch(self, state: Any) -> bool:
        return bool(abs(state.epoch - round(state.epoch)) < 1e-9 or state.global_step >= state.max_steps)

    def _finished(self, state: Any, control: Any) -> bool:
        return bool(control.should_training_stop or state.global_step >= state.max_steps)

    def _agree_to_end(self) -> None:
        """Make all processes end at the same step, since a signal reaches them at different ones."""
        accelerator = self.trainer.accelerator
        if accelerator.num_processes > 1:
            flag = torch.tensor(int(self.terminated.is_set()), device=accelerator.device)
            if int(accelerator.reduce(flag)):
                self.terminated.set()
