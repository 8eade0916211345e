"""Loading a model through lm-eval, and choosing its answerer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from kft_tasks.answering.answerer import Answerer
from kft_tasks.answering.engine_answerer import EngineAnswerer
from kft_tasks.answering.lm_eval_answerer import LmEvalAnswerer
from kft_tasks.errors import DataError, KftError, UnavailableError
from kft_tasks.launcher import launcher_hidden
from kft_tasks.models.backends import build, identify_choice
from kft_tasks.models.choice import ModelChoice
from kft_tasks.models.locate import model_folder
from kft_tasks.models.weights import quiet_transformers, resolve_dtype
from kft_tasks.protocol.identity import ModelIdentity
from kft_tasks.protocol.protocol import Protocol


@dataclass
class LoadedModel:
    """A loaded model: the lm-eval object, its identity, and its answerers by the protocol's digest."""

    lm: Any
    identity: ModelIdentity
    answerers: dict[str, Answerer] = field(default_factory=dict)

    def answerer(self, protocol: Protocol) -> Answerer:
        """The answerer for a protocol: the engine if it can be used, else lm-eval's own generation.

        For the engine, an adapter in float32 on a CPU is folded into the weights from then on (see
        :mod:`kft_tasks.engine.folding`): greedy answers are the same, logits differ in their last bits. Before that,
        in every other precision and without the engine, the adapter is computed beside the weights, as in training.
        """
        key = protocol.digest()
        if key not in self.answerers:
            self.answerers[key] = self._make_answerer(protocol)
        return self.answerers[key]

    def _make_answerer(self, protocol: Protocol) -> Answerer:
        from lm_eval.models.huggingface import HFLM

        if isinstance(self.lm, HFLM):
            from kft_tasks.answering.hf_engine import encode, engine_for
            from kft_tasks.engine.folding import fold_adapter

            if (engine := engine_for(self.lm)) is not None:
                if fold_adapter(self.lm.model):
                    engine.forget()
                return EngineAnswerer(
                    engine, protocol, lambda prompts: _fitting(self.lm, encode(self.lm, prompts), protocol)
                )
        return LmEvalAnswerer(self.lm, protocol)


def _fitting(lm: Any, prompts: list[list[int]], protocol: Protocol) -> list[list[int]]:
    """Return the prompts if all leave room for an answer; lm-eval would silently cut off their exemplars.

    Raises:
        DataError: a prompt is too long.
    """
    longest = max(map(len, prompts), default=0)
    if longest + protocol.max_tokens > lm.max_length:
        raise DataError(
            f"A prompt of {longest} tokens and an answer of {protocol.max_tokens} exceed the model's context of "
            f"{lm.max_length}. Lower shots, or leave long questions out."
        )
    return prompts


def load_model(choice: ModelChoice) -> LoadedModel:
    """Load a model with lm-eval's class for its engine.

    Raises:
        UsageError: contradictory arguments.
        UnavailableError: the model is not here and cannot be fetched, or does not load.
    """
    identity = identify_choice(choice)
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
    from lm_eval.models.huggingface import HFLM

    try:
        with quiet_transformers(), launcher_hidden():
            lm = HFLM(**{**arguments, **choice.backend_args})
    except KftError:
        raise
    except Exception as error:  # transformers, peft and safetensors raise many kinds for a folder that does not load
        reason = " ".join(str(error).split())[:300]
        raise UnavailableError(
            f"{choice.id}: the model does not load ({type(error).__name__}: {reason}). Check folder and arguments."
        ) from error
    lm.model.eval()
    return LoadedModel(lm, identity)
