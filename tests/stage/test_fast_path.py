"""The fast path of training has the loss and the gradients of plain transformers; evaluation stays PEFT's."""

from __future__ import annotations

import inspect
import itertools
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_trainer import arguments, losses, ours

from kft_train.data.rows import IGNORED
from kft_train.recipes.recipe import AdapterConfig
from kft_train.stage.adapters import load_trainable
from kft_train.stage.packed_rows import pack_rows
from kft_train.stage.train import _quiet_libraries
from tiny import ARCHITECTURES

PACKING = [name for name in ARCHITECTURES if name != "gemma2"]  # gemma2's attention is not PyTorch's SDPA


def batch_of(trainer: Any, count: int = 10) -> dict[str, Any]:
    """One padded batch of a trainer's first rows, as its collator makes it."""
    made: dict[str, Any] = trainer.data_collator([trainer.train_dataset[index] for index in range(count)])
    return made


def liven(model: Any) -> None:
    """Give B random values: with zeros, A has no gradient."""
    import torch

    torch.manual_seed(3)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.05)


def gradients(model: Any, loss: Any) -> dict[str, Any]:
    model.zero_grad()
    loss.backward()
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.requires_grad}


def test_rows_share_their_common_beginning_and_nothing_else() -> None:
    rows = [[5, 6, 7], [5, 6, 8, 9], [5, 6, 7], [6, 7]]
    labels = [[IGNORED, IGNORED, 7], [IGNORED, IGNORED, 8, 9], [IGNORED, IGNORED, 7], [IGNORED, 7]]
    packed = pack_rows(rows, labels)
    assert packed.tokens == [5, 6, 7, 8, 9, 6, 7]
    assert packed.positions == [0, 1, 2, 2, 3, 0, 1]
    assert packed.longest == 4
    assert packed.keep == [1, 3, 5]
    assert [packed.keep[index] for index in packed.at] == [1, 1, 3, 1, 5]
    assert packed.targets == [7, 8, 9, 7, 7]
    seen = {
        row: [int(slot) for slot, visible in zip(segment.slots, mask, strict=True) if visible]
        for segment in packed.segments
        for row, mask in zip(segment.rows, segment.mask, strict=True)
    }
    assert seen == {0: [0], 1: [0, 1], 2: [0, 1, 2], 3: [0, 1, 3], 4: [0, 1, 3, 4], 5: [5], 6: [5, 6]}
    with pytest.raises(ValueError, match="without a token"):
        pack_rows([[]], [[]])


@pytest.mark.parametrize("loss", ["completion", "sequence"])
@pytest.mark.parametrize("architecture", PACKING)
def test_loss_and_gradients_of_a_batch_are_those_of_plain_transformers(
    tiny_folder: Callable[[str], Path], tmp_path: Path, architecture: str, loss: str
) -> None:
    import torch

    from kft_train.stage.fused_lora import FusedLoraLinear, fuse_lora

    with _quiet_libraries():
        trainer = ours(tiny_folder(architecture), arguments(tmp_path), loss)
        model, batch = trainer.model, batch_of(trainer)
        liven(model)
        model.train()
        count = (batch["labels"][:, 1:] != IGNORED).sum()
        plain_loss = model(**batch, use_cache=False).loss
        plain = gradients(model, plain_loss)
        assert fuse_lora(model) == sum(isinstance(layer, FusedLoraLinear) for layer in model.modules()) > 0
        fast_loss = trainer.compute_loss(model, batch, num_items_in_batch=count)
        fast = gradients(model, fast_loss)
    assert trainer.packs
    assert float(fast_loss.detach()) == pytest.approx(float(plain_loss.detach()), rel=1e-5)
    assert all(bool(gradient.any()) for gradient in plain.values())
    for name, gradient in plain.items():
        torch.testing.assert_close(fast[name], gradient, rtol=1e-4, atol=1e-5, msg=name)


def test_a_batch_is_computed_on_fewer_tokens_than_it_has(tiny_model: Path, tmp_path: Path) -> None:
    with _quiet_libraries():
        trainer = ours(tiny_model, arguments(tmp_path))
        batch = batch_of(trainer)
        seen: list[int] = []
        trainer.compute_loss(trainer.model, batch)
        trainer.model.get_base_model().register_forward_pre_hook(
            lambda module, args, kwargs: seen.append(kwargs["input_ids"].numel()), with_kwargs=True
        )
        trainer.compute_loss(trainer.model, batch)
    real = int(batch["attention_mask"].sum())
    distinct = {tuple(row[:length]) for row, mask in zip(*_lists(batch), strict=True) for length in _prefixes(mask)}
    assert seen == [len(distinct)]
    assert len(distinct) < real < batch["input_ids"].numel()


def _lists(batch: dict[str, Any]) -> tuple[list[list[int]], list[list[int]]]:
    return batch["input_ids"].tolist(), batch["attention_mask"].tolist()


def _prefixes(mask: list[int]) -> range:
    return range(1, sum(mask) + 1)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"activation_checkpointing": True}, "activations are recomputed"),
        ({"neftune_noise_alpha": 5.0}, "noise depends on the shape of a batch"),
    ],
)
def test_settings_that_packing_would_change_are_trained_on_padded_batches(
    tiny_model: Path, tmp_path: Path, changes: dict[str, Any], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    with _quiet_libraries(), caplog.at_level(logging.WARNING, "kft_train.stage.trainer"):
        trainer = ours(tiny_model, arguments(tmp_path, num_train_epochs=1, **changes))
        assert losses(trainer)
        assert not trainer.packs
    assert [record.getMessage() for record in caplog.records] == [
        f"LlamaForCausalLM: batches are padded (slower): {reason}."
    ]


def test_a_model_that_answers_otherwise_when_packed_is_trained_on_padded_batches(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from transformers import LlamaForCausalLM

    original = LlamaForCausalLM.forward

    def forward(self: Any, *args: Any, position_ids: Any = None, **kwargs: Any) -> Any:
        return original(self, *args, **kwargs)

    forward.__signature__ = inspect.signature(original)  # type: ignore[attr-defined]
    with _quiet_libraries(), caplog.at_level(logging.WARNING, "kft_train.stage.trainer"):
        expected = losses(ours(tiny_model, arguments(tmp_path / "a")))
        monkeypatch.setattr(LlamaForCausalLM, "forward", forward)
        trainer = ours(tiny_model, arguments(tmp_path / "b"))
        assert losses(trainer) == pytest.approx(expected, abs=1e-5)
        assert not trainer.packs
    assert "batches are padded (slower): the first rows have loss" in caplog.text


def test_rows_longer_than_a_sliding_window_are_padded(tiny_model: Path, tmp_path: Path) -> None:
    with _quiet_libraries():
        trainer = ours(tiny_model, arguments(tmp_path))
        batch = batch_of(trainer)
        loss = float(trainer.compute_loss(trainer.model, batch).detach())
        assert trainer.packs
        seen: list[int] = []
        trainer.model.get_base_model().register_forward_pre_hook(
            lambda module, args, kwargs: seen.append(kwargs["input_ids"].shape[0]), with_kwargs=True
        )
        for window in (batch["input_ids"].shape[1], batch["input_ids"].shape[1] - 1):
            trainer._window = window
            assert float(trainer.compute_loss(trainer.model, batch).detach()) == pytest.approx(loss, rel=1e-5)
    assert seen == [1, len(batch["input_ids"])]


def with_dropout(model: Path, probability: float) -> Any:
    import torch

    adapter = AdapterConfig(r=4, lora_alpha=8, lora_dropout=probability)
    torch.manual_seed(2)
    loaded = load_trainable(str(model), None, "new", adapter, None)
    liven(loaded)
    return loaded


def test_the_fused_layer_computes_what_peft_computes_with_the_same_dropout(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from kft_train.stage import fused_lora

    ids = torch.arange(3, 43)[None]
    masks: list[Any] = []

    def record(count: int, probability: float) -> Any:
        places = original(count, probability)
        mask = torch.full((count,), 1 / (1 - probability))
        mask[places] = 0
        masks.append(mask)
        return places

    original = fused_lora.dropped_places
    with _quiet_libraries():
        model = with_dropout(tiny_model, 0.3).train()
        assert fused_lora.fuse_lora(model) == 14
        monkeypatch.setattr(fused_lora, "dropped_places", record)
        fused_output = model(input_ids=ids, use_cache=False).logits
        fused = gradients(model, fused_output.square().mean())
        stock = with_dropout(tiny_model, 0.3).train()
        used = iter(list(masks))
        for layer in stock.modules():
            if isinstance(layer, torch.nn.Dropout):
                layer.forward = lambda x: x * next(used).view(x.shape)  # type: ignore[method-assign]
        stock_output = stock(input_ids=ids, use_cache=False).logits
        expected = gradients(stock, stock_output.square().mean())
    assert len(masks) == 14
    torch.testing.assert_close(fused_output, stock_output, rtol=1e-5, atol=1e-5)
    for name, gradient in expected.items():
        torch.testing.assert_close(fused[name], gradient, rtol=1e-4, atol=1e-5, msg=name)


def test_outside_training_and_under_autocast_the_layer_is_pefts_to_the_bit(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from kft_train.stage import fused_lora

    ids = torch.arange(3, 43)[None]
    with _quiet_libraries():
        model = with_dropout(tiny_model, 0.0)
        peft, fused = [], []
        for found in (peft, fused):
            with torch.no_grad():
                found.append(model.eval()(input_ids=ids).logits)
                found.append(model.train()(input_ids=ids).logits)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                found.append(model(input_ids=ids).logits.detach())
            if not fused:
                fused_lora.fuse_lora(model)
        monkeypatch.setattr(fused_lora._LoraLinearFunction, "apply", lambda *args: pytest.fail("fused"))
        with torch.no_grad():
            model(input_ids=ids)
    assert all(itertools.starmap(torch.equal, zip(peft, fused, strict=True)))


def test_dropped_places_are_random_ascending_and_as_many_as_they_should_be() -> None:
    import torch

    from kft_train.stage.fused_lora import dropped_places

    torch.manual_seed(0)
    for probability in (0.05, 0.5):
        places = dropped_places(200_000, probability)
        assert bool((places[1:] > places[:-1]).all())
        assert int(places[0]) >= 0
        assert int(places[-1]) < 200_000
        assert len(places) / 200_000 == pytest.approx(probability, rel=0.05)
        halves = [len(dropped_places(2, probability)) for _ in range(4000)]
        assert sum(halves) / 8000 == pytest.approx(probability, rel=0.2)
    state = torch.get_rng_state()
    first = dropped_places(1000, 0.1)
    torch.set_rng_state(state)
    assert torch.equal(dropped_places(1000, 0.1), first)


def test_under_autocast_batches_are_packed_too(
    tiny_model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with _quiet_libraries(), caplog.at_level(logging.WARNING, "kft_train.stage.trainer"):
        expected = losses(ours(tiny_model, arguments(tmp_path / "a")))
        trainer = ours(tiny_model, arguments(tmp_path / "b", bf16=True))
        assert losses(trainer) == pytest.approx(expected, rel=0.02)
        assert trainer.packs
    assert not caplog.records


def test_a_batch_without_a_label_has_no_loss_and_no_gradient(tiny_model: Path, tmp_path: Path) -> None:
    import torch

    with _quiet_libraries():
        trainer = ours(tiny_model, arguments(tmp_path))
        batch = batch_of(trainer)
        trainer.compute_loss(trainer.model, batch)
        assert trainer.packs
        empty = {**batch, "labels": torch.full_like(batch["labels"], IGNORED)}
        loss = trainer.compute_loss(trainer.model, empty)
        assert float(loss.detach()) == 0.0
        assert not any(bool(gradient.any()) for gradient in gradients(trainer.model, loss).values())
