"""From a recipe's stage to the values of TRL's SFTConfig. Importing it loads neither TRL nor torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Container
from typing import Any

from kft_tasks.errors import suggest
from kft_train.errors import RecipeError
from kft_train.recipes.recipe import StageConfig

# Fields of a stage that are fields of SFTConfig under the same name.
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

# What TRL would choose otherwise is slower here (TRL's default recomputes activations) or talks to somebody.
DEFAULTS: dict[str, Any] = {
    "activation_checkpointing": False,
    "loss_type": "nll",  # TRL 1.14 would choose its chunked head
    "per_device_eval_batch_size": 16,
    "report_to": "none",
}

# What resuming, choosing the epoch and the loss rest on: not for a recipe to change.
FIXED: dict[str, Any] = {
    "max_length": None,
    "packing": False,
    "padding_free": False,
    "dataset_kwargs": {"skip_prepare_dataset": True},
    "remove_unused_columns": False,
    "eval_strategy": "epoch",
    "save_strategy": "epoch",
    "save_total_limit": 2,  # the best and the newest
    "greater_is_better": True,
    "load_best_model_at_end": False,  # the best adapter is taken from its checkpoint's file
    "restore_callback_states_from_checkpoint": True,
    "logging_strategy": "steps",
    "logging_steps": 1,  # losses and tokens of every step ride in trainer_state.json, so that a resumed run knows them
    "include_num_input_tokens_seen": "non_padding",
    "ddp_find_unused_parameters": False,  # a PeftModel would get True, and a second walk over the graph
    "disable_tqdm": True,
}

# Refused in `sft`: why, or what to write instead.
REFUSED: dict[str, str] = {
    **dict.fromkeys(FIXED, "kft needs the value that it sets"),
    "output_dir": "kft chooses the folder",
    "seed": "set the recipe's seed",
    "data_seed": "set the recipe's seed",
    "max_steps": "set num_train_epochs",
    "max_length": "questions are never cut",
    "packing": "questions are short and are trained one by one",
    "padding_free": "questions are short and are trained one by one",
    "completion_only_loss": "set the stage's loss",
    "assistant_only_loss": "set the stage's loss",
    "dataset_kwargs": "kft makes the training rows",
    "dataset_text_field": "kft makes the training rows",
    "chat_template_path": "the protocol says what is asked, and how",
    "eos_token": "the tokenizer of the model is used as it is",
    "pad_token": "the tokenizer of the model is used as it is",
    "model_init_kwargs": "set the recipe's model",
    "gradient_checkpointing": "deprecated in transformers; write activation_checkpointing",
    "gradient_checkpointing_kwargs": "deprecated in transformers; write activation_checkpointing_kwargs",
    "train_sampling_strategy": "only the random sampler resumes exactly",
    "auto_find_batch_size": "it changes what a step is",
    "use_liger_kernel": "deprecated in TRL",
    "use_cpu": "kft looks for an accelerator; hide it with CUDA_VISIBLE_DEVICES=''",
    "save_steps": "set the stage's save_steps",
    "push_to_hub": "kft publishes nothing",
    "resume_from_checkpoint": "kft resumes by itself",
    "enable_jit_checkpoint": "kft saves on SIGTERM by itself",
    "ignore_data_skip": "resuming would not be exact",
    "save_only_model": "resuming would not be exact",
    "eval_on_start": "kft evaluates before training by itself",
    "metric_for_best_model": "epochs are chosen by the protocol's scorer on the validation questions",
    "dataloader_drop_last": "kft decides by the number of processes",
}


def sft_values(stage: StageConfig, seed: int, scorer: str) -> dict[str, Any]:
    """SFTConfig values of a stage that hold on every machine; precision and device are added where it runs.

    Args:
        scorer: of the protocol; ``eval_<scorer>`` chooses the epoch.
    """
    shared = {name: getattr(stage, name) for name in SHARED}
    chosen = {"seed": seed, "data_seed": seed, "metric_for_best_model": f"eval_{scorer}"}
    return {**DEFAULTS, **shared, **stage.sft, **FIXED, **chosen}


def for_installed(values: dict[str, Any], fields: Container[str]) -> dict[str, Any]:
    """The same values under the names of the installed SFTConfig.

    TRL 1.14, the last for Python 3.10, knows activation checkpointing as gradient checkpointing.
    """
    new, old = "activation_checkpointing", "gradient_checkpointing"
    return {name if name in fields else name.replace(new, old): value for name, value in values.items()}


def check_sft_fields(stage: StageConfig) -> None:
    """Check the names in a stage's ``sft`` against the installed TRL.

    Raises:
        RecipeError: a name that SFTConfig does not have, or that is not for a recipe to set.
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
