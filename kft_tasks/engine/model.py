"""A causal language model of transformers: texts to token ids and back, packed calls, plain calls."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kft_tasks.engine.attention import Segment, bias_of, dense_mask, in_blocks, segmented, use_segments
from kft_tasks.engine.prompt_tokens import prompt_ids
from kft_tasks.errors import UnsupportedModelError

if TYPE_CHECKING:
    import torch

_MARGIN = 1e-3  # between two float32 logits: closer ones are settled by a plain call
_TEXTS_KEPT = 200_000


class PackedModel:
    """A model that answers many contexts in one call.

    Args:
        model: in evaluation mode, on its device; a PeftModel is used as it is.
        tokenizer: of that model.

    Attributes:
        margin: two logits closer than this are settled by :meth:`alone`; 0 if rounding is coarser than that.
        segmented: whether attention is computed segment by segment, or with one dense mask.
        window: tokens that a sliding window lets a token see, or None.
        eos: token ids that end an answer.

    Raises:
        UnsupportedModelError: the model has layers whose cache contexts cannot share.
    """

    def __init__(self, model: Any, tokenizer: Any) -> None:
        import torch

        self.model = model
        self.tokenizer = tokenizer
        self.device = next(model.parameters()).device
        self.dtype = next(model.parameters()).dtype
        rounded = self.dtype != torch.float32 or torch.is_autocast_enabled(self.device.type)
        self.margin = 0.0 if rounded else _MARGIN
        self.window = sliding_window(model.config)
        self.eos = frozenset(_eos_ids(model, tokenizer))
        self.segmented = False
        self._texts: dict[tuple[int, ...], str] = {}

    @property
    def vocabulary_size(self) -> int:
        """Rows of the input embedding."""
        return int(self.model.get_input_embeddings().weight.shape[0])

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of whole prompts, with the special tokens that the tokenizer adds by itself."""
        return prompt_ids(self.tokenizer, texts)

    def text(self, tokens: tuple[int, ...]) -> str:
        """The text of an answer's tokens, without special tokens."""
        if tokens not in self._texts:
            if len(self._texts) > _TEXTS_KEPT:
                self._texts.clear()
            self._texts[tokens] = self.tokenizer.decode(tokens, skip_special_tokens=True)
        return self._texts[tokens]

    def use_segments(self) -> bool:
        """Compute attention segment by segment from now on; return False if the model does not use PyTorch's SDPA."""
        self.segmented = use_segments(self.model)
        return self.segmented

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

        from kft_tasks.engine.transfer import to_device

        with torch.inference_mode(), contextlib.ExitStack() as stack:
            if self.segmented:
                blocks = [block for segment in segments for block in in_blocks(segment)]
                mask = stack.enter_context(segmented(blocks, self.dtype, self.device))
            else:
                slots = cache.get_seq_length() + len(tokens)
                (visible,) = to_device([dense_mask(segments, slots)], self.device)
                mask = bias_of(visible, self.dtype)[None, None]
            own = [np.array([values], dtype=np.int64) for values in (tokens, positions, keep)]
            ids, places, kept = to_device(own, self.device)
            output = self.model(
                input_ids=ids,
                position_ids=places,
                attention_mask=mask,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=kept[0],
            )
        logits: torch.Tensor = output.logits[0].float()
        return logits

    def alone(self, tokens: Sequence[int]) -> torch.Tensor:
        """Logits (vocabulary,) after ``tokens``, from a plain call with these tokens only."""
        import torch

        with torch.inference_mode():
            ids = torch.tensor([list(tokens)], device=self.device)
            keep = torch.tensor([len(tokens) - 1], device=self.device)
            output = self.model(input_ids=ids, use_cache=False, logits_to_keep=keep)
        logits: torch.Tensor = output.logits[0, -1].float()
        return logits


def sliding_window(config: Any) -> int | None:
    """Tokens that a sliding window lets a token see, or None.

    Raises:
        UnsupportedModelError: the model has layers whose cache contexts cannot share.
    """
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    kinds = set(getattr(text, "layer_types", None) or ())
    if kinds - {"full_attention", "sliding_attention", "attention"}:
        raise UnsupportedModelError(f"Layers of kind {', '.join(sorted(kinds))} have no cache that a trie could share.")
    window = getattr(text, "sliding_window", None)
    return int(window) if window and (not kinds or "sliding_attention" in kinds) else None


def _eos_ids(model: Any, tokenizer: Any) -> set[int]:
    found = {tokenizer.eos_token_id}
    configured = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    found |= set(configured) if isinstance(configured, (list, tuple)) else {configured}
    return {token for token in found if token is not None}
