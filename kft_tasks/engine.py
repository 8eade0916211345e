"""Generation over a trie: what many prompts and answers share is computed once.

All prompts of a pack are laid into one sequence as a trie: a token that several prompts share (the exemplars, the
first words of a question) has one slot in the key-value cache, and a 4-D attention mask lets every token see its own
ancestors only. Answers grow on the same trie, so that sixteen samples which begin with the same word are one row
until they part. The results are those of separate calls: positions and visible tokens are the same.

Numbers: in float32 the logits differ from separate calls by about 1e-5. Where two candidates are closer than
``Engine.margin``, the choice is made on logits computed for that context alone, so that an answer does not depend on
what else was in the pack. In bfloat16 rounding is coarser than that and an answer can depend on the pack; a pack of
the same prompts always gives the same answers on the same machine.
"""

from __future__ import annotations

import contextlib
import itertools
import weakref
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kft_tasks.errors import KftError
from kft_tasks.memory import find_memory
from kft_tasks.pack import Pack, Packs, common_prefix
from kft_tasks.segments import Segment

if TYPE_CHECKING:
    import torch

_PREFIXES_KEPT = 64  # prefix caches kept for further packs: all exemplar sets of the types at work


class UnsupportedModelError(KftError):
    """The model cannot be run on a trie; use lm-eval's own generation."""


@dataclass
class TokenCount:
    """What the model was made to compute.

    Attributes:
        prefilled: prompt tokens that went through the model.
        decoded: answer tokens that went through the model.
        prompt_tokens: prompt tokens of all generations, as separate calls would prefill them.
        answer_tokens: answer tokens of all generations.
    """

    prefilled: int = 0
    decoded: int = 0
    prompt_tokens: int = 0
    answer_tokens: int = 0


class Engine:
    """Runs one causal language model of transformers on tries of prompts.

    Args:
        model: in evaluation mode, on its device; a PeftModel is used as it is.
        tokenizer: of that model.

    Compares itself with plain calls first, and chooses the fastest attention that gives the same.

    Raises:
        UnsupportedModelError: the model gives other logits on a trie (absolute positions by mask, recurrent layers,
            an attention kernel without masks).
    """

    def __init__(self, model: Any, tokenizer: Any) -> None:
        import torch

        self.model = model
        self.tokenizer = tokenizer
        self.device = next(model.parameters()).device
        self.dtype = next(model.parameters()).dtype
        rounded = self.dtype != torch.float32 or torch.is_autocast_enabled(self.device.type)
        self.margin = 0.0 if rounded else 1e-3
        self.count = TokenCount()
        self.memory = find_memory(self.device)
        self.window = _window(model.config)
        self.eos = frozenset(_eos_ids(model, tokenizer))
        self.segmented = False
        self._prefixes: OrderedDict[tuple[int, ...], list[tuple[torch.Tensor, torch.Tensor]]] = OrderedDict()
        self._texts: dict[tuple[int, ...], str] = {}
        self._packs: weakref.WeakSet[Pack] = weakref.WeakSet()
        self._clock = 0
        self._check()

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of whole prompts, with the special tokens that the tokenizer adds by itself."""
        encoded: list[list[int]] = self.tokenizer(list(texts), padding=False)["input_ids"] if texts else []
        return encoded

    def open(
        self,
        prompts: Sequence[Sequence[int]],
        *,
        max_tokens: int,
        stop: Sequence[str],
        top_k: int = 1,
        groups: Sequence[Hashable] | None = None,
    ) -> Pack | Packs:
        """Make prompts ready to be answered together; they are prefilled when they are first asked.

        Args:
            groups: one a prompt; prompts of a group share a long beginning (the same exemplars). None: all are one.

        Raises:
            UnsupportedModelError: a prompt is longer than the model's sliding window.
        """
        longest = max(map(len, prompts)) + max_tokens
        if self.window is not None and longest > self.window:
            raise UnsupportedModelError(
                f"prompt and answer of {longest} tokens exceed the sliding window of {self.window}."
            )
        chosen = [0] * len(prompts) if groups is None else groups
        ids = [tuple(prompt) for prompt in prompts]
        parts = _parts(ids, chosen, max(self.memory.slots // 2, longest))
        settings: dict[str, Any] = {"max_tokens": max_tokens, "stop": tuple(filter(None, stop)), "top_k": top_k}
        packs = [Pack(self, [ids[i] for i in part], [chosen[i] for i in part], **settings) for part in parts]
        return packs[0] if len(packs) == 1 else Packs(packs, parts)

    def make_room(self, pack: Pack, slots: int) -> None:
        """Let the packs that were not used for longest give up their caches, until ``slots`` more fit for ``pack``."""
        self._packs.add(pack)
        self._clock += 1
        pack.used_at = self._clock
        others = sorted((other for other in self._packs if other is not pack), key=lambda other: other.used_at)
        held = sum(other.slots for other in others)
        for other in others:
            if held + pack.slots + slots <= self.memory.slots:
                break
            held -= other.slots
            other.release()
        self.memory.use(held + pack.slots + slots)

    def forward(
        self,
        cache: Any,
        tokens: Sequence[int],
        positions: Sequence[int],
        segments: Sequence[Segment],
        keep: Sequence[int],
    ) -> torch.Tensor:
        """One call on one packed sequence, extending ``cache``; float32 logits of shape (len(keep), vocabulary)."""
        import torch

        from kft_tasks.segments import bias_of, dense_mask, segmented

        with torch.inference_mode(), contextlib.ExitStack() as stack:
            if self.segmented:
                mask = stack.enter_context(segmented(segments, self.dtype, self.device))
            else:
                slots = cache.get_seq_length() + len(tokens)
                mask = bias_of(dense_mask(segments, slots), self.dtype)[None, None].to(self.device)
            output = self.model(
                input_ids=torch.tensor([list(tokens)], device=self.device),
                position_ids=torch.tensor([list(positions)], device=self.device),
                attention_mask=mask,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=torch.tensor(list(keep), device=self.device),
            )
        self.memory.see(cache)
        logits: torch.Tensor = output.logits[0].float()
        return logits

    def extend_by_prefixes(self, cache: Any, prefixes: Sequence[tuple[int, ...]]) -> None:
        """Append prompts' beginnings to ``cache``, in order; what was not kept from before is computed together."""
        import torch

        together: list[tuple[int, ...]] = []
        for prefix in dict.fromkeys(prefixes):
            if prefix and prefix not in self._prefixes:
                if together and sum(map(len, together)) + len(prefix) > self.memory.rows:
                    self._keep_prefixes(together)
                    together = []
                together.append(prefix)
        self._keep_prefixes(together)
        with torch.inference_mode():
            for prefix in filter(None, prefixes):
                self._prefixes.move_to_end(prefix)
                for index, (keys, values) in enumerate(self._prefixes[prefix]):
                    cache.update(keys, values, index)
        while len(self._prefixes) > _PREFIXES_KEPT:
            self._prefixes.popitem(last=False)

    def forget(self) -> None:
        """Let go of everything computed: the model's weights have changed."""
        self._prefixes.clear()

    def _keep_prefixes(self, prefixes: Sequence[tuple[int, ...]]) -> None:
        """Compute beginnings in one call, or in more where that does not fit."""
        import torch

        if not prefixes:
            return
        try:
            self._compute(prefixes)
        except torch.OutOfMemoryError:
            if not self.memory.halve_rows():
                raise
            half = len(prefixes) // 2
            self._keep_prefixes(prefixes[:half])
            self._keep_prefixes(prefixes[half:])

    def _compute(self, prefixes: Sequence[tuple[int, ...]]) -> None:
        from transformers import DynamicCache

        own = DynamicCache()
        if len(prefixes) == 1:
            (prefix,) = prefixes
            for start in range(0, len(prefix), self.memory.rows):
                part = prefix[start : start + self.memory.rows]
                end = start + len(part)
                segment = Segment(range(len(part)), np.arange(end), np.tri(len(part), end, start, dtype=bool))
                self.forward(own, part, range(start, end), [segment], [len(part) - 1])
        else:
            ends = np.cumsum([0, *map(len, prefixes)])
            places = [np.arange(*between) for between in itertools.pairwise(ends)]
            segments = [Segment(range(at[0], at[-1] + 1), at, np.tri(len(at), dtype=bool)) for at in places]
            positions = [position for prefix in prefixes for position in range(len(prefix))]
            self.forward(own, list(itertools.chain(*prefixes)), positions, segments, [len(positions) - 1])
        first = 0
        for prefix in prefixes:
            last = first + len(prefix)
            self._prefixes[prefix] = [
                (layer.keys[:, :, first:last].clone(), layer.values[:, :, first:last].clone()) for layer in own.layers
            ]
            self.count.prefilled += len(prefix)
            first = last

    def alone(self, tokens: Sequence[int]) -> torch.Tensor:
        """Logits (vocabulary,) after ``tokens``, computed in a plain call of their own."""
        import torch

        with torch.inference_mode():
            ids = torch.tensor([list(tokens)], device=self.device)
            keep = torch.tensor([len(tokens) - 1], device=self.device)
            output = self.model(input_ids=ids, use_cache=False, logits_to_keep=keep)
        logits: torch.Tensor = output.logits[0, -1].float()
        return logits

    def text(self, tokens: tuple[int, ...]) -> str:
        """The text of an answer's tokens, special tokens left out."""
        if tokens not in self._texts:
            if len(self._texts) > 200_000:
                self._texts.clear()
            self._texts[tokens] = self.tokenizer.decode(tokens, skip_special_tokens=True)
        return self._texts[tokens]

    def _check(self) -> None:
        """Compare the trie with plain calls, by segments if that works, else with one mask.

        Raises:
            UnsupportedModelError: neither gives the same logits.
        """
        from kft_tasks.segments import use_segments

        reasons = []
        for self.segmented in (True, False):
            if self.segmented and not use_segments(self.model):
                continue
            before, self.count = self.count, TokenCount()
            try:
                reason = self._difference()
            except Exception as error:  # whatever a model raises here means that it cannot be run this way
                reason = f"{type(error).__name__}: {error}"
            finally:
                self.count = before
                self._prefixes.clear()
            if not reason:
                return
            reasons.append(reason)
        raise UnsupportedModelError(f"{type(self.model).__name__} cannot be run on a trie of prompts ({reasons[-1]}).")

    def _difference(self) -> str:
        """What is wrong with the logits of a small trie, or ""."""
        import torch

        size = int(self.model.get_input_embeddings().weight.shape[0])
        stems = [[(7 * i + 3 + shift) % size for i in range(1, 9)] for shift in (0, 5)]
        prompts = [[*stems[j % 2], *((11 * i + j) % size for i in range(1, 3 + j))] for j in range(4)]
        top = min(16, size)
        pack = Pack(self, [tuple(prompt) for prompt in prompts], [0, 1, 0, 1], max_tokens=1, stop=(), top_k=top)
        plain = [self.alone(prompt).cpu() for prompt in prompts]
        worst = max(
            float((torch.from_numpy(values) - row[torch.from_numpy(ids)]).abs().max())
            for (ids, values), row in zip(pack.first(), plain, strict=True)
        )
        allowed = max(float(row.std()) for row in plain) * (1e-3 if self.margin else 0.25)
        return "" if worst <= allowed else f"logits are off by {worst:.2g}, {allowed:.2g} allowed"


def _window(config: Any) -> int | None:
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    kinds = set(getattr(text, "layer_types", None) or ())
    if kinds - {"full_attention", "sliding_attention", "attention"}:
        raise UnsupportedModelError(f"layers of kind {', '.join(sorted(kinds))} have no cache that a trie could share.")
    window = getattr(text, "sliding_window", None)
    return int(window) if window and (not kinds or "sliding_attention" in kinds) else None


def _eos_ids(model: Any, tokenizer: Any) -> set[int]:
    found = {tokenizer.eos_token_id}
    configured = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    found |= set(configured) if isinstance(configured, (list, tuple)) else {configured}
    return {token for token in found if token is not None}


def _parts(prompts: Sequence[tuple[int, ...]], groups: Sequence[Hashable], most: int) -> list[list[int]]:
    """Indices of prompts that go into one pack, in order: all of them where they have at most ``most`` slots."""
    parts: list[list[int]] = [[]]
    slots = 0
    last: dict[Hashable, tuple[int, ...]] = {}
    for index, (prompt, group) in enumerate(zip(prompts, groups, strict=True)):
        before = last.get(group, ())
        new = len(prompt) - (len(common_prefix([before, prompt])) if before else 0)
        if parts[-1] and slots + new > most:
            parts.append([])
            slots, new, last = 0, len(prompt), {}
        parts[-1].append(index)
        slots += new
        last[group] = prompt
    return parts
