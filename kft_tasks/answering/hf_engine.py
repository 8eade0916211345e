"""kft's engine on the model inside lm-eval's transformers class."""

from __future__ import annotations

import logging
import os
import weakref
from collections.abc import Sequence
from typing import Any

from lm_eval.models.utils import has_bos_prefix

from kft_tasks.engine.engine import Engine
from kft_tasks.errors import UnsupportedModelError

logger = logging.getLogger(__name__)
_engines: weakref.WeakKeyDictionary[Any, Engine | None] = weakref.WeakKeyDictionary()


def engine_for(lm: Any) -> Engine | None:
    """The engine of an lm-eval transformers model, made once; None (logged once) if it cannot be used."""
    if lm not in _engines:
        _engines[lm] = _make_engine(lm)
    return _engines[lm]


def _make_engine(lm: Any) -> Engine | None:
    reason = _unsuitable(lm)
    if not reason:
        try:
            return Engine(lm.model, lm.tokenizer)
        except UnsupportedModelError as error:
            reason = str(error)
    logger.warning("Using lm-eval's own generation, which is slower: %s", reason)
    return None


def _unsuitable(lm: Any) -> str:
    if os.environ.get("KFT_FAST", "1") == "0":
        return "KFT_FAST=0."
    if getattr(lm, "backend", "causal") != "causal":
        return "the model is not decoder-only."
    if getattr(lm, "think_end_token", None):
        return "think_end_token is set."
    return ""


def encode(lm: Any, prompts: Sequence[str]) -> list[list[int]]:
    """Token ids exactly as ``HFLM.tok_batch_encode`` makes them, without padding."""
    special: dict[str, bool] = {}
    if has_bos_prefix(prompts[0], getattr(lm.tokenizer, "bos_token", None)):
        special = {"add_special_tokens": False}
    elif lm.add_bos_token is not None:
        special = {"add_special_tokens": lm.add_bos_token}
    ids: list[list[int]] = lm.tokenizer(list(prompts), padding=False, **special)["input_ids"]
    return ids
