"""The token ids of whole prompts: one way for the engine, validation and training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def prompt_ids(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of prompts, with the special tokens that the tokenizer adds by itself.

    An end-of-sequence token added by the tokenizer is removed: the prompt would end before the answer.
    """
    if not texts:
        return []
    eos = tokenizer.eos_token_id
    rows: list[list[int]] = [list(ids) for ids in tokenizer(list(texts), padding=False)["input_ids"]]
    for text, ids in zip(texts, rows, strict=True):
        if text and ids and ids[-1] == eos and not text.endswith(tokenizer.eos_token):
            ids.pop()
    return rows
