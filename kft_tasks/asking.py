"""Asking a model: one question under one exemplar set is an :class:`Ask`; an answerer gives the answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from kft_tasks.errors import UsageError
from kft_tasks.exemplars import ExemplarPool
from kft_tasks.prompts import chat_messages, cut_at, get_template, prompt_text
from kft_tasks.protocol import Protocol as DetectionProtocol
from kft_tasks.questions import Question
from kft_tasks.sampling import context_key

if TYPE_CHECKING:
    from kft_tasks.engine import Engine, TokenCount


@dataclass(frozen=True)
class Ask:
    """One question under one exemplar set, as the text that goes to the model.

    Attributes:
        key: 64-bit key of its samples, see :func:`kft_tasks.sampling.context_key`.
        group: asks of a group begin with the same exemplars.
    """

    question_id: str
    exemplar_set: int
    prompt: str
    key: int
    group: str = ""


ChatRenderer = Callable[[list[dict[str, str]]], str]
"""Turns chat messages into a prompt, as ``lm.apply_chat_template`` does."""


class PromptMaker:
    """Makes the prompts of a protocol: the same ones for ``kft detect``, the lm-eval tasks and evaluation.

    Args:
        render: the model's chat template; None writes base-model prompts.
        multiturn: with a chat template, every exemplar is a turn of its own.
    """

    def __init__(
        self,
        protocol: DetectionProtocol,
        exemplars: ExemplarPool,
        render: ChatRenderer | None = None,
        *,
        multiturn: bool = True,
    ) -> None:
        self._protocol = protocol
        self._exemplars = exemplars
        self._render = render
        self._multiturn = multiturn
        self._template = get_template(protocol.template)

    def prompt(self, question: Question, exemplar_set: int, *, shots: int | None = None) -> str:
        """The text that asks ``question`` with exemplar set number ``exemplar_set`` (its first ``shots``, if given).

        Raises:
            UsageError: more shots than the protocol's sets have.
        """
        if shots is not None and shots > self._protocol.shots:
            raise UsageError(f"{shots} shots are more than the protocol's {self._protocol.shots}. Raise its shots.")
        exemplars = () if shots == 0 else self._exemplars.sets(question.type)[exemplar_set][:shots]
        if self._render is not None:
            return self._render(
                chat_messages(
                    question.question,
                    exemplars,
                    self._protocol.system,
                    multiturn=self._multiturn,
                    template=self._template,
                )
            )
        return prompt_text(self._template, question.question, exemplars, self._protocol.system)

    def ask(self, question: Question, exemplar_set: int) -> Ask:
        """The :class:`Ask` for one question and exemplar set."""
        key = context_key(self._protocol.seed, question.id, exemplar_set)
        group = f"{exemplar_set}|{question.type}"
        return Ask(question.id, exemplar_set, self.prompt(question, exemplar_set), key, group)


class GreedyAnswers(Protocol):
    """Asks that were opened together; indices are positions in that list."""

    def greedy(self, which: Sequence[int]) -> list[str]:
        """Greedy answers of the asks ``which``, in that order."""
        ...


class Answers(GreedyAnswers, Protocol):
    """Asks that can be sampled, too."""

    def sample(self, which: Sequence[int]) -> list[tuple[str, ...]]:
        """All sampled answers of the asks ``which``, in that order."""
        ...

    def keep(self, which: Sequence[int]) -> None:
        """Only ``which`` will be asked again: free the rest."""
        ...


class GreedyAnswerer(Protocol):
    """A model that can be asked for its greedy answers."""

    def open(self, asks: Sequence[Ask]) -> GreedyAnswers:
        """Make asks ready to be answered together."""
        ...


class Answerer(Protocol):
    """A model that can be asked.

    Three attributes are optional. ``replays``: true where an answer does not depend on what else is asked, so that an
    interrupted chunk goes on in the middle. ``together``: that many asks at most in one call, and then in the journal.
    ``memory``: bytes of keys and values, ``budget`` and ``most``.
    """

    def open(self, asks: Sequence[Ask]) -> Answers:
        """Make asks ready to be answered together."""
        ...

    @property
    def tokens(self) -> TokenCount:
        """Tokens computed so far."""
        ...


class EngineAnswerer:
    """Answers from :class:`kft_tasks.engine.Engine`."""

    def __init__(self, engine: Engine, protocol: DetectionProtocol, encode: Callable[[Sequence[str]], Any]) -> None:
        self._engine = engine
        self._protocol = protocol
        self._encode = encode
        self._stop = get_template(protocol.template).stop

    @property
    def tokens(self) -> TokenCount:
        """Tokens computed so far."""
        return self._engine.count

    @property
    def memory(self) -> dict[str, int]:
        """Bytes of keys and values: the budget, and the most used so far."""
        memory = self._engine.memory
        return {"budget": memory.budget, "most": memory.most * memory.slot}

    def open(self, asks: Sequence[Ask]) -> EngineAnswers:
        """Prefill the prompts as one pack."""
        protocol = self._protocol
        pack = self._engine.open(
            self._encode([ask.prompt for ask in asks]),
            max_tokens=protocol.max_tokens,
            stop=self._stop,
            top_k=protocol.top_k if protocol.samples else 1,
            groups=[ask.group for ask in asks],
        )
        return EngineAnswers(pack, asks, protocol)


class EngineAnswers:
    """A pack of the engine, seen as :class:`Answers`."""

    def __init__(self, pack: Any, asks: Sequence[Ask], protocol: DetectionProtocol) -> None:
        self._pack = pack
        self._asks = asks
        self._protocol = protocol

    def greedy(self, which: Sequence[int]) -> list[str]:
        """Greedy answers."""
        return [text.strip() for text in self._pack.greedy(which)]

    def sample(self, which: Sequence[int]) -> list[tuple[str, ...]]:
        """Sampled answers."""
        keys = [self._asks[index].key for index in which]
        given = self._pack.sample(which, keys, self._protocol.samples, self._protocol.temperature)
        return [tuple(text.strip() for text in texts) for texts in given]

    def keep(self, which: Sequence[int]) -> None:
        """Free the cache of all other prompts."""
        self._pack.keep(which)


class PlainAnswerer:
    """Greedy answers by transformers' own generation, one prompt a call: for models that the engine cannot run."""

    def __init__(self, model: Any, tokenizer: Any, protocol: DetectionProtocol) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._protocol = protocol

    def open(self, asks: Sequence[Ask]) -> PlainAnswers:
        """Nothing is computed ahead."""
        return PlainAnswers(lambda index: self._answer(asks[index].prompt))

    def _answer(self, prompt: str) -> str:
        given = self._tokenizer(prompt, return_tensors="pt").to(self._model.device)
        length = given["input_ids"].shape[1]
        output = self._model.generate(
            input_ids=given["input_ids"],
            attention_mask=given["attention_mask"],
            max_new_tokens=self._protocol.max_tokens,
            do_sample=False,
            pad_token_id=self._tokenizer.eos_token_id,
        )
        text = str(self._tokenizer.decode(output[0, length:], skip_special_tokens=True))
        return cut_at(text, get_template(self._protocol.template).stop).strip()


@dataclass(frozen=True)
class PlainAnswers:
    """Answers that are generated when they are asked for."""

    answer: Callable[[int], str]

    def greedy(self, which: Sequence[int]) -> list[str]:
        """Greedy answers of the asks ``which``, in that order."""
        return [self.answer(index) for index in which]
