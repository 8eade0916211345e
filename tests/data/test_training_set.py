"""Chosen questions as training data: the right ones, with what is known about them, and as TRL trains on them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from certainty_helpers import categorized
from kft_cli.main import main
from kft_tasks.categories.category import KnowledgeCategory
from kft_tasks.categories.category_file import Header, write_category_file
from kft_tasks.certainty.measure import measure_certainty
from kft_tasks.errors import DataError
from kft_tasks.protocol.identity import ModelIdentity, QuestionsIdentity
from kft_tasks.protocol.protocol import Protocol
from kft_train.data.training_set import Selection, Wording, choose_training_set, write_parquet

PROTOCOL = Protocol(exemplar_sets=4, shots=1, samples=2, template="slick", system="Short answers.")
PATTERNS = {
    "high": ([1, 1, 1, 1], [2, 2, 2, 2]),
    "half": ([1, 1, 0, 0], [2, 1, 0, 1]),
    "once": ([0, 1, 0, 0], [0, 2, 0, 1]),
    "weak": ([0, 0, 0, 0], [0, 1, 0, 0]),
    "none": ([0, 0, 0, 0], [0, 0, 0, 0]),
}


@pytest.fixture
def detected(tmp_path: Path) -> Callable[..., Path]:
    def write(*, split: str = "train", exhaustive: bool = True) -> Path:
        items = []
        for name, pattern in PATTERNS.items():
            item = categorized(name, pattern, PROTOCOL, type_="odd" if name == "once" else "t")
            if not exhaustive and item.greedy.right:  # lazy detection asks no samples of these
                item = dataclasses.replace(item, sampled=type(item.sampled)(), sampled_answers=(None,) * 4)
            items.append(dataclasses.replace(item, question=dataclasses.replace(item.question, split=split)))
        counts = {category.value: sum(i.category is category for i in items) for category in KnowledgeCategory}
        identity = QuestionsIdentity("list", "1", split, len(items), "d" * 64, "e" * 64)
        header = Header("0.1.0", ModelIdentity("m", "w" * 64), PROTOCOL, identity, exhaustive, counts)
        path = tmp_path / f"{split}-{exhaustive}.categories.jsonl"
        write_category_file(path, header, items)
        return path

    return write


def test_a_row_tells_what_is_known_of_a_question(detected: Callable[..., Path], tmp_path: Path) -> None:
    chosen = choose_training_set(detected(), Selection(), Wording())
    chances = tmp_path / "chances.jsonl"
    measure_certainty(detected(), per_question=chances)
    lines = [json.loads(line) for line in chances.read_text(encoding="utf-8").splitlines()]
    assert [row["relabel_chance"] for row in chosen.rows] == [line["change"] for line in lines]
    assert chosen.rows[1] | {"relabel_chance": 0} == {
        "id": "half",
        "type": "t",
        "split": "train",
        "category": "MaybeKnown",
        "p_correct_greedy": 0.5,
        "p_correct_sampled": 0.5,
        "relabel_chance": 0,
        "prompt": "Short answers.\nQ: Is it half?\nA:",
        "completion": " yes",
    }


def test_a_lazy_file_leaves_empty_what_it_does_not_know(detected: Callable[..., Path]) -> None:
    rows = choose_training_set(detected(exhaustive=False), Selection(), Wording()).rows
    assert {row["relabel_chance"] for row in rows} == {None}
    assert [row["p_correct_sampled"] for row in rows] == [None, None, None, 0.125, 0.0]
    assert [row["p_correct_greedy"] for row in rows] == [1.0, 0.5, 0.25, 0.0, 0.0]
    with pytest.raises(DataError, match="detected lazily"):
        choose_training_set(detected(exhaustive=False), Selection(max_relabel=0.5), Wording())


def test_the_selection_takes_what_all_its_bounds_allow(detected: Callable[..., Path]) -> None:
    def ids(**bounds: Any) -> list[str]:
        return [row["id"] for row in choose_training_set(detected(), Selection(**bounds), Wording()).rows]

    assert ids(categories=[KnowledgeCategory.MAYBE_KNOWN]) == ["half", "once"]
    assert ids(types=["odd"]) == ["once"]
    assert ids(min_p=0.25, max_p=0.5) == ["half", "once"]
    assert ids(max_p=0.0) == ["weak", "none"]
    assert ids(min_p=0.3) == ["high", "half"]
    by_chance = {
        row["id"]: row["relabel_chance"] for row in choose_training_set(detected(), Selection(), Wording()).rows
    }
    limit = sorted(by_chance.values())[1]
    assert ids(max_relabel=limit) == [name for name in PATTERNS if by_chance[name] <= limit]
    with pytest.raises(DataError, match="no question is selected"):
        ids(types=["even"])


def test_questions_of_another_split_need_a_word(
    detected: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    test = str(detected(split="test"))
    with pytest.raises(SystemExit) as stopped:
        main(["export", test, "-o", "-", "--category", "WeaklyKnown"])
    assert stopped.value.code == 1
    assert "is from the test split" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stopped:
        main(["export", test, "-o", "-", "--category", "WeaklyKnown", "--any-split", "--form", "chat"])
    assert stopped.value.code == 0
    (row,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert row["messages"] == [
        {"role": "system", "content": "Short answers."},
        {"role": "user", "content": "Is it weak?"},
        {"role": "assistant", "content": "yes"},
    ]


def test_all_formats_hold_the_same_rows(detected: Callable[..., Path], tmp_path: Path) -> None:
    from datasets import load_dataset

    for form, format_ in (("chat", "jsonl"), ("chat", "parquet"), ("chat", "dataset")):
        output = str(tmp_path / f"out.{format_}")
        with pytest.raises(SystemExit) as stopped:
            main(["export", str(detected()), "-o", output, "--format", format_, "--form", form])
        assert stopped.value.code == 0
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    cache = str(tmp_path / "cache")
    loaded = {
        "parquet": load_dataset("parquet", data_files=str(tmp_path / "out.parquet"), split="train", cache_dir=cache),
        "dataset": load_dataset(str(tmp_path / "out.dataset"), split="train", cache_dir=cache),
    }
    for data in loaded.values():
        assert data.to_list() == rows
    assert "SHA-256" in (tmp_path / "out.dataset" / "README.md").read_text(encoding="utf-8")
    with pytest.raises(SystemExit) as stopped:  # nothing is replaced
        main(["export", str(detected()), "-o", str(tmp_path / "out.dataset"), "--format", "dataset"])
    assert stopped.value.code == 1


@pytest.mark.filterwarnings("ignore:.gradient_checkpointing. is deprecated:FutureWarning")  # TRL's own
@pytest.mark.parametrize("form", ["prompt-completion", "chat"])
def test_plain_trl_trains_on_it_as_it_is(
    form: Any, detected: Callable[..., Path], tiny_model: Path, tmp_path: Path
) -> None:
    from datasets import load_dataset
    from transformers import AutoModelForCausalLM
    from trl import SFTConfig, SFTTrainer

    output = tmp_path / "set"
    output.mkdir()
    rows = choose_training_set(detected(exhaustive=False), Selection(), Wording(form)).rows
    write_parquet(output / "train.parquet", rows)
    data = load_dataset(str(output), split="train", cache_dir=str(tmp_path / "cache"))
    args = SFTConfig(
        output_dir=str(tmp_path / "trl"),
        max_steps=2,
        per_device_train_batch_size=2,
        learning_rate=1e-2,
        report_to=[],
        bf16=False,
        use_cpu=True,
        save_strategy="no",
        logging_steps=1,
        disable_tqdm=True,
    )
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    before = next(model.parameters()).detach().clone()
    trainer = SFTTrainer(model=model, args=args, train_dataset=data)
    masked = trainer.data_collator([trainer.train_dataset[0]])["labels"][0] == -100
    assert bool(masked.any()) is (form == "prompt-completion")  # the loss is on the answer only
    trainer.train()
    assert len([row for row in trainer.state.log_history if "loss" in row]) == 2
    assert not before.equal(next(model.parameters()))
