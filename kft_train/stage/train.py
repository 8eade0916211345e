"""One training stage: from a mixture to an adapter on disk, through kills and resumes.

Also runs under ``torchrun``: all processes call :func:`train_stage` with the same request and see the same folders.
DDP and ZeRO-1/2 are supported; FSDP and ZeRO-3 are refused because they shard the weights that generate answers.
"""

from __future__ import annotations

import dataclasses
import logging
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kft_tasks.errors import StateError, UsageError
from kft_tasks.models.weights import has_native_bfloat16
from kft_tasks.progress import ProgressCallback, no_progress
from kft_train.data.rows import Rows, check_labels, training_rows
from kft_train.errors import RecipeError, StageInterruptedError
from kft_train.recipes.sft_config import check_sft_fields, for_installed, sft_values
from kft_train.stage.adapters import base_path, load_trainable, round_frozen
from kft_train.stage.checkpoints import needed_files, newest_whole, prepare_work, read_state
from kft_train.stage.epoch_rows import EpochRows
from kft_train.stage.known_start import known_start, validation_key
from kft_train.stage.output import check_outcome, commit
from kft_train.stage.request import StageRequest, StageResult, checked_request, finished_stage
from kft_train.stage.signals import Termination, on_termination
from kft_train.stage.training_log import has_ended

if TYPE_CHECKING:
    from kft_train.stage.callback import StageCallback
    from kft_train.stage.trainer import KftTrainer

logger = logging.getLogger(__name__)

_LIBRARIES = ("torch", "transformers", "trl", "peft", "accelerate")
_CHECKPOINT_LAYOUT = 4  # raise when what a checkpoint holds changes, so that older ones are not resumed from


def train_stage(request: StageRequest, progress: ProgressCallback = no_progress) -> StageResult:
    """Train a stage, resume it, or return its result if it is finished.

    Raises:
        UsageError: a contradictory request, or an ``sft`` field that TRL does not have.
        DataError: nothing to train on, no validation questions, no adapter to start from, a training that changed
            nothing, or no better epoch although ``keep_if_worse`` is false.
        StateError: the output folder holds something else.
        StageInterruptedError: SIGTERM or SIGHUP arrived; a checkpoint was saved.
    """
    request = checked_request(request)
    if done := finished_stage(request):
        shutil.rmtree(request.work, ignore_errors=True)  # left behind by a kill right after the renaming
        return done
    check_sft_fields(request.stage)
    with _quiet_libraries():
        interrupted = _train(request, progress)
    done = finished_stage(request)
    if done is None:
        raise StateError(f"{request.output}: the stage's result is missing. All processes must share this folder.")
    if interrupted:
        raise StageInterruptedError(
            f"Interrupted by {interrupted.name} when the stage was already finished. "
            "Run the same command again to continue.",
            interrupted.number,
        )
    return done


def _train(request: StageRequest, progress: ProgressCallback) -> Termination | None:
    """Train until the output folder exists; returns the signal that arrived meanwhile, if one did."""
    args = _arguments(request)
    main, wait = args.distributed_state.is_main_process, args.distributed_state.wait_for_everyone
    identity = {"request": request.digest(), "versions": _versions(), "bf16": bool(args.bf16)}
    identity["layout"] = _CHECKPOINT_LAYOUT
    needed = needed_files(args.world_size, sharded=args.deepspeed is not None)
    if main:
        prepare_work(request.work, {**identity, "processes": args.world_size}, needed)
    wait()
    checkpoint = newest_whole(request.work, needed)
    rows = _rows(request)
    terminated = None
    # The trainer does not record an early stop: resumed after one, it would train another epoch.
    if checkpoint is None or not has_ended(
        read_state(checkpoint), request.validation_protocol.scorer, request.stage.patience
    ):
        terminated = _run_trainer(request, args, rows, checkpoint, progress)
        wait()
        checkpoint = newest_whole(request.work, needed)
    if checkpoint is None:
        raise StateError(f"{request.work}: training ended without a checkpoint. Run again, and report it if it recurs.")
    check_outcome(request, checkpoint)
    wait()  # the first process removes the checkpoints that the others have just read
    if main:
        commit(request, checkpoint, _run_facts(request, args, identity, rows), _validation_key(request, args))
    wait()
    return terminated


def _arguments(request: StageRequest) -> Any:
    """The SFTConfig, except for what depends on checkpoints and rows.

    Raises:
        RecipeError: SFTConfig refuses a value.
        UsageError: one process sees several GPUs.
    """
    from trl import SFTConfig

    values = {**_machine_values(), **sft_values(request.stage, request.seed, request.validation_protocol.scorer)}
    if request.max_steps:
        values["max_steps"] = request.max_steps
    if values.get("fp16"):
        values["bf16"] = False
    values = for_installed(values, {field.name for field in dataclasses.fields(SFTConfig)})
    try:
        args = SFTConfig(output_dir=str(request.work), **values)
    except (TypeError, ValueError) as error:
        raise RecipeError(
            f"stage {request.stage.name!r}: SFTConfig refuses its values ({error}). Correct them."
        ) from error
    if args.n_gpu > 1:
        raise UsageError(
            f"One process sees {args.n_gpu} GPUs. Start with torchrun --nproc-per-node {args.n_gpu}, or make only one "
            "visible with CUDA_VISIBLE_DEVICES=0."
        )
    return args


def _run_trainer(
    request: StageRequest, args: Any, rows: Rows, checkpoint: Path | None, progress: ProgressCallback
) -> Termination | None:
    from transformers import set_seed

    args.eval_on_start = checkpoint is None  # epoch 0; a resumed stage has it in its log
    # DDP would pad the last batch of an epoch by repeating questions. It is dropped instead: the questions left out
    # change with the order of every epoch and are counted in training.json. A mixture below one batch is padded.
    args.dataloader_drop_last = args.world_size > 1 and len(request.mixture.items) >= _block(args)
    set_seed(request.seed)  # PEFT draws the new adapter before the trainer seeds
    trainer, callback = _make_trainer(request, args, rows, progress)
    trainer.known_start = known_start(request, _validation_key(request, args))
    with on_termination(callback.terminated):
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    return callback.terminated if callback.terminated.is_set() else None


def _block(args: Any) -> int:
    """Number of questions in one forward pass over all processes."""
    return int(args.per_device_train_batch_size * args.world_size)


def _machine_values() -> dict[str, Any]:
    """Device and precision: float32 weights, with bfloat16 autocast if the hardware multiplies bfloat16 natively."""
    import torch

    if torch.cuda.is_available():
        return {"use_cpu": False, "bf16": has_native_bfloat16("cuda")}
    if torch.accelerator.is_available():
        return {"use_cpu": False, "bf16": False}
    return {"use_cpu": True, "bf16": has_native_bfloat16("cpu")}


def _rows(request: StageRequest) -> Rows:
    items = request.mixture.all_items
    questions = [item.question for item in items]
    rows = training_rows(questions, request.protocol, _tokenizer(request), request.stage.loss)
    weights = {part.name: part.weight for part in request.stage.mixture}
    if set(weights.values()) != {1.0}:
        rows = dataclasses.replace(rows, weights=[weights.get(item.part, 1.0) for item in items])
    check_labels(rows, request.stage.name)
    if rows.split_at_boundary:
        logger.warning(
            "%s of %s rows: prompt and answer were tokenised separately, because the tokenizer would merge them.",
            rows.split_at_boundary,
            len(questions),
        )
    return rows


def _tokenizer(request: StageRequest) -> Any:
    from transformers import AutoTokenizer

    place = base_path(request.model)
    return AutoTokenizer.from_pretrained(place, revision=request.revision, trust_remote_code=False)


def _make_trainer(
    request: StageRequest, args: Any, rows: Rows, progress: ProgressCallback
) -> tuple[KftTrainer, StageCallback]:
    import torch
    from datasets import Dataset
    from transformers import PrinterCallback
    from transformers.integrations import is_deepspeed_zero3_enabled

    from kft_train.stage.callback import StageCallback
    from kft_train.stage.fused_lora import fuse_lora
    from kft_train.stage.trainer import KftTrainer

    tokenizer = _tokenizer(request)
    held_out = training_rows(
        [prompt.question for prompt in request.validation], request.protocol, tokenizer, request.stage.loss
    )
    count = len(request.mixture.items)  # the first rows are those of the first epoch
    model = load_trainable(request.model, request.revision, request.stage.start, request.adapter, request.previous)
    if args.bf16:
        round_frozen(model, torch.bfloat16)
    fuse_lora(model)
    trainer = KftTrainer(
        validation=request.validation,
        protocol=request.validation_protocol,
        kl_to_base=request.stage.kl_to_base,
        weighted=rows.weights is not None,
        model=model,
        args=args,
        train_dataset=Dataset.from_list([rows.row(index) for index in range(count)]),
        eval_dataset=Dataset.from_dict({"input_ids": held_out.input_ids, "labels": held_out.labels}),
        processing_class=tokenizer,
    )
    if trainer.is_fsdp_enabled or is_deepspeed_zero3_enabled():
        raise UsageError(
            "FSDP and ZeRO-3 shard the weights that generate validation answers. Use DDP (torchrun) or ZeRO-2."
        )
    trainer.remove_callback(PrinterCallback)
    callback = StageCallback(trainer, request.stage.patience, request.stage.save_steps, progress)
    if request.mixture.pools:
        trainer.train_dataset = callback.epoch_rows = EpochRows(request.mixture, rows)
    trainer.add_callback(callback)
    return trainer, callback


def _run_facts(request: StageRequest, args: Any, identity: dict[str, Any], rows: Rows) -> dict[str, Any]:
    return {
        "processes": args.world_size,
        "questions_left_out_per_epoch": len(request.mixture.items) % _block(args) if args.dataloader_drop_last else 0,
        "rows_split_at_boundary": rows.split_at_boundary,
        "effective_batch_size": _block(args) * args.gradient_accumulation_steps,
        "precision": {"weights": "float32", "autocast": "bfloat16" if args.bf16 else "float16" if args.fp16 else None},
        "versions": identity["versions"],
    }


def _validation_key(request: StageRequest, args: Any) -> str:
    machine = {
        "precision": [args.bf16, args.fp16],
        "device": args.device.type,
        "eval_batch_size": args.per_device_eval_batch_size,
        "processes": args.world_size,
        "versions": _versions(),
    }
    return validation_key(request, machine)


def _versions() -> dict[str, str]:
    from kft_tasks.version import __version__

    return {"kft": __version__, **{name: version(name) for name in _LIBRARIES}}


@contextmanager
def _quiet_libraries() -> Iterator[None]:
    """No progress bars, advice or telemetry from libraries while training; kft's own warnings still show."""
    import datasets

    from kft_tasks.models.weights import quiet_transformers

    bars = datasets.utils.logging.is_progress_bar_enabled()
    datasets.utils.logging.disable_progress_bar()
    try:
        with quiet_transformers(), warnings.catch_warnings():
            for kind in (FutureWarning, DeprecationWarning):  # between libraries; a user can do nothing about them
                warnings.simplefilter("ignore", kind)
            yield
    finally:
        if bars:
            datasets.utils.logging.enable_progress_bar()
