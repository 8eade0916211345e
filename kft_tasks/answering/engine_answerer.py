"""Answers from kft's engine, or from transformers' own generation for models that the engine cannot run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kft_tasks.engine.prompt_tokens import prompt_ids
from kft_tasks.engine.token_count import TokenCount
from kft_tasks.protocol.generation import cut_answer, stop_strings
from kft_tasks.protocol.prompt_maker import PromptRequest
from kft_tasks.protocol.protocol import Protocol

if TYPE_CHECKING:
    from kft_tasks.engine.engine import Engine
    from kft_tasks.engine.trie import PartitionedTrie, PromptTrie


class EngineAnswerer:
    """Answers from :class:`kft_tasks.engine.engine.Engine`.

    Args:
        encode: tokenises prompts; by default as the engine does.
    """

    def __init__(
        self, engine: Engine, protocol: Protocol, encode: Callable[[Sequence[str]], list[list[int]]] | None = None
    ) -> None:
        self._engine = engine
        self._protocol = protocol
        self._encode = encode or engine.encode

    @property
    def tokens(self) -> TokenCount:
        """Tokens computed so far."""
        return self._engine.count

    @property
    def memory(self) -> dict[str, int]:
        """Bytes of keys and values: the budget, and the largest use so far."""
        budget = self._engine.budget
        return {"budget": budget.budget, "peak": budget.peak_bytes}

    def open(self, requests: Sequence[PromptRequest]) -> EngineAnswers:
        """Lay out the prompts as one trie."""
        protocol = self._protocol
        trie = self._engine.open(
            self._encode([request.prompt for request in requests]),
            max_tokens=protocol.max_tokens,
            stop=stop_strings(protocol),
            skip_blank_lines=protocol.skip_blank_lines,
            top_k=protocol.top_k if protocol.samples else 1,
            groups=[request.group for request in requests],
        )
        return EngineAnswers(trie, requests, protocol)


class EngineAnswers:
    """A trie of the engine, as :class:`kft_tasks.answering.answerer.Answers`."""

    def __init__(
        self, trie: PromptTrie | PartitionedTrie, requests: Sequence[PromptRequest], protocol: Protocol
    ) -> None:
        self._trie = trie
        self._requests = requests
        self._protocol = protocol

    def greedy(self, which: Sequence[int]) -> list[str]:
        """Greedy answers."""
        return [text.strip() for text in self._trie.greedy(which)]

    def sample(self, which: Sequence[int]) -> list[tuple[str, ...]]:
        """Sampled answers."""
        keys = [self._requests[index].key for index in which]
        given = self._trie.sample(which, keys, self._protocol.samples, self._protocol.temperature)
        return [tuple(text.strip() for text in texts) for texts in given]

    def keep(self, which: Sequence[int]) -> None:
        """Free the cache of all prompts but ``which``."""
        self._trie.keep(which)


class PlainAnswerer:
    """Greedy answers by transformers' own generation, one prompt per call: for models that the engine cannot run."""

    def __init__(self, model: Any, tokenizer: Any, protocol: Protocol) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._protocol = protocol

    def open(self, requests: Sequence[PromptRequest]) -> PlainAnswers:
        """Keep the requests; nothing is computed yet."""
        return PlainAnswers(lambda index: self._answer(requests[index].prompt))

    def _answer(self, prompt: str) -> str:
        import torch

        ids = torch.tensor(prompt_ids(self._tokenizer, [prompt]), device=self._model.device)
        length = ids.shape[1]
        output = self._model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=self._protocol.max_tokens,
            do_sample=False,
            pad_token_id=self._tokenizer.eos_token_id,
        )
        text = str(self._tokenizer.decode(output[0, length:], skip_special_tokens=True))
        return cut_answer(text, self._protocol)


@dataclass(frozen=True)
class PlainAnswers:
    """Answers that are generated on demand."""

    answer: Callable[[int], str]

    def greedy(self, which: Sequence[int]) -> list[str]:
        """Greedy answers to the requests ``which``, in that order."""
        return [self.answer(index) for index in which]
