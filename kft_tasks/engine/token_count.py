"""How much work generation was for the model."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class TokenCount:
    """Tokens computed, and tokens that separate calls would have computed.

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

    @property
    def computed(self) -> int:
        """All tokens that went through the model."""
        return self.prefilled + self.decoded
