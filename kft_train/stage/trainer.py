"""KftTrainer: TRL's SFTTrainer with a head that scores answers only, and accuracy on generated answers.

Importing this module imports torch and TRL; the rest of kft_train imports it inside functions.
"""

from __future__ import annotations

import inspect
import logging
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F  # noqa: N812  # the name everybody knows it by
from transformers import TrainerCallback
from trl import SFTTrainer

from kft_tasks.answering.answerer import GreedyAnswerer
from kft_tasks.progress import ProgressCallback, no_progress
from kft_tasks.protocol.prompt_maker import PromptRequest
from kft_tasks.protocol.protocol import Protocol
from kft_tasks.scoring.scorers import get_scorer
from kft_train.data.rows import IGNORED, ValidationPrompt, question_prompt
from kft_train.errors import StageInterruptedError
from kft_train.stage.training_log import epoch_scores, out_of_patience

if TYPE_CHECKING:
    from kft_tasks.engine.engine import Engine

logger = logging.getLogger(__name__)


class KftTrainer(SFTTrainer):
    """Trains rows of ``input_ids`` and ``labels``; evaluation adds ``eval_<scorer>`` by greedy answers.

    Two things differ from SFTTrainer, and no others:

    - The head is computed where a label is. TRL scores every position on a CPU; short answers after long questions
      train 1.3 to 1.9 times faster without (measured, SmolLM2-135M). TRL's entropy and token accuracy are not logged.
      A model that does not take ``logits_to_keep`` positions, and losses other than plain cross-entropy, use TRL's.
    - ``evaluation_loop`` asks the validation questions, so that the metric is there before the epoch is judged.

    Args:
        probes: validation questions; every process asks its share of them.
        protocol: scorer, template and answer length.
        **kwargs: of SFTTrainer.
    """

    def __init__(self, *, probes: Sequence[ValidationPrompt], protocol: Protocol, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.probes = tuple(probes)
        self.protocol = protocol
        self.scorer = get_scorer(protocol.scorer)
        base = self.model.get_base_model()
        self.short_head = self._can_shorten(base)
        self.loss_tokens = 0  # of the running step, over all processes
        self._seconds_from = time.monotonic()
        self._engine: Engine | None = None
        self._plain = False
        if self.short_head:
            # TRL put its own head into `forward` of this one object; without it generation is the model's own again.
            base.__dict__.pop("forward", None)
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
        """Cross-entropy summed over the labelled tokens, divided by those of the whole step over all processes."""
        if num_items_in_batch is not None:
            self.loss_tokens = int(num_items_in_batch)
        if not self.short_head:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        inputs = dict(inputs)
        labels = inputs.pop("labels")[:, 1:]  # position i predicts token i + 1
        columns = (labels != IGNORED).any(0).nonzero()[:, 0]
        outputs = model(**inputs, use_cache=False, logits_to_keep=columns)
        kept = labels[:, columns]
        mask = kept != IGNORED
        count = mask.sum() if num_items_in_batch is None else num_items_in_batch
        total = F.cross_entropy(outputs.logits[mask].float(), kept[mask], reduction="sum")
        loss = total / torch.as_tensor(count, device=total.device).clamp(min=1)
        if num_items_in_batch is not None and self.args.average_tokens_across_devices:
            loss = loss * self.accelerator.num_processes  # DDP averages gradients; the count is of all processes
        return (loss, outputs) if return_outputs else loss

    def get_eval_dataloader(self, eval_dataset: Any = None) -> Any:
        """All validation rows, also where the last training batch of an epoch is left out."""
        drop, self.args.dataloader_drop_last = self.args.dataloader_drop_last, False
        try:
            return super().get_eval_dataloader(eval_dataset)
        finally:
            self.args.dataloader_drop_last = drop

    def evaluation_loop(self, *args: Any, metric_key_prefix: str = "eval", **kwargs: Any) -> Any:
        """Loss on the validation rows, and ``<prefix>_<scorer>``, ``_right`` and ``_asked`` by greedy answers."""
        output = super().evaluation_loop(*args, metric_key_prefix=metric_key_prefix, **kwargs)
        right, asked = self.count_right(), len(self.probes)
        output.metrics[f"{metric_key_prefix}_{self.protocol.scorer}"] = right / asked
        output.metrics[f"{metric_key_prefix}_right"] = right
        output.metrics[f"{metric_key_prefix}_asked"] = asked
        return output

    def count_right(self) -> int:
        """Validation questions answered right, over all processes; each asks every ``num_processes``-th one."""
        from kft_tasks.answering.answerer import greedy_answers

        mine = self.probes[self.accelerator.process_index :: self.accelerator.num_processes]
        was_training = self.model.training
        self.model.eval()
        # PEFT goes past the wrapper that accelerate puts around forward: autocast must be asked for here.
        with self.accelerator.autocast(), torch.no_grad():
            answers = dict(greedy_answers(self._asks(mine), self._answerer()))
        self.model.train(was_training)
        right = sum(
            self.scorer(answers[index], probe.question.answers, probe.question.question)
            for index, probe in enumerate(mine)
        )
        return int(self.accelerator.reduce(torch.tensor(right, device=self.accelerator.device)))

    def _asks(self, probes: Sequence[ValidationPrompt]) -> list[PromptRequest]:
        return [
            PromptRequest(
                probe.question.id,
                0,
                question_prompt(probe.question, probe.shots, self.protocol, self.processing_class),
                0,
                probe.question.type if probe.shots else "",
            )
            for probe in probes
        ]

    def _answerer(self) -> GreedyAnswerer:
        """The engine, checked once, without what it kept of earlier weights; plain generation where it cannot be."""
        from kft_tasks.answering.engine_answerer import EngineAnswerer, PlainAnswerer
        from kft_tasks.engine.engine import Engine
        from kft_tasks.errors import UnsupportedModelError

        tokenizer = self.processing_class
        if self._engine is None and not self._plain:
            try:
                self._engine = Engine(self.model, tokenizer)
            except UnsupportedModelError as error:
                logger.warning("Validation is generated by transformers (slower): %s", error)
                self._plain = True
        if self._engine is None:
            return PlainAnswerer(self.model, tokenizer, self.protocol)
        self._engine.forget()
        return EngineAnswerer(self._engine, self.protocol, self._engine.encode)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add what training.json needs to every step: the log is part of each checkpoint, so a resumed run knows it."""
        if "loss" in logs:
            logs["loss_tokens"] = self.loss_tokens
            logs["seconds"] = round(time.monotonic() - self._seconds_from, 3)
        super().log(logs, start_time)

    def count_seconds_on(self, earlier: float) -> None:
        """Count this run's seconds on from those of the runs before it."""
        self._seconds_from = time.monotonic() - earlier

    def _send_telemetry(self) -> None:
        """TRL reports every trainer that is made; the environment variable against it is only read at import."""

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Write no card into checkpoints."""


class StageCallback(TrainerCallback):
    """Progress, early stopping, checkpoints within epochs and the end by SIGTERM.

    Early stopping is a function of the log, which is part of every checkpoint: nothing else has to be restored.
    """

    def __init__(
        self, trainer: KftTrainer, patience: int | None, save_steps: int | None, report: ProgressCallback
    ) -> None:
        self.trainer = trainer
        self.patience = patience
        self.save_steps = save_steps
        self.report = report if trainer.accelerator.is_main_process else no_progress
        self.terminated = threading.Event()

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Take up the clock where the checkpoint left it."""
        seconds = [entry["seconds"] for entry in state.log_history if "seconds" in entry]
        self.trainer.count_seconds_on(seconds[-1] if seconds else 0.0)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Ask for a checkpoint when one is due, but never in the last step of an epoch.

        There the evaluation comes first and saves by itself; a checkpoint between the two would, after a kill, be
        resumed in the next epoch, and this one would never be evaluated.
        """
        if self._last_of_epoch(state):
            return
        self._agree_on_end()
        due = self.save_steps is not None and state.global_step % self.save_steps == 0
        control.should_save = due or self.terminated.is_set()

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """Report a step."""
        if logs and "loss" in logs:
            self.report(state.global_step, state.max_steps, f"epoch {state.epoch:.2f}, loss {logs['loss']:.3f}")

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: dict[str, Any], **kwargs: Any) -> None:
        """Report an evaluation; stop where patience has run out."""
        scorer = self.trainer.protocol.scorer
        note = f"epoch {round(state.epoch or 0)}, {scorer} {metrics['eval_right']}/{metrics['eval_asked']}"
        self.report(state.global_step, state.max_steps, note)
        if out_of_patience(epoch_scores(state.log_history, scorer), self.patience):
            control.should_training_stop = True

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Leave after the checkpoint that SIGTERM asked for: returning would look like a stage that is done."""
        if self._last_of_epoch(state):
            self._agree_on_end()
        if self.terminated.is_set() and not self._finished(state, control):
            raise StageInterruptedError(
                f"Interrupted by SIGTERM, saved at step {state.global_step}. Run it again to go on from there."
            )

    def _last_of_epoch(self, state: Any) -> bool:
        return bool(abs(state.epoch - round(state.epoch)) < 1e-9)

    def _finished(self, state: Any, control: Any) -> bool:
        return bool(control.should_training_stop or state.global_step >= state.max_steps)

    def _agree_on_end(self) -> None:
        """Let all processes end at the same step: SIGTERM reaches them at different ones."""
        accelerator = self.trainer.accelerator
        if accelerator.num_processes > 1:
            flag = torch.tensor(int(self.terminated.is_set()), device=accelerator.device)
            if int(accelerator.reduce(flag)):
                self.terminated.set()
