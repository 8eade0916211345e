"""How kinds of completions servers are told a protocol: OpenAI's interface has no top-k, and defaults differ.

A field that a request leaves out has the server's default, which a model's ``generation_config.json`` or the server's
command line can set: llama.cpp cuts samples by ``min_p`` 0.05 and ``top_p`` 0.95 unless told otherwise. So requests
name every setting that could change an answer, in the form that the server accepts.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from kft_tasks.errors import UnavailableError

Settings = dict[str, Any]
"""Generation settings of a request, as lm-eval's tasks write them."""

Dialect = Callable[[Settings], Settings]
"""Translates generation settings into the fields that a kind of server accepts."""

WHOLE_VOCABULARY = 1_000_000  # a top_k this large or larger is no limit
_EXTENSIONS = ("top_k", "repetition_penalty", "min_p")  # fields that OpenAI's interface does not have


def extended(settings: Settings) -> Settings:
    """Servers that take top_k, min_p and repetition_penalty as fields of the request, whoever made them."""
    if settings.get("top_k", 0) >= WHOLE_VOCABULARY:
        return _without(settings, "top_k")
    return settings


def extended_without_min_p(settings: Settings) -> Settings:
    """The same for servers that refuse min_p."""
    return _without(extended(settings), "min_p")


def vllm(settings: Settings) -> Settings:
    """No limit is -1: without the field, vLLM and SGLang use the top_k of the model's generation config."""
    return {**settings, "top_k": -1} if settings.get("top_k", 0) >= WHOLE_VOCABULARY else settings


def llama_cpp(settings: Settings) -> Settings:
    """llama.cpp's server: the request names the samplers, so that no other one of its command line applies."""
    limit = settings.get("top_k", 0)
    own = {"samplers": ["top_k", "temperature"], "dynatemp_range": 0.0, "mirostat": 0}
    own["top_k"] = 0 if limit >= WHOLE_VOCABULARY else limit  # 0: the whole vocabulary
    return {**_without(settings, *_EXTENSIONS), **own}


def transformers_serve(settings: Settings) -> Settings:
    """``transformers serve``: generation_config is a field; without it, a temperature does not make it sample."""
    names = ("do_sample", "top_p", *_EXTENSIONS)
    own = {key: settings[key] for key in names if key in settings}
    return {**_without(settings, *names[1:]), "generation_config": json.dumps(own)}


def plain(settings: Settings) -> Settings:
    """OpenAI's own fields only.

    Raises:
        UnavailableError: the samples are limited to a top k.
    """
    if settings.get("top_k", WHOLE_VOCABULARY) < WHOLE_VOCABULARY:
        raise UnavailableError(
            f"The server accepts no top_k. Set top_k to {WHOLE_VOCABULARY} for the whole vocabulary."
        )
    return _without(settings, *_EXTENSIONS)


def _without(settings: Settings, *keys: str) -> Settings:
    return {key: value for key, value in settings.items() if key not in keys}


PRESETS: Mapping[str, Dialect] = {"vllm": vllm, "sglang": vllm, "llamacpp": llama_cpp}
"""Dialects by the ``owned_by`` that servers give in their list of models."""


def candidates(lm: Any, *, whole_vocabulary: bool) -> tuple[Dialect, ...]:
    """Dialects to try on a model's server, in order: the preset of a server that says what it is, else all that fit.

    Args:
        lm: lm-eval's model.
        whole_vocabulary: samples are not limited to a top k, so that OpenAI's own fields would do.
    """
    if preset := PRESETS.get(_owner(lm)):
        return (preset,)
    return (extended, extended_without_min_p, transformers_serve, *([plain] if whole_vocabulary else []))


def _owner(lm: Any) -> str:
    """Who owns the first model in the server's list of models; "" if it gives none."""
    import requests

    address = str(lm.base_url).removesuffix("/completions") + "/models"
    with contextlib.suppress(requests.RequestException, ValueError, LookupError, TypeError):
        reply = requests.get(address, headers=lm.header, verify=lm.verify_certificate, timeout=10)
        if reply.ok:
            return str(reply.json()["data"][0]["owned_by"])
    return ""
