"""LoRA adapters: where a stage starts from, and how two of them become one. torch and peft are imported inside."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kft_tasks.errors import DataError, UsageError
from kft_tasks.files import read_json, write_json
from kft_train.errors import RecipeError
from kft_train.recipes.recipe import AdapterConfig

if TYPE_CHECKING:
    import torch

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
_PREFIX = "base_model.model."


def base_path(model: str) -> str:
    """The base model as an adapter records it: a hub id, or an absolute path (PEFT keeps relative ones relative)."""
    return str(Path(model).absolute()) if Path(model).exists() else model


def load_trainable(model: str, revision: str | None, start: str, adapter: AdapterConfig, previous: Path | None) -> Any:
    """The PeftModel that a stage trains, with float32 weights.

    Args:
        start: ``new``: a LoRA of ``adapter`` on the model; ``continue``: ``previous`` as it is; ``merged``:
            ``previous`` added to the weights (in float32: bfloat16 loses two thirds of the change) and a new LoRA.

    Raises:
        RecipeError: the model has no such modules.
    """
    import torch
    from peft import LoraConfig, PeftModel, get_peft_model
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(base_path(model), revision=revision, dtype=torch.float32)
    if start == "continue":
        return PeftModel.from_pretrained(base, str(previous), is_trainable=True, torch_device="cpu")
    if start == "merged":
        base = PeftModel.from_pretrained(base, str(previous), torch_device="cpu").merge_and_unload()
    config = LoraConfig(task_type="CAUSAL_LM", revision=revision, **adapter.model_dump())
    try:
        return get_peft_model(base, config)
    except ValueError as error:  # PEFT names the modules that it did not find
        raise RecipeError(f"adapter: PEFT refuses it for this model ({error}). Correct target_modules.") from error


def round_frozen(model: Any, dtype: torch.dtype) -> None:
    """Round the frozen matrices below LoRA layers once, to what autocast would round them to in every call.

    The numbers are the same; embeddings, norms and the residual stream stay in float32.
    """
    import torch

    for module in model.modules():
        base = getattr(module, "base_layer", None)
        if isinstance(base, torch.nn.Linear) and not base.weight.requires_grad:
            base.weight.data = base.weight.data.to(dtype)
            if base.bias is not None and not base.bias.requires_grad:
                base.bias.data = base.bias.data.to(dtype)


def save_alone(source: Path, target: Path, model: str) -> None:
    """Copy an adapter into a folder of its own, its configuration in a fixed order and with an absolute base path."""
    target.mkdir(parents=True)
    (target / WEIGHTS).write_bytes((source / WEIGHTS).read_bytes())
    _write_config(target, read_json(source / CONFIG), model)


def save_joined(first: Path, second: Path, target: Path, model: str) -> None:
    """Save two LoRAs, the second trained on top of the merged first, as one LoRA on the base model.

    ``s1 B1 A1 + s2 B2 A2 = [s1 B1, s2 B2] [A1; A2]``: ranks add up, the scalings go into B, nothing is rounded twice.
    Evaluation then needs one adapter and the original base model.

    Raises:
        UsageError: an adapter that is more than plain LoRA matrices.
    """
    import torch
    from safetensors.torch import load_file, save_file

    configs = [read_json(folder / CONFIG) for folder in (first, second)]
    scalings = [_scaling(config, folder) for config, folder in zip(configs, (first, second), strict=True)]
    sides = [load_file(folder / WEIGHTS) for folder in (first, second)]
    modules = sorted({name.rpartition(".lora_")[0] for side in sides for name in side})
    ranks = [int(config["r"]) for config in configs]
    joined: dict[str, torch.Tensor] = {}
    for module in modules:
        downs = [
            _part(side, sides, f"{module}.lora_A.weight", 0, rank) for side, rank in zip(sides, ranks, strict=True)
        ]
        ups = [_part(side, sides, f"{module}.lora_B.weight", 1, rank) for side, rank in zip(sides, ranks, strict=True)]
        joined[f"{module}.lora_A.weight"] = torch.cat(downs, dim=0).contiguous()
        scaled = [up * scaling for up, scaling in zip(ups, scalings, strict=True)]
        joined[f"{module}.lora_B.weight"] = torch.cat(scaled, dim=1).contiguous()
    target.mkdir(parents=True)
    save_file(joined, target / WEIGHTS, metadata={"format": "pt"})
    # Names such as "q_proj" stand for all layers; where the two adapters differ, every module is named in full.
    same = all(len(side) == 2 * len(modules) for side in sides) and isinstance(configs[1]["target_modules"], list)
    names = configs[1]["target_modules"] if same else [module.removeprefix(_PREFIX) for module in modules]
    rank = sum(ranks)
    changes = {"r": rank, "lora_alpha": rank, "use_rslora": False, "target_modules": names}
    _write_config(target, {**configs[1], **changes}, model)


def _part(side: Any, sides: Any, name: str, axis: int, rank: int) -> Any:
    """One factor, or zeros in its place where only the other adapter reaches this module."""
    import torch

    if name in side:
        return side[name].float()
    other = next(each[name] for each in sides if name in each)
    shape = list(other.shape)
    shape[axis] = rank
    return torch.zeros(shape)


def _scaling(config: dict[str, Any], folder: Path) -> float:
    if config.get("peft_type") != "LORA":
        raise UsageError(f"{folder}: not a LoRA adapter. Use start: new or start: continue.")
    extra = ("use_dora", "modules_to_save", "alpha_pattern", "rank_pattern", "trainable_token_indices", "lora_bias")
    used = [name for name in extra if config.get(name)]
    if config.get("bias", "none") != "none" or config.get("fan_in_fan_out"):
        used.append("bias or fan_in_fan_out")
    if used:
        raise UsageError(
            f"{folder}: an adapter with {', '.join(used)} cannot be joined with another. Use start: continue."
        )
    rank, alpha = int(config["r"]), float(config["lora_alpha"])
    return alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _write_config(target: Path, config: dict[str, Any], model: str) -> None:
    names = config["target_modules"]
    # PEFT writes a set: its order changes from run to run
    config = {**config, "base_model_name_or_path": base_path(model), "inference_mode": True}
    config["target_modules"] = sorted(names) if isinstance(names, list) else names
    write_json(target / CONFIG, config)


def check_adapter(folder: Path) -> None:
    """Raise DataError where a folder is not an adapter saved as safetensors."""
    for name in (WEIGHTS, CONFIG):
        if not (folder / name).is_file():
            raise DataError(f"{folder}: no adapter ({name} is missing). Give a folder saved by PEFT.")
