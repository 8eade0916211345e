"""Generation over a trie: what many prompts and answers share is computed once.

All prompts of a trie are laid out in one sequence: a token that several prompts share (the exemplars, the first words
of a question) has one slot in the key-value cache, and an attention mask lets every token see only its own ancestors.
Answers grow on the same trie, so that sixteen samples that begin with the same word are one row until they diverge.
The results are those of separate calls: positions and visible tokens are the same.

Precision: in float32 the logits differ from separate calls by about 1e-5. Where two candidates are closer than
``PackedModel.margin``, the choice is made on logits computed for that context alone, so that an answer does not depend
on what else was in the trie. In bfloat16 rounding is coarser than that, and an answer can depend on the trie; a trie of
the same prompts always gives the same answers on the same machine.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import Any

from kft_tasks.engine.kv_budget import find_kv_budget
from kft_tasks.engine.model import PackedModel
from kft_tasks.engine.prefix_cache import PrefixCache
from kft_tasks.engine.token_count import TokenCount
from kft_tasks.engine.trie import PartitionedTrie, PromptTrie, common_prefix
from kft_tasks.errors import UnsupportedModelError


class Engine:
    """Runs a causal language model of transformers on tries of prompts.

    On construction it compares itself with plain calls and picks the fastest attention that gives the same logits.

    Args:
        model: in evaluation mode, on its device; a PeftModel is used as it is.
        tokenizer: of that model.

    Attributes:
        count: tokens computed so far.
        budget: memory for keys and values.

    Raises:
        UnsupportedModelError: the model gives different logits on a trie (absolute positions by mask, recurrent
            layers, an attention kernel without masks).
    """

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model = PackedModel(model, tokenizer)
        self.count = TokenCount()
        self.budget = find_kv_budget(self.model.device)
        self.prefixes = PrefixCache(self.model, self.budget, self.count)
        self._check()

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of whole prompts, with the special tokens that the tokenizer adds by default."""
        return self.model.encode(texts)

    def open(
        self,
        prompts: Sequence[Sequence[int]],
        *,
        max_tokens: int,
        stop: Sequence[str],
        skip_blank_lines: bool = False,
        top_k: int = 1,
        groups: Sequence[Hashable] | None = None,
    ) -> PromptTrie | PartitionedTrie:
        """Prepare prompts to be answered together; they are prefilled at the first request.

        Args:
            skip_blank_lines: a stop string ends an answer only from its first character on that is not white space;
                ``max_tokens`` counts the white space too.
            groups: one per prompt; prompts of a group share a long beginning (the same exemplars). None: one group.

        Raises:
            UnsupportedModelError: a prompt is longer than the model's sliding window.
        """
        longest = max(map(len, prompts)) + max_tokens
        if self.model.window is not None and longest > self.model.window:
            raise UnsupportedModelError(
                f"Prompt and answer of {longest} tokens exceed the sliding window of {self.model.window}."
            )
        group_of = [0] * len(prompts) if groups is None else groups
        ids = [tuple(prompt) for prompt in prompts]
        parts = _partition(ids, group_of, max(self.budget.slots // 2, longest))
        tries = [
            PromptTrie(
                self.prefixes,
                [ids[index] for index in part],
                [group_of[index] for index in part],
                max_tokens=max_tokens,
                stop=stop,
                skip_blank_lines=skip_blank_lines,
                top_k=top_k,
            )
            for part in parts
        ]
        return tries[0] if len(tries) == 1 else PartitionedTrie(tries, parts)

    def forget(self) -> None:
        """Drop everything computed: the model's weights have changed."""
        self.prefixes.clear()

    def _check(self) -> None:
        """Compare the trie with plain calls: attention by segments if that works, else with one dense mask.

        Raises:
            UnsupportedModelError: neither gives the same logits.
        """
        reasons = []
        for _ in self._layouts():
            try:
                reason = self._difference()
            except Exception as error:  # whatever a model raises here means that it cannot be run this way
                reason = f"{type(error).__name__}: {error}"
            finally:
                self.prefixes.clear()
                self.count.prefilled = self.count.decoded = 0
            if not reason:
                return
            reasons.append(reason)
        name = type(self.model.model).__name__
        raise UnsupportedModelError(f"{name} cannot be run on a trie of prompts ({reasons[-1]}).")

    def _layouts(self) -> Iterator[str]:
        """Switch the model to one way of computing attention after another, the fastest first."""
        if self.model.use_segments():
            yield "segments"
        self.model.segmented = False
        yield "dense mask"

    def _difference(self) -> str:
        """What is wrong with the logits of a small trie, or "" if nothing is."""
        import torch

        size = self.model.vocabulary_size
        stems = [[(7 * i + 3 + shift) % size for i in range(1, 9)] for shift in (0, 5)]
        prompts = [(*stems[j % 2], *((11 * i + j) % size for i in range(1, 3 + j))) for j in range(4)]
        trie = PromptTrie(
            self.prefixes, prompts, [0, 1, 0, 1], max_tokens=1, stop=(), skip_blank_lines=False, top_k=min(16, size)
        )
        plain = [self.model.alone(prompt).cpu() for prompt in prompts]
        worst = max(
            float((torch.from_numpy(values) - row[torch.from_numpy(ids)]).abs().max())
            for (ids, values), row in zip(trie.first(), plain, strict=True)
        )
        allowed = max(float(row.std()) for row in plain) * (1e-3 if self.model.margin else 0.25)
        return "" if worst <= allowed else f"logits are off by {worst:.2g}, {allowed:.2g} allowed"


def _partition(prompts: Sequence[tuple[int, ...]], groups: Sequence[Hashable], limit: int) -> list[list[int]]:
    """Indices of the prompts of each trie, in order: one trie if all prompts together need at most ``limit`` slots."""
    parts: list[list[int]] = [[]]
    slots = 0
    last: dict[Hashable, tuple[int, ...]] = {}
    for index, (prompt, group) in enumerate(zip(prompts, groups, strict=True)):
        before = last.get(group, ())
        new = len(prompt) - (len(common_prefix([before, prompt])) if before else 0)
        if parts[-1] and slots + new > limit:
            parts.append([])
            slots, new, last = 0, len(prompt), {}
        parts[-1].append(index)
        slots += new
        last[group] = prompt
    return parts
