"""Losses with weights, and with the divergence from the base model: those of the formula, and what they do."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_fast_path import PACKING, batch_of, gradients, liven
from test_trainer import arguments, ours

from kft_tasks.errors import UnsupportedModelError
from kft_train.data.mixture import PartCount
from kft_train.data.rows import IGNORED, WEIGHT
from kft_train.recipes.recipe import AdapterConfig
from kft_train.stage.adapters import load_trainable
from kft_train.stage.train import _quiet_libraries, train_stage
from kft_train.stage.trainer import _WithWeights
from train_helpers import make_mixture, make_request


def by_the_formula(model: Any, batch: dict[str, Any], weights: Any, kl_to_base: float) -> Any:
    """Mean over labels of weight * cross-entropy + kl_to_base * KL(base || model), from plain full-size logits."""
    import torch

    ids, mask, labels = batch["input_ids"], batch["attention_mask"], batch["labels"][:, 1:]
    ours = model(input_ids=ids, attention_mask=mask).logits[:, :-1].float().log_softmax(-1)
    with torch.no_grad(), model.disable_adapter():
        base = model(input_ids=ids, attention_mask=mask).logits[:, :-1].float().log_softmax(-1)
    terms = []
    for row, column in (labels != IGNORED).nonzero().tolist():
        divergence = torch.nn.functional.kl_div(ours[row, column], base[row, column], reduction="sum", log_target=True)
        terms.append(-weights[row] * ours[row, column, labels[row, column]] + kl_to_base * divergence)
    return torch.stack(terms).mean()


@pytest.mark.parametrize("packs", [None, False])
@pytest.mark.parametrize("architecture", PACKING)
def test_loss_and_gradients_are_those_of_the_formula(
    tiny_folder: Callable[[str], Path], tmp_path: Path, architecture: str, packs: bool | None
) -> None:
    import torch

    with _quiet_libraries():
        trainer = ours(tiny_folder(architecture), arguments(tmp_path))
        trainer._packs, trainer.kl_to_base = packs, 0.7
        model, batch = trainer.model, batch_of(trainer)
        liven(model)
        model.train()
        weights = torch.linspace(0.1, 2.0, len(batch["labels"]))
        expected = by_the_formula(model, batch, weights, 0.7)
        plain = gradients(model, expected)
        loss = trainer.compute_loss(model, {**batch, WEIGHT: weights})
        own = gradients(model, loss)
    assert trainer.packs is (packs is None)
    assert model.training
    assert float(loss.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
    for name, gradient in plain.items():
        torch.testing.assert_close(own[name], gradient, rtol=1e-4, atol=1e-5, msg=name)


def test_a_new_adapter_does_not_diverge_and_validation_loss_is_cross_entropy(tiny_model: Path, tmp_path: Path) -> None:
    with _quiet_libraries():
        trainer = ours(tiny_model, arguments(tmp_path))
        batch = batch_of(trainer)
        plain = float(trainer.compute_loss(trainer.model.train(), batch).detach())
        trainer.kl_to_base = 5.0
        assert float(trainer.compute_loss(trainer.model, batch).detach()) == pytest.approx(plain, rel=1e-6)
        liven(trainer.model)
        trained = float(trainer.compute_loss(trainer.model.train(), batch).detach())
        asked = float(trainer.compute_loss(trainer.model.eval(), batch).detach())
        trainer.kl_to_base = 0.0
        assert asked == float(trainer.compute_loss(trainer.model.eval(), batch).detach()) < trained


def test_rows_without_weights_make_a_batch_without(tiny_model: Path, tmp_path: Path) -> None:
    with _quiet_libraries():
        trainer = ours(tiny_model, arguments(tmp_path))
        rows = [dict(trainer.train_dataset[index]) for index in range(3)]
        collate = _WithWeights(trainer.data_collator)
        assert set(collate(rows)) == {"input_ids", "attention_mask", "labels"}
        weighted = collate([{**row, WEIGHT: float(index)} for index, row in enumerate(rows)])
    assert weighted[WEIGHT].tolist() == [0.0, 1.0, 2.0]
    assert (weighted["labels"] == collate(rows)["labels"]).all()


def drift(model: Path, adapter: Path) -> float:
    """How far an adapter moves the distributions at the labels of the training rows, in nats per label."""
    with _quiet_libraries():
        trainer = ours(model, arguments(adapter.parent / "unused"))
        batch = batch_of(trainer)
        peft = load_trainable(str(model), None, "continue", AdapterConfig(), adapter).eval()
        return float((by_the_formula(peft, batch, [0.0] * 10, 1.0)).detach())


def test_a_stage_held_to_its_base_model_stays_nearer_to_it(tiny_model: Path, tmp_path: Path) -> None:
    free = train_stage(make_request(tiny_model, tmp_path / "free", num_train_epochs=2))
    held = train_stage(make_request(tiny_model, tmp_path / "held", num_train_epochs=2, kl_to_base=3.0))
    assert drift(tiny_model, held.adapter) < 0.7 * drift(tiny_model, free.adapter)


def test_questions_of_a_part_with_a_small_weight_are_hardly_learnt(tiny_model: Path, tmp_path: Path) -> None:
    items = tuple(
        dataclasses.replace(item, part="b" if index < 10 else "a") for index, item in enumerate(make_mixture(20).items)
    )
    parts = (PartCount("a", 10, 10), PartCount("b", 10, 10))
    mixture = dataclasses.replace(make_mixture(20), items=items, parts=parts)

    def loss_of_b(name: str, weight: float) -> float:
        stage = [{"name": "a"}, {"name": "b", "weight": weight}]
        request = make_request(tiny_model, tmp_path / name, num_train_epochs=2, mixture=stage)
        result = train_stage(dataclasses.replace(request, mixture=mixture))
        with _quiet_libraries():
            trainer = ours(tiny_model, arguments(tmp_path / "unused"))
            peft = load_trainable(str(tiny_model), None, "continue", AdapterConfig(), result.adapter).eval()
            return float(trainer.compute_loss(peft, batch_of(trainer)).detach())  # its rows are those of part b

    assert loss_of_b("whole", 1.0) < loss_of_b("hardly", 0.001) - 0.1


def test_a_model_without_positional_logits_to_keep_is_refused(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import LlamaForCausalLM

    original = LlamaForCausalLM.forward

    def forward(
        self: Any, input_ids: Any = None, attention_mask: Any = None, use_cache: Any = None, **kwargs: Any
    ) -> Any:
        return original(self, input_ids=input_ids, attention_mask=attention_mask, use_cache=use_cache, **kwargs)

    assert "logits_to_keep" not in inspect.signature(forward).parameters
    monkeypatch.setattr(LlamaForCausalLM, "forward", forward)
    with pytest.raises(UnsupportedModelError, match="Remove kl_to_base"):
        train_stage(make_request(tiny_model, tmp_path, kl_to_base=0.5))
