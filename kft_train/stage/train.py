"""One training stage: from a mixture to an adapter on disk, through kills and resumes.

Runs under ``torchrun`` as it is: all processes call :func:`train_stage` with the same request and see the same folders.
DDP and ZeRO-1/2 are supported; FSDP and ZeRO-3, which shard the weights that answers are generated with, are refused.
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
from kft_train.data.rows import Rows, training_rows
from kft_train.errors import RecipeError, StageInterruptedError
from kft_train.recipes.sft_config import check_sft_fields, for_installed, sft_values
from kft_train.stage.adapters import base_path, load_trainable, round_frozen
from kft_train.stage.checkpoints import needed_files, newest_whole, prepare_work, read_state
from kft_train.stage.output import commit
from kft_train.stage.request import StageRequest, StageResult, check_request, finished_stage
from kft_train.stage.signals import on_sigterm
from kft_train.stage.training_log import has_ended

if TYPE_CHECKING:
    from kft_train.stage.trainer import KftTrainer, StageCallback

logger = logging.getLogger(__name__)

_LIBRARIES = ("torch", "transformers", "trl", "peft", "accelerate")


def train_stage(request: StageRequest, progress: ProgressCallback = no_progress) -> StageResult:
    """Train a stage, or go on with it, or return it where it is done.

    Raises:
        UsageError: a request that cannot be, an ``sft`` field that TRL does not have.
        DataError: nothing to train on, no validation questions, no adapter to start from.
        StateError: the output folder holds something else.
        StageInterruptedError: SIGTERM came; a checkpoint was saved.
    """
    check_request(request)
    if done := finished_stage(request):
        shutil.rmtree(request.work, ignore_errors=True)  # left behind where a kill came just after the renaming
        return done
    check_sft_fields(request.stage)
    with _quiet_libraries():
        interrupted = _train(request, progress)
    done = finished_stage(request)
    if done is None:
        raise StateError(f"{request.output}: the stage's result vanished. Is the folder shared by all processes?")
    if interrupted:
        raise StageInterruptedError("SIGTERM came when the stage was done. Run again to go on with what follows.")
    return done


def _train(request: StageRequest, progress: ProgressCallback) -> bool:
    """Train until the output folder is there; returns whether SIGTERM came meanwhile."""
    args = _arguments(request)
    main, wait = args.distributed_state.is_main_process, args.distributed_state.wait_for_everyone
    identity = {"request": request.digest(), "versions": _versions(), "bf16": bool(args.bf16)}
    needed = needed_files(args.world_size, sharded=args.deepspeed is not None)
    if main:
        prepare_work(request.work, {**identity, "processes": args.world_size}, needed)
    wait()
    checkpoint = newest_whole(request.work, needed)
    rows = _rows(request)
    terminated = False
    # An early stop is not on record as such: a trainer that is resumed after it would train another epoch.
    if checkpoint is None or not has_ended(read_state(checkpoint), request.protocol.scorer, request.stage.patience):
        terminated = _run_trainer(request, args, rows, checkpoint, progress)
        wait()
        checkpoint = newest_whole(request.work, needed)
    if checkpoint is None:
        raise StateError(f"{request.work}: training ended without a checkpoint. Run again; if it recurs, report it.")
    if main:
        commit(request, checkpoint, _run_facts(args, identity, rows))
    wait()
    return terminated


def _arguments(request: StageRequest) -> Any:
    """The SFTConfig, complete but for what depends on checkpoints and rows.

    Raises:
        RecipeError: SFTConfig refuses a value.
        UsageError: several GPUs and one process.
    """
    from trl import SFTConfig

    values = {**_machine_values(), **sft_values(request.stage, request.seed, request.protocol.scorer)}
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
            f"{args.n_gpu} GPUs are visible to one process. Start with torchrun --nproc-per-node {args.n_gpu}, or make "
            "one visible with CUDA_VISIBLE_DEVICES=0."
        )
    return args


def _run_trainer(
    request: StageRequest, args: Any, rows: Rows, checkpoint: Path | None, progress: ProgressCallback
) -> bool:
    from transformers import set_seed

    args.eval_on_start = checkpoint is None  # epoch 0; a resumed stage finds it in its log
    # Under DDP the last batch of an epoch would be filled up with questions twice. What is left out instead changes
    # with every epoch's order, and is counted in training.json. A mixture smaller than one batch is filled up.
    args.dataloader_drop_last = args.world_size > 1 and len(rows.input_ids) >= _block(args)
    set_seed(request.seed)  # PEFT draws the new adapter before the trainer seeds
    trainer, callback = _make_trainer(request, args, rows, progress)
    with on_sigterm(callback.terminated):
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    return callback.terminated.is_set()


def _block(args: Any) -> int:
    """Questions that all processes take at a time."""
    return int(args.per_device_train_batch_size * args.world_size)


def _machine_values() -> dict[str, Any]:
    """Device and precision: float32 weights, with bfloat16 autocast where the hardware multiplies it natively."""
    import torch

    if torch.cuda.is_available():
        return {"use_cpu": False, "bf16": has_native_bfloat16("cuda")}
    if torch.accelerator.is_available():
        return {"use_cpu": False, "bf16": False}
    return {"use_cpu": True, "bf16": has_native_bfloat16("cpu")}


def _rows(request: StageRequest) -> Rows:
    questions = [item.question for item in request.mixture.items]
    rows = training_rows(questions, request.protocol, _tokenizer(request), request.stage.loss)
    if rows.split_at_boundary:
        logger.warning(
            "%s of %s rows: prompt and answer were tokenised apart, the tokenizer would merge them.",
            rows.split_at_boundary,
            len(questions),
        )
    return rows


def _tokenizer(request: StageRequest) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(base_path(request.model), revision=request.revision)


def _make_trainer(
    request: StageRequest, args: Any, rows: Rows, progress: ProgressCallback
) -> tuple[KftTrainer, StageCallback]:
    import torch
    from datasets import Dataset
    from transformers import PrinterCallback
    from transformers.integrations import is_deepspeed_zero3_enabled

    from kft_train.stage.trainer import KftTrainer, StageCallback

    tokenizer = _tokenizer(request)
    held_out = training_rows(
        [probe.question for probe in request.validation], request.protocol, tokenizer, request.stage.loss
    )
    model = load_trainable(request.model, request.revision, request.stage.start, request.adapter, request.previous)
    if args.bf16:
        round_frozen(model, torch.bfloat16)
    trainer = KftTrainer(
        probes=request.validation,
        protocol=request.protocol,
        model=model,
        args=args,
        train_dataset=Dataset.from_dict({"input_ids": rows.input_ids, "labels": rows.labels}),
        eval_dataset=Dataset.from_dict({"input_ids": held_out.input_ids, "labels": held_out.labels}),
        processing_class=tokenizer,
    )
    if trainer.is_fsdp_enabled or is_deepspeed_zero3_enabled():
        raise UsageError(
            "FSDP and ZeRO-3 shard the weights that answers are generated with. Use DDP (torchrun) or ZeRO-2."
        )
    trainer.remove_callback(PrinterCallback)
    callback = StageCallback(trainer, request.stage.patience, request.stage.save_steps, progress)
    trainer.add_callback(callback)
    return trainer, callback


def _run_facts(args: Any, identity: dict[str, Any], rows: Rows) -> dict[str, Any]:
    return {
        "processes": args.world_size,
        "questions_left_out_per_epoch": len(rows.input_ids) % _block(args) if args.dataloader_drop_last else 0,
        "rows_split_at_boundary": rows.split_at_boundary,
        "effective_batch_size": _block(args) * args.gradient_accumulation_steps,
        "precision": {"weights": "float32", "autocast": "bfloat16" if args.bf16 else "float16" if args.fp16 else None},
        "versions": identity["versions"],
    }


def _versions() -> dict[str, str]:
    from kft_tasks.version import __version__

    return {"kft": __version__, **{name: version(name) for name in _LIBRARIES}}


@contextmanager
def _quiet_libraries() -> Iterator[None]:
    """No bars, advice or telemetry while training; warnings of kft itself go through."""
    import datasets

    from kft_tasks.models.weights import quiet_transformers

    bars = datasets.utils.logging.is_progress_bar_enabled()
    datasets.utils.logging.disable_progress_bar()
    try:
        with quiet_transformers(), warnings.catch_warnings():
            for kind in (FutureWarning, DeprecationWarning):  # among the libraries; nothing that a user could change
                warnings.simplefilter("ignore", kind)
            yield
    finally:
        if bars:
            datasets.utils.logging.enable_progress_bar()
