"""Answers through lm-eval's own generation: other engines, and models that kft's engine does not cover."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kft_tasks.answering import engine_processes
from kft_tasks.answering.completions_server import check_sampling
from kft_tasks.answering.model_kinds import is_served
from kft_tasks.answering.plain_instance import plain_instance
from kft_tasks.answering.reported_tokens import reported_tokens
from kft_tasks.answering.request_seeds import generate, sample_seed, takes_seeds
from kft_tasks.errors import KftError, UnavailableError, UsageError
from kft_tasks.protocol.generation import cut_answer, generation_kwargs, stop_strings
from kft_tasks.protocol.prompt_maker import PromptRequest
from kft_tasks.protocol.protocol import Protocol

_MAX_BATCH = 512  # requests per call: enough to keep an engine busy, not too many to lose


class LmEvalAnswerer:
    """Answers from any lm-eval model's own ``generate_until``.

    Attributes:
        resumes_mid_chunk: true except for transformers' own generation, whose samples depend on the batch.
        max_batch: requests per call, after which answers reach the journal; 0: no limit.
    """

    def __init__(self, lm: Any, protocol: Protocol) -> None:
        from lm_eval.models.huggingface import HFLM

        self.lm = lm
        self.protocol = protocol
        self.tokens = reported_tokens(lm)
        self._local = isinstance(lm, HFLM)
        self._seeds = takes_seeds(lm)
        self.resumes_mid_chunk = not self._local
        self.max_batch = 0 if self._local else 4 * max(4, lm._concurrent) if hasattr(lm, "_concurrent") else _MAX_BATCH

    def cpu_seconds(self) -> float:
        """CPU-seconds so far of this process and of those that the engine started; a server's are not known."""
        return engine_processes.cpu_seconds(self.lm)

    def open(self, requests: Sequence[PromptRequest]) -> LmEvalAnswers:
        """Keep the requests; nothing is computed yet.

        Raises:
            UsageError: a chat template is wanted that only the server knows.
        """
        if not all(type(request.prompt) is str for request in requests):  # messages: lm-eval has no tokenizer
            raise UsageError(
                "The server's chat template is not known here. Add tokenizer=FOLDER to the backend arguments."
            )
        return LmEvalAnswers(self, requests)

    def generate(self, requests: Sequence[PromptRequest], *, sampled: bool, repeats: int) -> list[tuple[str, ...]]:
        """``repeats`` answers to each request.

        Raises:
            UnavailableError: the engine failed.
        """
        settings = generation_kwargs(self.protocol, sampled=sampled)
        instances = []
        for request in requests:
            for number in range(repeats):
                seed = {"seed": sample_seed(request.key, number)} if sampled and self._seeds else {}
                instances.append(_instance(request, settings | seed))
        if self._local:
            import torch

            torch.manual_seed(requests[0].key % (1 << 63))  # the same calls give the same samples
        try:
            if self.protocol.samples and is_served(self.lm):  # better to know before all greedy answers are paid for
                check_sampling(self.lm, _instance(requests[0], generation_kwargs(self.protocol, sampled=True)))
            stops = [stop_strings(self.protocol)] * len(instances) if self.protocol.skip_blank_lines else None
            texts = [cut_answer(text, self.protocol) for text in generate(self.lm, instances, stops)]
        except KftError:
            raise
        except Exception as error:  # every engine and HTTP client raises its own kinds
            reason = " ".join(str(error).split())[:300]
            raise UnavailableError(
                f"{type(self.lm).__name__} gave no answers ({type(error).__name__}: {reason}). Fix that and run the "
                "same command again; the answers so far are kept."
            ) from error
        return [tuple(texts[start : start + repeats]) for start in range(0, len(texts), repeats)]


def _instance(request: PromptRequest, settings: dict[str, Any]) -> Any:
    return plain_instance(request.prompt, settings)


class LmEvalAnswers:
    """Requests to a :class:`LmEvalAnswerer`."""

    def __init__(self, answerer: LmEvalAnswerer, requests: Sequence[PromptRequest]) -> None:
        self._answerer = answerer
        self._requests = requests

    def greedy(self, which: Sequence[int]) -> list[str]:
        """Greedy answers."""
        return [texts[0] for texts in self._generate(which, sampled=False, repeats=1)]

    def sample(self, which: Sequence[int]) -> list[tuple[str, ...]]:
        """Sampled answers."""
        return self._generate(which, sampled=True, repeats=self._answerer.protocol.samples)

    def _generate(self, which: Sequence[int], *, sampled: bool, repeats: int) -> list[tuple[str, ...]]:
        return self._answerer.generate([self._requests[index] for index in which], sampled=sampled, repeats=repeats)

    def keep(self, which: Sequence[int]) -> None:
        """Nothing is cached."""
