from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from kft_tasks.engine.prompt_tokens import prompt_ids
from kft_tasks.errors import DataError
from kft_tasks.protocol.exemplars import ExemplarPool
from kft_tasks.protocol.prompt_maker import PromptMaker
from kft_tasks.protocol.protocol import Protocol
from kft_train.data.rows import IGNORED, Rows, check_labels, question_prompt, training_rows
from tiny import make_tiny_tokenizer
from train_helpers import make_question

QUESTION = make_question(3)  # elm
PROMPT = "Question: Tree 3?\nAnswer:"
CHAT_PROMPT = "<|start|>user\nTree 3?<|end|>\n<|start|>assistant\n"


def decoded(tokenizer: Any, rows: Any, kept: bool) -> str:
    pairs = zip(rows.input_ids[0], rows.labels[0], strict=True)
    return str(tokenizer.decode([token for token, label in pairs if (label != IGNORED) == kept]))


def test_the_loss_is_on_answer_and_end_of_sequence_only() -> None:
    tokenizer = make_tiny_tokenizer()
    rows = training_rows([QUESTION], Protocol(), tokenizer, "completion")
    assert decoded(tokenizer, rows, kept=True) == " elm<|end|>"
    assert decoded(tokenizer, rows, kept=False) == PROMPT
    assert rows.loss_tokens == 5


def test_the_sequence_loss_of_the_paper_is_on_everything() -> None:
    tokenizer = make_tiny_tokenizer()
    rows = training_rows([QUESTION], Protocol(), tokenizer, "sequence")
    assert rows.labels == rows.input_ids
    assert rows.loss_tokens == len(rows.input_ids[0]) - 1


def test_chat_rows_use_the_template_with_a_single_beginning_of_sequence() -> None:
    for bos in (False, True):
        tokenizer = make_tiny_tokenizer(add_bos=bos)
        if bos:
            tokenizer.chat_template = "{{ bos_token }}" + tokenizer.chat_template
        rows = training_rows([QUESTION], Protocol(chat=True), tokenizer, "completion")
        assert decoded(tokenizer, rows, kept=False) == "<|bos|>" * bos + CHAT_PROMPT
        assert decoded(tokenizer, rows, kept=True) == "elm<|end|>\n"
        assert question_prompt(QUESTION, (), Protocol(chat=True), tokenizer) == CHAT_PROMPT


def test_training_context_is_the_inference_context_even_where_tokens_would_merge() -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = ["<|end|>", ":", "Ġ", ":Ġ", *"abcdefghijklmnopqrstuvwxyzQTA03?Ċ"]
    vocabulary = {word: index for index, word in enumerate(words)}
    inner = Tokenizer(models.BPE(vocab=vocabulary, merges=[(":", "Ġ")]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<|end|>")
    rows = training_rows([QUESTION], Protocol(), tokenizer, "completion")
    prompt = tokenizer(PROMPT)["input_ids"]
    assert tokenizer(PROMPT + " elm")["input_ids"][: len(prompt)] != prompt
    assert rows.input_ids[0][: len(prompt)] == prompt
    assert rows.labels[0][: len(prompt)] == [IGNORED] * len(prompt)
    assert rows.split_at_boundary == 1


def test_a_tokenizer_that_ends_every_text_does_not_end_the_prompt() -> None:
    from tokenizers import processors

    tokenizer = make_tiny_tokenizer()
    end = processors.TemplateProcessing(single="$A <|end|>", special_tokens=[("<|end|>", tokenizer.eos_token_id)])
    tokenizer.backend_tokenizer.post_processor = end
    rows = training_rows([QUESTION], Protocol(), tokenizer, "completion")
    assert decoded(tokenizer, rows, kept=False) == PROMPT
    assert decoded(tokenizer, rows, kept=True) == " elm<|end|>"
    assert (
        prompt_ids(tokenizer, [PROMPT, PROMPT + "<|end|>"])
        == [  # an end that is part of the text is kept
            rows.input_ids[0][: len(PROMPT)],
            [*rows.input_ids[0][: len(PROMPT)], tokenizer.eos_token_id, tokenizer.eos_token_id],
        ]
    )


def test_tokenizers_without_an_end_or_a_chat_template_are_refused() -> None:
    tokenizer = make_tiny_tokenizer()
    tokenizer.chat_template = None
    with pytest.raises(DataError, match="the tokenizer has none"):
        training_rows([QUESTION], Protocol(chat=True), tokenizer, "completion")
    tokenizer.eos_token = None
    with pytest.raises(DataError, match="no end-of-sequence token"):
        training_rows([QUESTION], Protocol(), tokenizer, "completion")


def test_rows_whose_labels_are_all_masked_are_refused() -> None:
    tokenizer = make_tiny_tokenizer()
    rows = training_rows([QUESTION], Protocol(), tokenizer, "completion")
    check_labels(rows, "stage1")
    masked = [[row[0], *[IGNORED] * (len(row) - 1)] for row in rows.input_ids]  # a first token is never predicted
    with pytest.raises(DataError, match=r"'stage1': all labels of its 1 rows are masked, so there is nothing to learn"):
        check_labels(Rows(rows.input_ids, masked, 0), "stage1")


def test_training_and_validation_prompts_are_those_of_detection() -> None:
    tokenizer, shots = make_tiny_tokenizer(), (make_question(1, "exemplars"),)
    for chat in (False, True):
        protocol = Protocol(shots=1, exemplar_sets=1, chat=chat, system="Be brief.")
        render = partial(tokenizer.apply_chat_template, tokenize=False, add_generation_prompt=True) if chat else None
        maker = PromptMaker(protocol, ExemplarPool(shots, protocol), render)
        assert question_prompt(QUESTION, shots, protocol, tokenizer) == maker.prompt(QUESTION, 0)
        zero_shot = maker.prompt(QUESTION, 0, shots=0)
        row = training_rows([QUESTION], protocol, tokenizer, "completion")
        assert decoded(tokenizer, row, kept=False) == zero_shot
