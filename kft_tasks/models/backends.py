"""The engines besides kft's own, and how lm-eval's classes for them are built."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kft_tasks.answering.engine_processes import start_engine
from kft_tasks.errors import KftError, UnavailableError, UsageError
from kft_tasks.launcher import launcher_hidden
from kft_tasks.models.adapter_config import read_lora_config
from kft_tasks.models.choice import ModelChoice
from kft_tasks.models.locate import model_folder
from kft_tasks.models.vllm_engine import platform_arguments
from kft_tasks.models.weights import identify, resolve_dtype
from kft_tasks.protocol.identity import SERVED, ModelIdentity

_VLLM_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # of LoRA adapters
# Arguments that would run code of the model's author, or load pickled weights.
_UNSAFE = ("trust_remote_code", "use_safetensors", "weights_only", "load_format", "delta", "autogptq")
# Arguments that can change answers: the identity names them.
_RECORDED = ("quantization", "kv_cache_dtype", "tokenizer", "add_bos_token", "enable_thinking", "think_end_token")


@dataclass(frozen=True)
class Backend:
    """An engine that lm-eval has a class for.

    Attributes:
        packages: modules that must be installed.
        install: how to install them.
        own: arguments of lm-eval's class that fields of :class:`ModelChoice` set.
    """

    name: str
    packages: tuple[str, ...] = ()
    install: str = ""
    own: tuple[str, ...] = ("pretrained", "model", "dtype", "revision")


BACKENDS = {
    "hf": Backend("hf", own=("pretrained", "peft", "dtype", "device", "revision", "tp_plan")),
    "vllm": Backend(
        "vllm", ("vllm",), 'pip install "lm-eval[vllm]"', ("pretrained", "lora_local_path", "dtype", "revision")
    ),
    "sglang": Backend("sglang", ("sglang",), 'pip install "sglang[all]"'),
    "local-completions": Backend(
        "local-completions", ("requests", "aiohttp", "tenacity", "tqdm"), 'pip install "lm-eval[api]"'
    ),
}


def check_choice(choice: ModelChoice) -> None:
    """Refuse contradictory arguments before anything is loaded.

    Raises:
        UsageError: the remedy is in the message.
    """
    backend = BACKENDS[choice.backend]
    for key in choice.backend_args:
        if key == "tp_plan":
            raise UsageError(
                "Backend argument tp_plan: kft divides questions among processes. Use parallelize=true instead."
            )
        if key in _UNSAFE:
            raise UsageError(
                f"Backend argument {key}: kft loads weights from safetensors only and runs no code of a model. "
                "Leave it out."
            )
        if key in backend.own:
            raise UsageError(
                f"Backend argument {key}: kft sets it itself. Give the model, adapter, dtype, device or revision."
            )
    if choice.adapter and backend.name == "sglang":
        raise UsageError("Backend sglang: lm-eval's class takes no adapter. Merge the adapter, or use backend vllm.")
    if backend.name == "local-completions":
        _check_server(choice)


def _check_server(choice: ModelChoice) -> None:
    if choice.adapter:
        raise UsageError(
            "Backend local-completions: the server decides which adapter it applies. Leave the adapter out, and as "
            "model give the name under which the server offers it."
        )
    address = choice.backend_args.get("base_url")
    if not isinstance(address, str) or not urlsplit(address).path.endswith("/completions"):
        raise UsageError(
            f"Backend local-completions: base_url is {address!r}. "
            "Add base_url=http://HOST:PORT/v1/completions to the backend arguments."
        )


def identify_choice(choice: ModelChoice, *, verify: bool = False) -> ModelIdentity:
    """The identity that category files record, without loading the model; a served model's weights are unknown.

    Args:
        verify: read all weights, whatever digest is remembered of them.

    Raises:
        UsageError: contradictory arguments.
        UnavailableError: the model is not here and cannot be fetched.
    """
    check_choice(choice)
    recorded = "".join(f" {key}={choice.backend_args[key]}" for key in _RECORDED if key in choice.backend_args)
    if choice.backend == "local-completions":
        path = urlsplit(choice.backend_args["base_url"]).path  # hosts and ports come and go
        return ModelIdentity(choice.id, f"{SERVED}{choice.id} at {path}", None, f"{choice.backend}:unknown{recorded}")
    own = choice.backend == "hf"
    precision = resolve_dtype(choice.dtype, choice.place()) if own else f"{choice.backend}:{choice.dtype}"
    folder = model_folder(choice.id, choice.revision)
    return identify(choice.id, folder, precision + recorded, choice.adapter, verify=verify)


def build(choice: ModelChoice) -> Any:
    """Build lm-eval's model for an engine other than transformers.

    Raises:
        UnavailableError: a package is missing, or the engine does not start.
    """
    backend = BACKENDS[choice.backend]
    missing = [name for name in backend.packages if importlib.util.find_spec(name) is None]
    if missing:
        raise UnavailableError(f"Backend {backend.name} needs {', '.join(missing)}. Install it with: {backend.install}")
    from lm_eval.api.registry import get_model

    arguments = _arguments(choice)
    try:
        with launcher_hidden():
            lm = start_engine(lambda: get_model(backend.name)(**arguments))
    except KftError:
        raise
    except Exception as error:  # engines raise many kinds
        reason = " ".join(str(error).split())[:300]
        raise UnavailableError(
            f"{choice.id}: {backend.name} does not start ({type(error).__name__}: {reason})."
        ) from error
    if backend.name == "local-completions" and lm.tokenizer is None and not lm._eos_string:
        lm.eos_string = None  # the server stops at its own; lm-eval would warn that it does not know which
    return lm


def _arguments(choice: ModelChoice) -> dict[str, Any]:
    """Arguments of lm-eval's class; those given by the user are passed on unchanged."""
    given: Mapping[str, Any] = choice.backend_args
    if choice.backend == "local-completions":
        # text, so that the server adds the special tokens that its tokenizer adds, as HFLM does
        plain = {} if "tokenizer" in given else {"tokenizer_backend": "none", "tokenized_requests": False}
        own: dict[str, Any] = {"model": choice.id, **plain}
        if "tokenizer" in given:
            own |= {"tokenizer_backend": "huggingface", "tokenized_requests": True}
        return own | dict(given)
    own = {"pretrained": str(model_folder(choice.id, choice.revision)), "dtype": choice.dtype}
    if choice.backend == "sglang":
        return own | {"trust_remote_code": False, "load_format": "safetensors", "batch_size": "auto"} | dict(given)
    own |= {"trust_remote_code": False, "load_format": "safetensors"}
    own |= {"enable_prefix_caching": True, "batch_size": "auto", **platform_arguments()}
    if choice.adapter:
        own |= {"lora_local_path": str(choice.adapter.absolute()), "max_lora_rank": _lora_rank(choice.adapter)}
    return own | dict(given)


def _lora_rank(adapter: Path) -> int:
    """The smallest rank that vLLM can be set to for this adapter; its default is 16."""
    config = read_lora_config(adapter, ("r",))
    rank: int = max([config["r"], *(config.get("rank_pattern") or {}).values()])
    return next((allowed for allowed in _VLLM_RANKS if allowed >= rank), rank)
