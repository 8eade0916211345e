"""An adapter folded into the weights: the same answers and categories, and weights that come back to the bit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from kft_tasks.categories.category_file import CategoryFile
from kft_tasks.detection.run import detect
from kft_tasks.detection.target import Target
from kft_tasks.engine.folding import fold_adapter, folded
from kft_tasks.models.choice import ModelChoice
from kft_tasks.models.loading import LoadedModel, load_model
from kft_tasks.models.weights import quiet_transformers
from kft_tasks.protocol.exemplars import ExemplarPool
from kft_tasks.protocol.prompt_maker import PromptMaker
from kft_tasks.protocol.protocol import Protocol
from kft_tasks.question_sets.registry import open_set
from kft_tasks.questions import Question, write_questions

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning:peft")
PROTOCOL = Protocol(scorer="exact_match", exemplar_sets=2, shots=1, samples=4, max_tokens=4)


def with_lora(model: Path, std: float, **shape: Any) -> Any:
    """The model with a random LoRA that changes answers."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    with quiet_transformers():
        base = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
        config = {"r": 4, "lora_alpha": 8, "target_modules": "all-linear", **shape}
        torch.manual_seed(1)
        made = get_peft_model(base, LoraConfig(task_type="CAUSAL_LM", **config))
        for name, parameter in made.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=std)
    return made.eval()


def make_adapter(model: Path, folder: Path, std: float, **shape: Any) -> Path:
    """Save the LoRA of :func:`with_lora`."""
    with_lora(model, std, **shape).save_pretrained(str(folder))
    return folder


def loaded(model: Path | str, adapter: Path | None, dtype: str = "float32") -> LoadedModel:
    return load_model(ModelChoice(str(model), adapter=adapter, dtype=dtype, device="cpu"))


def logits(model: Any) -> Any:
    import torch

    with torch.no_grad():
        return model(input_ids=torch.arange(3, 43)[None], use_cache=False).logits


@pytest.fixture(scope="module")
def adapter(tiny_folder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_adapter(tiny_folder("llama"), tmp_path_factory.mktemp("adapter") / "a", 0.2)


def no_fold(model: Any) -> int:
    return 0


def test_folded_weights_give_the_logits_of_the_adapter_and_come_back_to_the_bit(
    tiny_folder: Callable[[str], Path], adapter: Path
) -> None:
    import torch

    model = loaded(tiny_folder("llama"), adapter).lm.model
    plain = logits(loaded(tiny_folder("llama"), None).lm.model)
    beside = logits(model)
    assert (beside - plain).abs().max() > 0.1
    weights = {name: weight.clone() for name, weight in model.named_parameters()}
    with pytest.raises(KeyError), folded(model) as done:
        assert done
        torch.testing.assert_close(logits(model), beside, rtol=1e-4, atol=1e-4)
        assert not torch.equal(logits(model), beside)  # it did not compute the adapter beside the weights
        assert fold_adapter(model) == 0  # once is enough
        raise KeyError
    assert all(torch.equal(weight, weights[name]) for name, weight in model.named_parameters())
    assert torch.equal(logits(model), beside)


def test_what_cannot_be_folded_exactly_enough_is_left_alone(tiny_folder: Callable[[str], Path], adapter: Path) -> None:
    import torch

    folder = tiny_folder("llama")  # its head is tied to its embedding
    assert fold_adapter(loaded(folder, None).lm.model) == 0
    assert fold_adapter(loaded(folder, adapter, "bfloat16").lm.model) == 0
    tied = with_lora(folder, 0.1, target_modules=["q_proj", "lm_head"])
    dora = with_lora(folder, 0.1, use_dora=True)
    for model in (tied, dora):
        before = logits(model)
        assert fold_adapter(model) == 0
        assert torch.equal(logits(model), before)
    model = loaded(folder, adapter).lm.model
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert fold_adapter(model) == 0
    assert fold_adapter(model) == 14


def test_detection_folds_and_finds_the_same_answers_and_categories(
    tiny_folder: Callable[[str], Path], adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    questions = [
        Question(f"{split}{n}", f"Tree {n} of {split}?", ("ash",), "tree", split, f"{split}{n}")
        for split, count in (("test", 120), ("exemplars", 20))
        for n in range(count)
    ]
    write_questions(tmp_path / "questions.jsonl", questions)
    source = open_set("questions", tmp_path / "questions.jsonl")
    prompts = PromptMaker(PROTOCOL, pool := ExemplarPool(source.split("exemplars"), PROTOCOL))
    counted: list[int] = []

    def counting(model: Any) -> int:
        counted.append(fold_adapter(model))
        return counted[-1]

    def categories(name: str, fold: Callable[[Any], int]) -> list[Any]:
        monkeypatch.setattr("kft_tasks.engine.folding.fold_adapter", fold)
        model = loaded(tiny_folder("llama"), adapter if name != "base" else None)
        output = tmp_path / name
        detect(
            Target(source, "test"),
            PROTOCOL,
            model.identity,
            lambda: (model.answerer(PROTOCOL), prompts),
            output,
            exemplars=pool,
            lazy=False,
        )
        return [(item.greedy_answers, item.sampled_answers, item.category) for item in CategoryFile(output)]

    beside = categories("beside", no_fold)
    assert categories("folded", counting) == beside
    assert counted == [14]
    assert categories("base", counting) != beside
    assert len({answer for greedy, _, _ in beside for answer in greedy}) > 10


def test_without_the_engine_nothing_is_folded(
    tiny_folder: Callable[[str], Path], adapter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setenv("KFT_FAST", "0")
    model = loaded(tiny_folder("llama"), adapter)
    before = logits(model.lm.model)
    model.answerer(PROTOCOL)
    assert torch.equal(logits(model.lm.model), before)


@pytest.mark.model
def test_the_real_model_gives_the_same_greedy_answers(
    embedded_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = make_adapter(embedded_model, tmp_path / "adapter", 0.03, r=16, lora_alpha=32)
    protocol = Protocol(scorer="exact_match", exemplar_sets=1, shots=4, samples=1, max_tokens=8)
    source = open_set("worldfacts")
    prompts = PromptMaker(protocol, ExemplarPool(source.split("exemplars"), protocol))
    by_type: dict[str, list[Question]] = {}
    for question in source.split("test"):
        by_type.setdefault(question.type, []).append(question)
    largest = sorted(by_type.values(), key=len)[-4:]  # few types: their exemplars are most of the work
    asked = [question for questions in largest for question in questions][:120]

    def answers(fold: Callable[[Any], int], adapter: Path | None) -> Sequence[str]:
        monkeypatch.setattr("kft_tasks.engine.folding.fold_adapter", fold)
        model = loaded(embedded_model, adapter).answerer(protocol)
        requests = [prompts.request(question, 0) for question in asked]
        return model.open(requests).greedy(range(len(requests)))

    beside = answers(no_fold, adapter)
    assert len(beside) >= 100
    assert answers(fold_adapter, adapter) == beside
    assert sum(one != two for one, two in zip(answers(fold_adapter, None), beside, strict=True)) > 10
