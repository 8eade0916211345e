"""vLLM driven directly: prefixes cached in short blocks, all prompts in one call, all samples in one request."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from kft_cli.studies.rivals.rival import Wanted
from kft_tasks.answering.engine_processes import end_children


class VllmRival:
    """See :class:`kft_cli.studies.rivals.rival.Rival`."""

    def __init__(self, wanted: Wanted) -> None:
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
        os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "2")
        os.environ["VLLM_CPU_OMP_THREADS_BIND"] = "nobind"
        os.environ["OMP_NUM_THREADS"] = str(wanted.threads)
        from vllm import LLM

        self._wanted = wanted
        self._engine = LLM(
            model=str(wanted.folder),
            dtype=wanted.dtype,
            max_model_len=1024,
            enable_prefix_caching=True,
            block_size=32,
            load_format="safetensors",
            seed=0,
            enforce_eager=True,  # compiling takes many times as long as these few questions
        )
        self.prefilled = self.decoded = 0

    def greedy(self, prompts: Sequence[str]) -> list[str]:
        """One call for all."""
        return [texts[0] for texts in self._generate(prompts, temperature=0.0)]

    def sample(self, prompts: Sequence[str], count: int) -> list[list[str]]:
        """One request with ``n`` samples for each prompt."""
        settings = {"temperature": self._wanted.temperature, "top_k": self._wanted.top_k, "n": count}
        return self._generate(prompts, **settings)

    def close(self) -> None:
        """End the engine's processes."""
        end_children()

    def _generate(self, prompts: Sequence[str], **settings: Any) -> list[list[str]]:
        from vllm import SamplingParams

        params = SamplingParams(max_tokens=self._wanted.max_tokens, stop=list(self._wanted.stop), **settings)
        results = self._engine.generate(list(prompts), params, use_tqdm=False)
        for one in results:
            self.prefilled += len(one.prompt_token_ids) - (one.num_cached_tokens or 0)
            self.decoded += sum(len(output.token_ids) for output in one.outputs)
        return [[output.text for output in one.outputs] for one in results]
