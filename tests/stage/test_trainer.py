from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import Any

import pytest

from kft_tasks.errors import DataError
from kft_train.data.rows import training_rows
from kft_train.recipes.recipe import AdapterConfig
from kft_train.recipes.sft_config import for_installed
from kft_train.stage.adapters import load_trainable
from kft_train.stage.frozen_part import restore_frozen
from kft_train.stage.train import _quiet_libraries
from kft_train.stage.training_log import out_of_patience
from tiny import ARCHITECTURES, make_tiny_model
from train_helpers import make_question, make_request

ADAPTER = AdapterConfig(r=4, lora_alpha=8, lora_dropout=0.0)
ALL_LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def arguments(folder: Path, **changes: Any) -> Any:
    from trl import SFTConfig

    values = {
        "use_cpu": True,
        "bf16": False,
        "activation_checkpointing": False,
        "loss_type": "nll",
        "report_to": "none",
        "disable_tqdm": True,
    }
    values |= {"per_device_train_batch_size": 3, "gradient_accumulation_steps": 2, "num_train_epochs": 2, "seed": 1}
    values |= {"logging_steps": 1, "learning_rate": 1e-2, "max_length": None, "save_strategy": "no"}
    fields = {field.name for field in dataclasses.fields(SFTConfig)}
    return SFTConfig(output_dir=str(folder), **for_installed({**values, **changes}, fields))


def losses(trainer: Any) -> list[float]:
    from transformers import PrinterCallback

    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def ours(model: Path, args: Any, loss: Any = "completion") -> Any:
    from datasets import Dataset
    from transformers import AutoTokenizer, set_seed

    from kft_train.stage.trainer import KftTrainer

    tokenizer = AutoTokenizer.from_pretrained(model)
    protocol = make_request(model, model).protocol
    rows = training_rows([make_question(i) for i in range(10)], protocol, tokenizer, loss)
    set_seed(1)
    args.dataset_kwargs = {"skip_prepare_dataset": True}
    args.remove_unused_columns = False
    return KftTrainer(
        validation=(),
        protocol=protocol,
        model=load_trainable(str(model), None, "new", ADAPTER, None),
        args=args,
        train_dataset=Dataset.from_dict({"input_ids": rows.input_ids, "labels": rows.labels}),
        processing_class=tokenizer,
    )


def stock(model: Path, args: Any, sequence: bool = False) -> Any:
    from datasets import Dataset
    from transformers import AutoTokenizer, set_seed
    from trl import SFTTrainer

    questions = [make_question(i) for i in range(10)]
    rows = [
        {"prompt": f"Question: {question.question}\nAnswer:", "completion": f" {question.answers[0]}"}
        for question in questions
    ]
    args.completion_only_loss = not sequence
    set_seed(1)
    peft_model = load_trainable(str(model), None, "new", ADAPTER, None)
    tokenizer = AutoTokenizer.from_pretrained(model)
    return SFTTrainer(model=peft_model, args=args, train_dataset=Dataset.from_list(rows), processing_class=tokenizer)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_losses_equal_those_of_the_stock_trainer(architecture: str, tmp_path: Path) -> None:
    with _quiet_libraries():
        model = make_tiny_model(tmp_path / "model", architecture)
        trainer = ours(model, arguments(tmp_path / "a"))
        assert trainer.short_head
        expected = losses(stock(model, arguments(tmp_path / "b")))
        assert len(expected) == 4
        assert losses(trainer) == pytest.approx(expected, abs=1e-5)


def test_the_whole_sequence_loss_equals_that_of_the_stock_trainer(tiny_model: Path, tmp_path: Path) -> None:
    with _quiet_libraries():
        expected = losses(stock(tiny_model, arguments(tmp_path / "b"), sequence=True))
        assert losses(ours(tiny_model, arguments(tmp_path / "a"), "sequence")) == pytest.approx(expected, abs=1e-5)


def test_a_model_without_positional_logits_to_keep_uses_the_stock_head_and_warns_once(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from transformers import LlamaForCausalLM

    original = LlamaForCausalLM.forward

    def forward(
        self: Any, input_ids: Any = None, attention_mask: Any = None, use_cache: Any = None, **kwargs: Any
    ) -> Any:
        return original(self, input_ids=input_ids, attention_mask=attention_mask, use_cache=use_cache, **kwargs)

    with _quiet_libraries(), caplog.at_level(logging.WARNING, "kft_train.stage.trainer"):
        expected = losses(ours(tiny_model, arguments(tmp_path / "a")))
        assert not caplog.records
        monkeypatch.setattr(LlamaForCausalLM, "forward", forward)
        trainer = ours(tiny_model, arguments(tmp_path / "b"))
        assert not trainer.short_head
        assert losses(trainer) == pytest.approx(expected, abs=1e-5)
    assert [record.getMessage() for record in caplog.records] == [
        "LlamaForCausalLM: the stock loss head is used (slower)."
    ]


def test_validation_asks_with_its_exemplars_and_scores_by_the_protocol(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    class Scripted:
        def open(self, requests: Any) -> Any:
            asked.extend(request.prompt for request in requests)
            return self

        def greedy(self, which: Any) -> list[str]:
            assert not trainer.model.training
            return ["Ash." if "tree 0?\nAnswer:" in asked[index][-20:] else "oak" for index in which]

    with _quiet_libraries():
        trainer = ours(tiny_model, arguments(tmp_path))
        trainer.validation.prompts = make_request(tiny_model, tmp_path).validation
        monkeypatch.setattr(trainer.validation, "answerer", Scripted)
        trainer.model.train()
        assert trainer.validation.count_right(trainer.accelerator) == 1
        assert trainer.model.training
    assert "Question: Name tree 0?\nAnswer:" in asked
    assert "Question: Tree 1?\nAnswer: birch\n\nQuestion: Name tree 1?\nAnswer:" in asked


def test_validation_answers_are_those_of_plain_generation_before_and_after_the_weights_change(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import torch

    from kft_tasks.answering.answerer import greedy_answers
    from kft_tasks.engine.engine import Engine
    from kft_tasks.errors import UnsupportedModelError

    with _quiet_libraries(), caplog.at_level(logging.WARNING, "kft_train.stage.validation"):
        trainer = ours(tiny_model, arguments(tmp_path))
        validation = trainer.validation
        trainer.model.eval()
        requests = validation.requests(make_request(tiny_model, tmp_path).validation)
        seen = []
        for scale in (0.0, 0.3):
            torch.manual_seed(0)
            with torch.no_grad():
                for name, parameter in trainer.model.named_parameters():
                    if "lora_B" in name:
                        parameter.normal_(std=scale) if scale else parameter.zero_()
            with trainer.accelerator.autocast():
                fast = dict(greedy_answers(requests, validation.answerer()))
            with monkeypatch.context() as patch:

                def refuse(self: Any, *args: Any, **kwargs: Any) -> None:
                    raise UnsupportedModelError("no tries.")

                patch.setattr(Engine, "__init__", refuse)
                patch.setattr(validation, "_engine", None)
                with trainer.accelerator.autocast():
                    assert dict(greedy_answers(requests, validation.answerer())) == fast
                patch.setattr(validation, "_engine_refused", False)
            validation._engine_refused = False
            seen.append(fast)
    assert seen[0] != seen[1]
    assert "slower" in caplog.text


def logits(model: Any) -> Any:
    import torch

    model.eval()
    with torch.no_grad():
        return model(input_ids=torch.arange(3, 43)[None]).logits


def random_adapter(
    model: Path, folder: Path, seed: int, start: str = "new", previous: Path | None = None, **shape: Any
) -> Any:
    """A model with an adapter whose B is not zero, saved into ``folder``."""
    import torch

    adapter = AdapterConfig(**{"r": 3, "lora_alpha": 5, "lora_dropout": 0.0, **shape})
    loaded = load_trainable(str(model), None, start, adapter, previous)
    torch.manual_seed(seed)
    for name, parameter in loaded.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    restore_frozen(loaded)
    loaded.save_pretrained(str(folder))
    return loaded


@pytest.mark.parametrize(
    ("architecture", "first", "second"),
    [
        ("llama", {}, {"r": 4, "lora_alpha": 32}),
        ("gpt_neox", {}, {"r": 4, "lora_alpha": 32}),
        ("llama", {"target_modules": ["q_proj", "down_proj"]}, {"target_modules": "all-linear"}),
        ("llama", {"target_modules": ["q_proj"]}, {"target_modules": ["v_proj"]}),
        ("llama", {"target_modules": r".*layers\.0\..*_proj"}, {"target_modules": r".*layers\.1\.mlp\..*_proj"}),
    ],
    ids=["same-modules", "same-modules-gpt_neox", "more-modules", "other-modules", "patterns"],
)
def test_two_adapters_joined_equal_the_second_on_the_merged_first(
    tmp_path: Path, first: dict[str, Any], second: dict[str, Any], architecture: str
) -> None:
    import torch
    from peft import LoraConfig, PeftModel, get_peft_model
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM

    with _quiet_libraries():
        model = make_tiny_model(tmp_path / "model", architecture)
        random_adapter(model, tmp_path / "one", 1, **first)
        trained = random_adapter(model, tmp_path / "joined", 2, "merged", tmp_path / "one", **second)
        base = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
        plain = logits(base)
        joined = logits(PeftModel.from_pretrained(base, str(tmp_path / "joined")))
        base = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
        merged = PeftModel.from_pretrained(base, str(tmp_path / "one")).merge_and_unload()
        adapter = AdapterConfig(**{"r": 3, "lora_alpha": 5, "lora_dropout": 0.0, **second})
        stacked = get_peft_model(merged, LoraConfig(task_type="CAUSAL_LM", **adapter.model_dump()))
        factors = load_file(tmp_path / "joined" / "adapter_model.safetensors")
        with torch.no_grad():
            for name, parameter in stacked.named_parameters():
                if ".lora_" in name:
                    factor = factors[name.replace(".default", "")]
                    parameter.copy_(factor[3:] if ".lora_A" in name else factor[:, 3:])
    assert (joined - plain).abs().max() > 0.1
    assert torch.equal(joined, logits(trained))
    torch.testing.assert_close(joined, logits(stacked), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("start", ["continue", "merged"])
@pytest.mark.parametrize("damage", ["zero", "renamed"])
@pytest.mark.filterwarnings("ignore:Found missing adapter keys")  # PEFT only warns about it
def test_an_adapter_that_changes_nothing_is_no_start(tiny_model: Path, tmp_path: Path, start: str, damage: str) -> None:
    from safetensors.torch import load_file, save_file

    with _quiet_libraries():
        random_adapter(tiny_model, tmp_path / "one", 1)
        path = tmp_path / "one" / "adapter_model.safetensors"
        weights = load_file(path)
        if damage == "zero":
            weights = {name: weight * (".lora_A." in name) for name, weight in weights.items()}
        else:
            weights = {name.replace("model.layers", "model.blocks"): weight for name, weight in weights.items()}
        save_file(weights, path, metadata={"format": "pt"})
        with pytest.raises(DataError, match="one: this adapter changes nothing"):
            load_trainable(str(tiny_model), None, start, ADAPTER, tmp_path / "one")


@pytest.mark.parametrize("second", [{"r": 4, "lora_alpha": 32, "lora_dropout": 0.5}, {"target_modules": ["q_proj"]}])
def test_training_on_top_of_an_adapter_changes_no_bit_of_it(
    tiny_model: Path, tmp_path: Path, second: dict[str, Any]
) -> None:
    import torch

    with _quiet_libraries():
        random_adapter(tiny_model, tmp_path / "one", 1)
        model = load_trainable(
            str(tiny_model), None, "merged", AdapterConfig(**{"r": 3, "lora_alpha": 5, **second}), tmp_path / "one"
        )
        start = {name: weight.detach().clone() for name, weight in model.named_parameters() if ".lora_" in name}
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.5)
        model.train()
        for _ in range(2):
            logits_in_training = model(input_ids=torch.arange(3, 43)[None]).logits
            logits_in_training.square().mean().backward()
            optimizer.step()
            restore_frozen(model)
            optimizer.zero_grad()
    learned = set()
    for name, weight in model.named_parameters():
        if ".lora_" in name:
            before, axis = start[name], 0 if ".lora_A" in name else 1
            assert torch.equal(weight.narrow(axis, 0, 3), before.narrow(axis, 0, 3))
            rest = weight.shape[axis] - 3
            if not torch.equal(weight.narrow(axis, 3, rest), before.narrow(axis, 3, rest)):
                learned.add(name.split(".")[-4])
    assert learned == set(second.get("target_modules", {*ALL_LINEAR}))


@pytest.mark.parametrize(
    ("values", "patience", "over"),
    [
        ([], 1, False),
        ([0.5], 1, False),
        ([0.5, 0.5], 1, True),
        ([0.5, 0.6], 1, False),
        ([0.5, 0.4], 2, False),
        ([0.5, 0.4, 0.5], 2, True),
        ([0.5, 0.4, 0.6, 0.6], 2, False),
        ([0.5, 0.4, 0.3], None, False),
    ],
)
def test_patience_counts_epochs_without_a_better_one(values: list[float], patience: int | None, over: bool) -> None:
    assert out_of_patience(values, patience) is over
