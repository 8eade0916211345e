"""Loading a model through lm-eval, and the answerer that suits it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kft_tasks.asking import Answerer, EngineAnswerer
from kft_tasks.category_file import ModelIdentity
from kft_tasks.engines import build, check_choice, identity_of
from kft_tasks.errors import DataError, KftError, UnavailableError
from kft_tasks.harness import HarnessAnswerer
from kft_tasks.models import model_folder, quiet_transformers, resolve_dtype
from kft_tasks.processes import launcher_hidden
from kft_tasks.protocol import Protocol


@dataclass(frozen=True)
class ModelChoice:
    """Which model, as a user names it.

    Attributes:
        id: alias, local folder or hub id; the served name with a server.
        adapter: a PEFT folder, or None.
        dtype: "auto", "float32", "bfloat16" or "float16".
        device: as lm-eval takes it; None chooses CUDA where there is one.
        batch_size: for lm-eval's own generation, where the engine cannot be used.
        backend: one of :data:`kft_tasks.engines.BACKENDS`.
        backend_args: arguments of lm-eval's class for it.
    """

    id: str
    adapter: Path | None = None
    dtype: str = "auto"
    device: str | None = None
    revision: str | None = None
    batch_size: int = 16
    backend: str = "hf"
    backend_args: Mapping[str, Any] = field(default_factory=dict)

    def identity(self) -> ModelIdentity:
        """Who this is, without loading it.

        Raises:
            UsageError: values that do not go together.
            UnavailableError: the model is not here and cannot be fetched.
        """
        check_choice(self)
        return identity_of(self, resolve_dtype(self.dtype, self.place()) if self.backend == "hf" else self.dtype)

    def place(self) -> str:
        """The device; under a launcher each process has its own GPU."""
        if self.device == "cuda" and "LOCAL_RANK" in os.environ:
            return f"cuda:{os.environ['LOCAL_RANK']}"
        return self.device or default_device()


@dataclass
class LoadedModel:
    """A model ready to be asked: the lm-eval object, its identity, and what it costs."""

    lm: Any
    identity: ModelIdentity
    answerers: dict[str, Answerer] = field(default_factory=dict)

    def answerer(self, protocol: Protocol) -> Answerer:
        """The answerer under a protocol: the engine where it can be used, else lm-eval's own generation."""
        from lm_eval.models.huggingface import HFLM

        from kft_tasks.backend import encode, engine_for

        key = protocol.digest()
        if key not in self.answerers:
            engine = engine_for(self.lm) if isinstance(self.lm, HFLM) else None
            self.answerers[key] = (
                HarnessAnswerer(self.lm, protocol)
                if engine is None
                else EngineAnswerer(
                    engine, protocol, lambda prompts: _fitting(self.lm, encode(self.lm, prompts), protocol)
                )
            )
        return self.answerers[key]


def _fitting(lm: Any, prompts: list[list[int]], protocol: Protocol) -> list[list[int]]:
    """Pass prompts on that leave room for an answer; lm-eval would cut their exemplars off without a word.

    Raises:
        DataError: one does not.
    """
    longest = max(map(len, prompts), default=0)
    if longest + protocol.max_tokens > lm.max_length:
        raise DataError(
            f"a prompt of {longest} tokens and an answer of {protocol.max_tokens} exceed the model's context of "
            f"{lm.max_length}. Lower shots, or leave long questions out."
        )
    return prompts


def default_device() -> str:
    """Return "cuda", "mps" or "cpu", whichever lm-eval would use; under a launcher each process has its own GPU."""
    import torch

    if torch.cuda.is_available():
        return f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def load_model(choice: ModelChoice) -> LoadedModel:
    """Load a model with lm-eval's class for its engine.

    Raises:
        UsageError: values that do not go together.
        UnavailableError: it is not here and cannot be fetched, or does not load.
    """
    identity = choice.identity()
    if choice.backend != "hf":
        return LoadedModel(build(choice), identity)
    folder, device = model_folder(choice.id, choice.revision), choice.place()
    arguments: dict[str, Any] = {
        "pretrained": str(folder),
        "peft": str(choice.adapter.absolute()) if choice.adapter else None,
        "dtype": resolve_dtype(choice.dtype, device),
        "device": device,
        "batch_size": choice.batch_size,
        "trust_remote_code": False,
        "use_safetensors": True,
    }
    from kft_tasks.backend import KftHF

    try:
        with quiet_transformers(), launcher_hidden():
            lm = KftHF(**{**arguments, **choice.backend_args})
    except KftError:
        raise
    except Exception as error:  # transformers, peft and safetensors raise many kinds for a folder that does not load
        reason = " ".join(str(error).split())[:300]
        raise UnavailableError(f"{choice.id}: the model does not load ({type(error).__name__}: {reason}).") from error
    lm.model.eval()
    return LoadedModel(lm, identity)
