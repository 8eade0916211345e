"""Answers through lm-eval's own generation: other engines, and models that kft's engine does not cover."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kft_tasks.answering.completions_server import check_sampling, is_served
from kft_tasks.answering.request_seeds import generate, sample_seed, takes_seeds
from kft_tasks.engine.token_count import TokenCount
from kft_tasks.errors import KftError, UnavailableError, UsageError
from kft_tasks.protocol.generation import generation_kwargs
from kft_tasks.protocol.prompt_maker import PromptRequest
from kft_tasks.protocol.protocol import Protocol

_MAX_BATCH = 512  # asks that an engine gets at once: enough to keep it busy, not too many to lose


class LmEvalAnswerer:
    """Answers from any lm-eval model's own ``generate_until``.

    Attributes:
        resumes_mid_chunk: true for every engine but transformers' own, whose samples depend on the batch.
        max_batch: requests in one call; answers reach the journal that often.
    """

    def __init__(self, lm: Any, protocol: Protocol) -> None:
        from lm_eval.models.huggingface import HFLM

        self.lm = lm
        self.protocol = protocol
        self.tokens = TokenCount()
        self._local = isinstance(lm, HFLM)
        self._seeds = takes_seeds(lm)
        self.resumes_mid_chunk = not self._local
        self.max_batch = 0 if self._local else 4 * max(4, lm._concurrent) if hasattr(lm, "_concurrent") else _MAX_BATCH

    def open(self, asks: Sequence[PromptRequest]) -> LmEvalAnswers:
        """Nothing is prefilled; the asks are kept."""
        if not all(type(ask.prompt) is str for ask in asks):  # without a tokenizer lm-eval sends messages as JSON
            raise UsageError("A server's chat template is not known here. Add --backend-args tokenizer=FOLDER.")
        return LmEvalAnswers(self, asks)

    def generate(self, asks: Sequence[PromptRequest], *, sampled: bool, repeats: int) -> list[list[str]]:
        """One list of answers an ask.

        Raises:
            UnavailableError: the engine failed.
        """
        from lm_eval.api.instance import Instance

        settings = generation_kwargs(self.protocol, sampled=sampled)
        requests = []
        for index, ask in enumerate(asks):
            for number in range(repeats):
                own = settings | ({"seed": sample_seed(ask.key, number)} if sampled and self._seeds else {})
                requests.append(Instance("generate_until", {}, (ask.prompt, own), index, (None, index, 1)))
        if self._local:
            import torch

            torch.manual_seed(asks[0].key % (1 << 63))  # the same calls give the same samples
        try:
            if self.protocol.samples and is_served(self.lm):  # better known before all greedy answers are paid for
                check_sampling(
                    self.lm,
                    Instance("generate_until", {}, (asks[0].prompt, generation_kwargs(self.protocol, sampled=True)), 0),
                )
            texts = [text.strip() for text in generate(self.lm, requests)]
        except KftError:
            raise
        except Exception as error:  # every engine and HTTP client raises its own kinds
            reason = " ".join(str(error).split())[:300]
            raise UnavailableError(
                f"{type(self.lm).__name__} gave no answers ({type(error).__name__}: {reason}). When that is mended, "
                "run the same command again; what was answered is kept."
            ) from error
        return [texts[start : start + repeats] for start in range(0, len(texts), repeats)]


class LmEvalAnswers:
    """Asks to a :class:`LmEvalAnswerer`."""

    def __init__(self, answerer: LmEvalAnswerer, asks: Sequence[PromptRequest]) -> None:
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
