"""What is evaluated is what was trained: compared to the bit, for every start and in both precisions.

Training in bfloat16 uses autocast, which keeps the residual stream, norms and embeddings in float32; a model that
detection loads in bfloat16 rounds those too. So logits are compared under the precision of training. For detection's own
precision, the test compares everything the two models are made of: base weights, LoRA factors and scalings.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kft_train.stage import train as stage_module
from kft_train.stage.request import StageResult
from kft_train.stage.train import _quiet_libraries, train_stage
from train_helpers import make_request


def train(
    model: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, bf16: bool, **changes: Any
) -> tuple[Any, StageResult]:
    """Train one epoch; returns the trainer, whose model is the one that was saved, and the result."""
    made: list[Any] = []
    original = stage_module._make_trainer

    def make_trainer(*args: Any) -> Any:
        made.append(original(*args))
        return made[-1]

    with monkeypatch.context() as patch:
        patch.setattr(stage_module, "_make_trainer", make_trainer)
        result = train_stage(make_request(model, folder, num_train_epochs=1, sft={"bf16": bf16}, **changes))
    return made[0][0], result


def logits(model: Any, trainer: Any) -> Any:
    import torch

    model.eval()
    with torch.no_grad(), trainer.accelerator.autocast():
        return model(input_ids=torch.arange(3, 43)[None], use_cache=False).logits


def parts(model: Any) -> dict[str, Any]:
    """The base weights of LoRA layers in the precision they are multiplied in, their factors and scalings."""
    found: dict[str, Any] = {}
    for name, layer in model.named_modules():
        if hasattr(layer, "lora_A"):
            found[f"{name}.base"] = layer.base_layer.weight.detach()
            found[f"{name}.A"] = layer.lora_A["default"].weight.detach()
            found[f"{name}.B"] = layer.lora_B["default"].weight.detach()
            found[f"{name}.scaling"] = layer.scaling["default"]
    return found


@pytest.mark.parametrize("start", ["new", "continue", "merged"])
@pytest.mark.parametrize("bf16", [False, True], ids=["float32", "bfloat16"])
def test_the_saved_adapter_on_the_base_model_is_the_trained_model_to_the_bit(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: str, bf16: bool
) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from kft_tasks.models.choice import ModelChoice
    from kft_tasks.models.loading import load_model

    changes: dict[str, Any] = {}
    if start != "new":
        _, first = train(tiny_model, tmp_path, monkeypatch, bf16)
        changes = {"previous": first.adapter, "output": tmp_path / "stage2", "name": "stage2", "weight_decay": 0.1}
    trainer, result = train(tiny_model, tmp_path, monkeypatch, bf16, start=start, **changes)
    trained = logits(trainer.model, trainer)

    with _quiet_libraries():
        base = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
        plain = logits(base, trainer)
        assert torch.equal(logits(PeftModel.from_pretrained(base, str(result.adapter)), trainer), trained)
        assert not torch.equal(plain, trained)
        dtype = "bfloat16" if bf16 else "float32"
        detected = load_model(ModelChoice(str(tiny_model), adapter=result.adapter, dtype=dtype, device="cpu")).lm.model

    ours, theirs = parts(trainer.model), parts(detected)
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        assert value == theirs[name] if name.endswith("scaling") else torch.equal(value, theirs[name]), name
    if not bf16:
        assert torch.equal(logits(detected, trainer), trained)


def test_the_first_adapter_is_in_the_merged_one_unchanged(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from safetensors.torch import load_file

    _, first = train(tiny_model, tmp_path, monkeypatch, True)
    changes = {"previous": first.adapter, "output": tmp_path / "stage2", "name": "stage2", "weight_decay": 0.1}
    _, second = train(tiny_model, tmp_path, monkeypatch, True, start="merged", **changes)
    before, after = (load_file(stage.adapter / "adapter_model.safetensors") for stage in (first, second))
    assert before.keys() == after.keys()
    for name, factor in before.items():
        kept = after[name][:4] if ".lora_A" in name else after[name][:, :4]
        assert torch.equal(kept, factor)
