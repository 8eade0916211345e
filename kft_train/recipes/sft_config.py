"""From a recipe's stage to the values of TRL's SFTConfig. Importing this module loads neither TRL nor torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Container
from typing import Any

from kft_tasks.errors import suggest
from kft_train.errors import RecipeError
from kft_train.recipes.recipe import StageConfig

# Fields that a stage shares with SFTConfig.
SHARED = (
    "num_train_epochs",
    "learning_rate",
    "weight_decay",
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "lr_scheduler_type",
    "warmup_steps",
    "adam_beta1",
    "adam_beta2",
    "max_grad_norm",
)

# TRL's own defaults are slower here (it recomputes activations) or report to the outside.
DEFAULTS: dict[str, Any] = {
    "activation_checkpointing": False,
    "loss_type": "nll",  # TRL 1.14 would use its chunked head
    "per_device_eval_batch_size": 16,
    "report_to": "none",
}

# Resuming, the choice of the epoch, and the loss depend on these; a recipe cannot change them.
FIXED: dict[str, Any] = {
    "max_length": None,
    "packing": False,
    "padding_free": False,
    "dataset_kwargs": {"skip_prepare_dataset": True},
    "remove_unused_columns": False,
    "eval_strategy": "epoch",
    "save_strategy": "epoch",
    "save_total_limit": 2,  # the best one and the newest
    "greater_is_better": True,
    "load_best_model_at_end": False,  # the best adapter is copied from its checkpoint
    "restore_callback_states_from_checkpoint": True,
    "logging_strategy": "steps",
    "logging_steps": 1,  # trainer_state.json holds losses and tokens of every step, so a resumed run has them
    "include_num_input_tokens_seen": "non_padding",
    "ddp_find_unused_parameters": False,  # a PeftModel would get True, and a second walk over the graph
    "disable_tqdm": True,
}

# Refused in `sft`, with the reason or what to write instead.
REFUSED: dict[str, str] = {
    **dict.fromkeys(FIXED, "kft relies on its own value"),
    "output_dir": "kft chooses the folder",
    "seed": "set the recipe's seed",
    "data_seed": "set the recipe's seed",
    "max_steps": "set the stage's max_steps",
    "max_length": "questions are never truncated",
    "packing": "questions are short and each is a row of its own",
    "padding_free": "questions are short and each is a row of its own",
    "completion_only_loss": "set the stage's loss",
    "assistant_only_loss": "set the stage's loss",
    "dataset_kwargs": "kft makes the training rows",
    "dataset_text_field": "kft makes the training rows",
    "chat_template_path": "the protocol decides how questions are asked",
    "eos_token": "the model's tokenizer is used unchanged",
    "pad_token": "the model's tokenizer is used unchanged",
    "model_init_kwargs": "set the recipe's model",
    "gradient_checkpointing": "deprecated in transformers; write activation_checkpointing",
    "gradient_checkpointing_kwargs": "deprecated in transformers; write activation_checkpointing_kwargs",
    "train_sampling_strategy": "only the random sampler resumes exactly",
    "auto_find_batch_size": "it changes the size of a step",
    "use_liger_kernel": "deprecated in TRL",
    "use_cpu": "kft uses an accelerator if there is one; hide it with CUDA_VISIBLE_DEVICES=''",
    "save_steps": "set the stage's save_steps",
    "push_to_hub": "kft does not publish models",
    "resume_from_checkpoint": "kft resumes automatically",
    "enable_jit_checkpoint": "kft saves on SIGTERM automatically",
    "ignore_data_skip": "resuming would not be exact",
    "save_only_model": "resuming would not be exact",
    "eval_on_start": "kft always evaluates before training",
    "metric_for_best_model": "epochs are chosen by the protocol's scorer on the validation questions",
    "dataloader_drop_last": "kft sets it according to the number of processes",
}


def sft_values(stage: StageConfig, seed: int, scorer: str) -> dict[str, Any]:
    """SFTConfig values of a stage that are the same on every machine; precision and device are added at run time.

    Args:
        scorer: the protocol's; ``eval_<scorer>`` chooses the epoch.
    """
    shared = {name: getattr(stage, name) for name in SHARED}
    chosen = {"seed": seed, "data_seed": seed, "metric_for_best_model": f"eval_{scorer}"}
    return {**DEFAULTS, **shared, **stage.sft, **FIXED, **chosen}


def for_installed(values: dict[str, Any], fields: Container[str]) -> dict[str, Any]:
    """The same values under the names that the installed SFTConfig uses.

    TRL 1.14, the last release for Python 3.10, calls activation checkpointing gradient checkpointing.
    """
    new, old = "activation_checkpointing", "gradient_checkpointing"
    return {name if name in fields else name.replace(new, old): value for name, value in values.items()}


def check_sft_fields(stage: StageConfig) -> None:
    """Check the names in a stage's ``sft`` against the installed TRL.

    Raises:
        RecipeError: SFTConfig has no such field, or a recipe may not set it.
    """
    if not stage.sft:
        return
    from trl import SFTConfig

    known = {field.name for field in dataclasses.fields(SFTConfig) if field.init} - set(REFUSED)
    known |= {"activation_checkpointing", "activation_checkpointing_kwargs"}
    for name in stage.sft:
        where = f"stage {stage.name!r}: sft.{name}"
        if name in REFUSED:
            raise RecipeError(f"{where} cannot be set: {REFUSED[name]}. Remove it.")
        if name in SHARED:
            raise RecipeError(f"{where} is a key of the stage itself. Write {name} beside sft.")
        if name not in known:
            raise RecipeError(f"{where}: SFTConfig has no such field. {suggest(name, known)}")
