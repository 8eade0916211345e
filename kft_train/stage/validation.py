"""Validation by generation: the model in training answers the validation questions greedily.

torch and the engine are imported inside functions.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kft_tasks.answering.answerer import GreedyAnswerer, greedy_answers
from kft_tasks.errors import UnsupportedModelError
from kft_tasks.protocol.prompt_maker import PromptRequest
from kft_tasks.protocol.protocol import Protocol
from kft_tasks.scoring.scorers import get_scorer
from kft_train.data.rows import ValidationPrompt, question_prompt

if TYPE_CHECKING:
    from kft_tasks.engine.engine import Engine

logger = logging.getLogger(__name__)


class Validation:
    """The validation questions of a stage, and the model that answers them.

    Args:
        prompts: validation questions with their exemplars.
        protocol: scorer, template and answer length.
        model: the model in training.
        tokenizer: of that model.
    """

    def __init__(self, prompts: Sequence[ValidationPrompt], protocol: Protocol, model: Any, tokenizer: Any) -> None:
        self.prompts = tuple(prompts)
        self.protocol = protocol
        self.scorer = get_scorer(protocol.scorer)
        self._model = model
        self._tokenizer = tokenizer
        self._engine: Engine | None = None
        self._engine_refused = False

    def count_right(self, accelerator: Any) -> int:
        """Number of questions answered correctly, summed over all processes; each answers its share of them."""
        import torch

        mine = self.prompts[accelerator.process_index :: accelerator.num_processes]
        was_training = self._model.training
        self._model.eval()
        # PEFT bypasses the wrapper that accelerate puts around forward, so autocast has to be entered here.
        with accelerator.autocast(), torch.no_grad():
            answers = dict(greedy_answers(self.requests(mine), self.answerer()))
        self._model.train(was_training)
        right = sum(
            self.scorer(answers[index], prompt.question.answers, prompt.question.question)
            for index, prompt in enumerate(mine)
        )
        return int(accelerator.reduce(torch.tensor(right, device=accelerator.device)))

    def requests(self, prompts: Sequence[ValidationPrompt]) -> list[PromptRequest]:
        """The prompts as text; those with the same exemplars form a group."""
        return [
            PromptRequest(
                question_id=prompt.question.id,
                exemplar_set=0,
                prompt=question_prompt(prompt.question, prompt.shots, self.protocol, self._tokenizer),
                key=0,
                group=prompt.question.type if prompt.shots else "",
            )
            for prompt in prompts
        ]

    def answerer(self) -> GreedyAnswerer:
        """The engine, cleared of what it computed with earlier weights; transformers' generation if it refuses."""
        from kft_tasks.answering.engine_answerer import EngineAnswerer, PlainAnswerer
        from kft_tasks.engine.engine import Engine

        if self._engine is None and not self._engine_refused:
            try:
                self._engine = Engine(self._model, self._tokenizer)
            except UnsupportedModelError as error:
                logger.warning("Validation uses transformers' generation, which is slower: %s", error)
                self._engine_refused = True
        if self._engine is None:
            return PlainAnswerer(self._model, self._tokenizer, self.protocol)
        self._engine.forget()
        return EngineAnswerer(self._engine, self.protocol, self._engine.encode)
