"""Prompt and completion are separate texts to a reader; these tests say when they are to a tokenizer as well.

What holds for which kind of tokenizer is the table in results/scoring/README.md.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kft_tasks.protocol.prompts import TEMPLATES, completion_text, prompt_text
from kft_tasks.protocol.protocol import Protocol
from kft_tasks.questions import Question
from kft_train.data.rows import training_rows
from tiny import make_tiny_tokenizer

ANSWERS = (
    "Paris", "P. G. Wodehouse", "Łódź", "São Tomé", "17", "1789", "3.5", "-40", "$5 million", "+44", '"Heroes"', "(I Can't Get No)",
    "'Salem's Lot", ".nl", "A", "a b", "東京", "Москва", "L’Aquila", "2 × 4", "50 %", "don't",
)  # fmt: skip
SHOTS = (
    Question("1", "Where is it?", ("Rome",), "t", "exemplars"),
    Question("2", "How many?", ("12",), "t", "exemplars"),
)
CORPUS = [
    prompt_text(template, "What is the capital of France?", SHOTS) + completion_text(template, answer)
    for template in TEMPLATES.values()
    for answer in ANSWERS
]


def _built(model: Any, trainer: Any, pre_tokenizer: Any, corpus: list[str] = CORPUS) -> Any:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(model)
    if pre_tokenizer is not None:
        tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.train_from_iterator(corpus, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<e>", unk_token="<u>")


def _byte_level_bpe() -> Any:
    from tokenizers import models, pre_tokenizers, trainers

    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=500, initial_alphabet=alphabet, special_tokens=["<e>", "<u>"], show_progress=False
    )
    return _built(models.BPE(), trainer, pre_tokenizers.ByteLevel(add_prefix_space=False))


def _unigram() -> Any:
    from tokenizers import models, pre_tokenizers, trainers

    trainer = trainers.UnigramTrainer(
        vocab_size=300, special_tokens=["<e>", "<u>"], unk_token="<u>", show_progress=False
    )
    return _built(models.Unigram(), trainer, pre_tokenizers.Metaspace(prepend_scheme="first"))


def _metaspace_bpe() -> Any:
    from tokenizers import models, pre_tokenizers, trainers

    trainer = trainers.BpeTrainer(vocab_size=500, special_tokens=["<e>", "<u>"], show_progress=False)
    return _built(models.BPE(unk_token="<u>"), trainer, pre_tokenizers.Metaspace(prepend_scheme="always"))


def _word_piece() -> Any:
    from tokenizers import models, pre_tokenizers, trainers

    trainer = trainers.WordPieceTrainer(vocab_size=500, special_tokens=["<e>", "<u>"], show_progress=False)
    return _built(models.WordPiece(unk_token="<u>"), trainer, pre_tokenizers.BertPreTokenizer())


def _merging() -> Any:
    """No pre-tokenizer, and little else to learn than what is at the boundary."""
    from tokenizers import models, trainers

    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=["<e>", "<u>"], show_progress=False)
    return _built(models.BPE(unk_token="<u>"), trainer, None, [": Paris", ": Rome", ": 12", *CORPUS])


BUILT: dict[str, Callable[[], Any]] = {
    "byte-level BPE": _byte_level_bpe,
    "unigram": _unigram,
    "metaspace BPE": _metaspace_bpe,
    "WordPiece": _word_piece,
    "characters": make_tiny_tokenizer,
}


def _ids(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def _same(tokenizer: Any, template_name: str, answer: str, shots: tuple[Question, ...]) -> bool:
    template = TEMPLATES[template_name]
    prompt = prompt_text(template, "What is the capital of France?", shots)
    completion = completion_text(template, answer)
    return _ids(tokenizer, prompt + completion) == _ids(tokenizer, prompt) + _ids(tokenizer, completion)


def _merges(tokenizer: Any) -> list[str]:
    """Answers that have other tokens after a prompt than by themselves, or change those of the prompt."""
    return [
        answer
        for answer in ANSWERS
        for name in TEMPLATES
        for shots in ((), SHOTS)
        if not _same(tokenizer, name, answer, shots)
    ]


@pytest.mark.parametrize("kind", BUILT)
def test_prompt_and_answer_are_the_same_tokens_together_and_apart(kind: str) -> None:
    assert _merges(BUILT[kind]()) == []


@pytest.mark.parametrize("kind", BUILT)
def test_no_completion_is_lost_or_merged_in_training(kind: str) -> None:
    tokenizer = BUILT[kind]()
    questions = [Question(answer, "What is it?", (answer,), "t", "train") for answer in ANSWERS]
    rows = training_rows(questions, Protocol(), tokenizer, "completion")
    assert rows.split_at_boundary == 0
    for ids, labels in zip(rows.input_ids, rows.labels, strict=True):
        told = [label for label in labels if label != -100]
        assert told == ids[len(ids) - len(told) :]
        assert len(told) >= 2  # some answer, and the end
        assert told[-1] == tokenizer.eos_token_id


def test_a_tokenizer_that_merges_across_the_border_is_trained_apart_and_counted() -> None:
    tokenizer = _merging()
    assert _merges(tokenizer)
    questions = [Question(answer, "What is it?", (answer,), "t", "train") for answer in ANSWERS]
    rows = training_rows(questions, Protocol(), tokenizer, "completion")
    assert rows.split_at_boundary == len(ANSWERS)
    prompt = _ids(tokenizer, prompt_text(TEMPLATES["qa"], "What is it?"))
    assert all(ids[: len(prompt)] == prompt for ids in rows.input_ids)


def test_a_prompt_that_ends_with_the_space_would_cost_the_answer_its_usual_token() -> None:
    """Why the space belongs to the completion: with it in the prompt, " Paris" is no longer one token."""
    tokenizer = _byte_level_bpe()
    joint = tokenizer.convert_ids_to_tokens(_ids(tokenizer, "Answer: Paris"))
    assert joint[-1] == "ĠParis"
    apart = tokenizer.convert_ids_to_tokens(_ids(tokenizer, "Answer: ") + _ids(tokenizer, "Paris"))
    assert "ĠParis" not in apart


@pytest.mark.model
def test_the_embedded_models_tokenizer(embedded_model: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(embedded_model)
    assert _merges(tokenizer) == []
    completion = completion_text(TEMPLATES["qa"], "Paris")
    assert tokenizer.convert_ids_to_tokens(_ids(tokenizer, completion)) == ["ĠParis"]
    numbers = tokenizer.convert_ids_to_tokens(_ids(tokenizer, completion_text(TEMPLATES["qa"], "17")))
    assert numbers == ["Ġ", "1", "7"]
    separator = TEMPLATES["qa"].separator
    after = _ids(tokenizer, "Answer: Paris" + separator + "Question:")
    assert after[: len(_ids(tokenizer, "Answer: Paris"))] == _ids(
        tokenizer, "Answer: Paris"
    )  # so does the answer's end
