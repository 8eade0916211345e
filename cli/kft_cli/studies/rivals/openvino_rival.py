"""OpenVINO GenAI: continuous batching with cached prefixes, all prompts in one call, all samples in one request."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kft_cli.studies.rivals.rival import Wanted
from kft_tasks.errors import UnavailableError

_TYPES = {"float32": "f32", "bfloat16": "bf16"}


class OpenVinoRival:
    """See :class:`kft_cli.studies.rivals.rival.Rival`; it does not say how many prompt tokens it computed.

    Raises:
        UnavailableError: there is no exported model.
    """

    def __init__(self, wanted: Wanted) -> None:
        import openvino_genai

        given = os.environ.get("KFT_OPENVINO_MODEL", "")
        if not (Path(given) / "openvino_model.xml").is_file():
            raise UnavailableError(
                "openvino: KFT_OPENVINO_MODEL names no exported model. Export it in its own precision with "
                "`optimum-cli export openvino --model FOLDER --task text-generation-with-past OUTPUT`."
            )
        self._wanted = wanted
        scheduler = openvino_genai.SchedulerConfig()
        scheduler.enable_prefix_caching = True
        scheduler.cache_size = 2  # GB
        scheduler.max_num_seqs = 256
        kind = _TYPES[wanted.dtype]
        self._pipe = openvino_genai.ContinuousBatchingPipeline(
            given,
            scheduler,
            "CPU",
            {"INFERENCE_PRECISION_HINT": kind, "KV_CACHE_PRECISION": kind, "INFERENCE_NUM_THREADS": wanted.threads},
        )
        self.prefilled = self.decoded = 0

    def greedy(self, prompts: Sequence[str]) -> list[str]:
        """One call for all."""
        return [texts[0] for texts in self._generate(prompts)]

    def sample(self, prompts: Sequence[str], count: int) -> list[list[str]]:
        """One request with ``count`` sequences for each prompt."""
        return self._generate(
            prompts,
            do_sample=True,
            temperature=self._wanted.temperature,
            top_k=self._wanted.top_k,
            top_p=1.0,
            num_return_sequences=count,
        )

    def close(self) -> None:
        """It has no processes of its own."""

    def _generate(self, prompts: Sequence[str], **settings: Any) -> list[list[str]]:
        import openvino_genai

        config = openvino_genai.GenerationConfig(
            max_new_tokens=self._wanted.max_tokens,
            stop_strings=set(self._wanted.stop),
            apply_chat_template=False,
            **settings,
        )
        results = self._pipe.generate(list(prompts), [config] * len(prompts))
        return [[str(text) for text in one.m_generation_ids] for one in results]
