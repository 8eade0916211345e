"""Loading a model through lm-eval, and the answerer that suits it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kft_tasks.asking import Answerer, Ask, EngineAnswerer
from kft_tasks.category_file import ModelIdentity
from kft_tasks.engine import TokenCount
from kft_tasks.errors import KftError, UnavailableError
from kft_tasks.models import identify, model_folder, quiet_transformers, resolve_dtype
from kft_tasks.prompts import get_template
from kft_tasks.protocol import Protocol

_log = logging.getLogger("kft")


@dataclass(frozen=True)
class ModelChoice:
    """Which model, as a user names it.

    Attributes:
        id: alias, local folder or hub id.
        adapter: a PEFT folder, or None.
        dtype: "auto", "float32", "bfloat16" or "float16".
        device: as lm-eval takes it; None chooses CUDA where there is one.
        batch_size: for lm-eval's own generation, where the engine cannot be used.
    """

    id: str
    adapter: Path | None = None
    dtype: str = "auto"
    device: str | None = None
    revision: str | None = None
    batch_size: int = 16


@dataclass
class LoadedModel:
    """A model ready to be asked: the lm-eval object, its identity, and what it costs."""

    lm: Any
    identity: ModelIdentity
    answerers: dict[str, Answerer] = field(default_factory=dict)

    def answerer(self, protocol: Protocol) -> Answerer:
        """The answerer under a protocol: the engine where it can be used, else lm-eval's own generation."""
        from kft_tasks.backend import encode, engine_for

        key = protocol.digest()
        if key not in self.answerers:
            engine = engine_for(self.lm)
            self.answerers[key] = (
                HarnessAnswerer(self.lm, protocol)
                if engine is None
                else EngineAnswerer(engine, protocol, lambda prompts: encode(self.lm, prompts))
            )
        return self.answerers[key]


def default_device() -> str:
    """Return "cuda", "mps" or "cpu", whichever lm-eval would use; under a launcher each process has its own GPU."""
    import os

    import torch

    if torch.cuda.is_available():
        return f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def load_model(choice: ModelChoice) -> LoadedModel:
    """Load a model with lm-eval's HFLM.

    Raises:
        UnavailableError: it is not here and cannot be fetched, or does not load.
    """
    folder = model_folder(choice.id, choice.revision)
    device = choice.device or default_device()
    dtype = resolve_dtype(choice.dtype, device)
    identity = identify(choice.id, folder, dtype, choice.adapter)
    from kft_tasks.backend import KftHF

    try:
        with quiet_transformers():
            lm = KftHF(
                pretrained=str(folder),
                peft=str(choice.adapter.absolute()) if choice.adapter else None,
                dtype=dtype,
                device=device,
                batch_size=choice.batch_size,
                trust_remote_code=False,
                use_safetensors=True,
            )
    except KftError:
        raise
    except Exception as error:  # transformers, peft and safetensors raise many kinds for a folder that does not load
        reason = " ".join(str(error).split())[:300]
        raise UnavailableError(f"{choice.id}: the model does not load ({type(error).__name__}: {reason}).") from error
    lm.model.eval()
    return LoadedModel(lm, identity)


class HarnessAnswerer:
    """Answers from any lm-eval model's own ``generate_until``."""

    def __init__(self, lm: Any, protocol: Protocol) -> None:
        self.lm = lm
        self.protocol = protocol
        self.tokens = TokenCount()

    def open(self, asks: Sequence[Ask]) -> HarnessAnswers:
        """Nothing is prefilled; the asks are kept."""
        return HarnessAnswers(self, asks)

    def generate(self, asks: Sequence[Ask], *, sampled: bool, repeats: int) -> list[list[str]]:
        """One list of answers an ask."""
        import torch
        from lm_eval.api.instance import Instance
        from lm_eval.models.huggingface import HFLM

        protocol = self.protocol
        stop = list(get_template(protocol.template).stop)
        chosen: dict[str, Any] = {"until": stop, "max_gen_toks": protocol.max_tokens, "do_sample": sampled}
        if sampled:
            chosen |= {"temperature": protocol.temperature, "top_k": protocol.top_k}
        if isinstance(self.lm, HFLM):
            chosen |= {"repetition_penalty": 1.0, "top_p": 1.0}
            torch.manual_seed(asks[0].key % (1 << 63))  # the same calls give the same samples
        requests = [
            Instance("generate_until", {}, (ask.prompt, chosen), index, (None, index, 1))
            for index, ask in enumerate(asks)
            for _ in range(repeats)
        ]
        texts = [text.strip() for text in self.lm.generate_until(requests, disable_tqdm=True)]
        return [texts[start : start + repeats] for start in range(0, len(texts), repeats)]


class HarnessAnswers:
    """Asks to a :class:`HarnessAnswerer`."""

    def __init__(self, answerer: HarnessAnswerer, asks: Sequence[Ask]) -> None:
        self._answerer = answerer
        self._asks = asks

    def greedy(self, which: Sequence[int]) -> list[str]:
        """Greedy answers."""
        given = self._answerer.generate([self._asks[index] for index in which], sampled=False, repeats=1)
        return [texts[0] for texts in given]

    def sample(self, which: Sequence[int]) -> list[tuple[str, ...]]:
        """Sampled answers."""
        repeats = self._answerer.protocol.samples
        given = self._answerer.generate([self._asks[index] for index in which], sampled=True, repeats=repeats)
        return [tuple(texts) for texts in given]

    def keep(self, which: Sequence[int]) -> None:
        """Nothing is cached."""
