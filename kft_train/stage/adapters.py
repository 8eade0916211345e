"""LoRA adapters: what a stage starts from, and how two become one. torch and peft are imported inside functions."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kft_tasks.errors import DataError, UsageError, shortened
from kft_tasks.files import write_json
from kft_tasks.models.adapter_config import CONFIG, read_adapter_config, read_lora_config
from kft_tasks.models.weights import adapter_weights
from kft_train.errors import RecipeError
from kft_train.recipes.recipe import AdapterConfig, StageConfig

if TYPE_CHECKING:
    import torch

WEIGHTS = "adapter_model.safetensors"
_PREFIX = "base_model.model."


def base_path(model: str) -> str:
    """The base model as an adapter records it: a hub id, or an absolute path (PEFT keeps relative ones relative)."""
    return str(Path(model).absolute()) if Path(model).exists() else model


def load_trainable(model: str, revision: str | None, start: str, adapter: AdapterConfig, previous: Path | None) -> Any:
    """Load the PeftModel that a stage trains, with float32 weights.

    Args:
        start: ``new``: a LoRA of shape ``adapter`` on the base model; ``continue``: ``previous``, trained further;
            ``merged``: a new LoRA on top of ``previous``, which is frozen (see :mod:`kft_train.stage.frozen_part`).

    Raises:
        RecipeError: the model has no such modules.
        UsageError: ``merged``, and ``previous`` is more than plain LoRA matrices.
        DataError: the model has no weights as safetensors, or ``previous`` changes nothing in it.
    """
    import torch
    from peft import LoraConfig, PeftModel, get_peft_model
    from transformers import AutoModelForCausalLM

    try:
        base = AutoModelForCausalLM.from_pretrained(
            base_path(model), revision=revision, dtype=torch.float32, trust_remote_code=False, use_safetensors=True
        )
    except (OSError, ValueError) as error:  # no weights, only pickled ones, or code that would have to run
        reason = shortened(" ".join(str(error).split()), 300)
        raise DataError(f"{model}: the model does not load ({reason}). Use one of safetensors.") from error
    if start == "continue":
        continued = PeftModel.from_pretrained(base, str(previous), is_trainable=True, torch_device="cpu")
        _check_effective(continued, previous)
        return continued
    config = LoraConfig(task_type="CAUSAL_LM", revision=revision, **adapter.model_dump())
    try:
        new = get_peft_model(base, config)
    except ValueError as error:  # PEFT names the modules that it did not find
        raise RecipeError(f"adapter: PEFT refuses it for this model ({error}). Correct target_modules.") from error
    return _on_top_of(previous, new, model) if start == "merged" and previous is not None else new


def _on_top_of(previous: Path, new: Any, model: str) -> Any:
    """The model with one LoRA that joins ``previous``, frozen, and the new one, which learns."""
    from peft import PeftModel

    from kft_train.stage.frozen_part import freeze_first_ranks

    with tempfile.TemporaryDirectory(prefix="kft-adapter-") as scratch:
        new.save_pretrained(str(Path(scratch) / "new"))
        save_joined(previous, Path(scratch) / "new", Path(scratch) / "joined", model)
        learning = {name for name, layer in new.named_modules() if hasattr(layer, "lora_A")}
        joined = PeftModel.from_pretrained(
            new.unload(), str(Path(scratch) / "joined"), is_trainable=True, torch_device="cpu"
        )
    _check_effective(joined, previous)
    freeze_first_ranks(joined, read_lora_config(previous)["r"], learning)
    return joined


def _check_effective(model: Any, adapter: Path | None) -> None:
    """Raise DataError if an adapter changes no logit; PEFT loads one that belongs to other modules without an error."""
    parts = ("lora_B", "lora_embedding_B", "modules_to_save")
    if not any(bool(weight.any()) for name, weight in model.named_parameters() if any(part in name for part in parts)):
        raise DataError(
            f"{adapter}: this adapter changes nothing, as its B matrices are all zero or belong to modules that the "
            "model does not have. Use an adapter that was trained on this model."
        )


def round_frozen(model: Any, dtype: torch.dtype) -> None:
    """Round the frozen matrices below LoRA layers once, to what autocast would round them to in every call.

    The results are the same; embeddings, norms and the residual stream stay in float32.
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
    _write_config(target, read_adapter_config(source), model)


def save_joined(first: Path, second: Path, target: Path, model: str) -> None:
    """Save two LoRAs of one base model as a single one that does what both do together.

    ``s1 B1 A1 + s2 B2 A2 = s2 [s1/s2 B1, B2] [A1; A2]``: ranks add up, and the second LoRA keeps its scaling, so that
    its learning rate means what it means without the first.

    Raises:
        UsageError: an adapter that is more than plain LoRA matrices.
    """
    import torch
    from safetensors.torch import load_file, save_file

    folders = (first, second)
    configs = [read_adapter_config(folder) for folder in folders]
    for config, folder in zip(configs, folders, strict=True):
        _check_lora(config, folder)
    configs = [read_lora_config(folder) for folder in folders]
    scalings = [_scaling(config) for config in configs]
    sides = [load_file(folder / WEIGHTS) for folder in folders]
    for side, folder in zip(sides, folders, strict=True):
        _check_plain(side, folder)
    modules = sorted({name.rpartition(".lora_")[0] for side in sides for name in side})
    ranks = [int(config["r"]) for config in configs]
    joined: dict[str, torch.Tensor] = {}
    for module in modules:
        down, up = f"{module}.lora_A.weight", f"{module}.lora_B.weight"
        downs = [_factor(side, sides, down, 0, rank) for side, rank in zip(sides, ranks, strict=True)]
        ups = [_factor(side, sides, up, 1, rank) for side, rank in zip(sides, ranks, strict=True)]
        joined[down] = torch.cat(downs, dim=0).contiguous()
        joined[up] = torch.cat([ups[0] * (scalings[0] / scalings[1]), ups[1]], dim=1).contiguous()
    target.mkdir(parents=True)
    save_file(joined, target / WEIGHTS, metadata={"format": "pt"})
    # Names such as "q_proj" stand for all layers; where the two adapters differ, every module is named in full.
    same = all(len(side) == 2 * len(modules) for side in sides) and isinstance(configs[1]["target_modules"], list)
    names = configs[1]["target_modules"] if same else [module.removeprefix(_PREFIX) for module in modules]
    rank, alpha = sum(ranks), scalings[1] * sum(ranks)
    changes = {"r": rank, "lora_alpha": int(alpha) if alpha.is_integer() else alpha, "use_rslora": False}
    _write_config(target, {**configs[1], **changes, "target_modules": names}, model)


def _check_plain(side: Mapping[str, torch.Tensor], folder: Path) -> None:
    for name, tensor in side.items():
        if not name.endswith((".lora_A.weight", ".lora_B.weight")) or tensor.dim() != 2:
            raise UsageError(f"{folder}: {name} is no matrix of a linear layer's LoRA. Use start: continue.")


def _factor(
    side: Mapping[str, torch.Tensor], sides: Sequence[Mapping[str, torch.Tensor]], name: str, axis: int, rank: int
) -> torch.Tensor:
    """One factor, or zeros in its place where only the other adapter has this module."""
    import torch

    if name in side:
        return side[name].float()
    other = next(each[name] for each in sides if name in each)
    shape = list(other.shape)
    shape[axis] = rank
    return torch.zeros(shape)


def _check_lora(config: Mapping[str, Any], folder: Path) -> None:
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


def _scaling(config: Mapping[str, Any]) -> float:
    rank, alpha = int(config["r"]), float(config["lora_alpha"])
    return alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _write_config(target: Path, config: Mapping[str, Any], model: str) -> None:
    names = config.get("target_modules")
    # PEFT writes a set: its order changes from run to run
    config = {**config, "base_model_name_or_path": base_path(model), "inference_mode": True}
    config.update({"target_modules": sorted(names)} if isinstance(names, list) else {})
    write_json(target / CONFIG, config)


def check_trained(checkpoint: Path, previous: Path | None, stage: StageConfig) -> None:
    """Refuse an adapter that training left as it was: it would be evaluated as a result, and is the starting point.

    Args:
        checkpoint: holds the trained adapter.
        previous: the adapter that the stage started from.

    Raises:
        DataError: what learns is all zero in B, or, with ``start: continue``, equal to ``previous``.
    """
    import torch
    from safetensors.torch import load_file

    weights = load_file(checkpoint / WEIGHTS)
    if stage.start == "continue" and previous is not None:
        before = load_file(previous / WEIGHTS)
        changed = any(not torch.equal(weights[name], before[name]) for name in weights)
    else:
        frozen = int(read_lora_config(previous)["r"]) if previous is not None else 0
        ups = [weight for name, weight in weights.items() if ".lora_B." in name or ".lora_embedding_B" in name]
        changed = any(bool(up[:, frozen:].any()) for up in ups)
    if not changed:
        raise DataError(
            f"Stage {stage.name!r}: training did not change the adapter, so the model answers as before the stage. "
            "Raise learning_rate or num_train_epochs, or lower warmup_steps."
        )


def check_adapter(folder: Path) -> None:
    """Raise DataError if a folder holds no adapter saved as safetensors."""
    adapter_weights(folder)
    if not (folder / CONFIG).is_file():
        raise DataError(f"{folder}: no adapter ({CONFIG} is missing). Give a folder saved by PEFT.")
