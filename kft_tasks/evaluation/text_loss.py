"""How well a model still predicts ordinary text: negative log-likelihood of held-out passages, token by token."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from kft_tasks.files import read_jsonl, sha256_of_json, write_json
from kft_tasks.progress import ProgressCallback, no_progress
from kft_tasks.records import Count, Record, parse_record, read_record

PASSAGES = Path(__file__).parent / "held_out_text" / "passages.jsonl"


class Passage(Record):
    """A piece of prose; ``type`` is its kind, such as speech or novel."""

    id: str
    type: str
    source: str
    text: Annotated[str, Field(min_length=1)]


class PassageLoss(Record):
    """What a model made of a passage.

    Attributes:
        tokens: number of tokens predicted: all of the passage.
        nats: sum of their negative log-likelihoods.
    """

    id: str
    type: str
    tokens: Annotated[Count, Field(ge=1)]
    nats: Annotated[float, Field(ge=0)]


class TextLoss(Record):
    """The file of a measurement: losses by passage, in the order of the passages."""

    format: Literal["kft-text-loss/1"]
    digest: str
    passages: Annotated[list[PassageLoss], Field(min_length=1)]


def held_out_passages() -> list[Passage]:
    """The passages that come with kft; see the README beside them."""
    remedy = "Install kft again."
    return [parse_record(Passage, row, f"{PASSAGES}:{number}", remedy) for number, row in read_jsonl(PASSAGES)]


def digest_passages(passages: Sequence[Passage]) -> str:
    """SHA-256 of ids and texts: losses of the same passages can be compared."""
    return sha256_of_json([[passage.id, passage.text] for passage in passages])


def measure_text(passages: Sequence[Passage], lm: Any, progress: ProgressCallback = no_progress) -> TextLoss:
    """Negative log-likelihood of each passage under a model of transformers.

    A passage starts from the token that lm-eval starts texts from (BOS, else EOS), so that its first token counts too.
    One that is longer than the model's context is cut into pieces, each of which sees the last token before it. Logits
    are taken to float32 before the softmax.

    Args:
        passages: what is read.
        lm: a loaded model of lm-eval's transformers class.
        progress: called after every passage.
    """
    losses = []
    for number, passage in enumerate(passages, start=1):
        tokens = list(lm.tokenizer(passage.text, add_special_tokens=False)["input_ids"])
        nats = sum(_nats(lm, context, piece) for context, piece in _pieces(tokens, lm.prefix_token_id, lm.max_length))
        losses.append(PassageLoss(id=passage.id, type=passage.type, tokens=len(tokens), nats=nats))
        progress(number, len(passages), "")
    return TextLoss(format="kft-text-loss/1", digest=digest_passages(passages), passages=losses)


def write_text_loss(path: Path, loss: TextLoss) -> None:
    """Write the file of a measurement."""
    write_json(path, loss.model_dump(mode="json"))


def read_text_loss(path: Path, remedy: str) -> TextLoss:
    """Read what :func:`write_text_loss` wrote.

    Raises:
        DataError: it cannot be read, or is something else.
    """
    return read_record(TextLoss, path, remedy, "not a loss of held-out text")


def _pieces(tokens: Sequence[int], first: int, longest: int) -> list[tuple[int, Sequence[int]]]:
    """The tokens in pieces that fit into the context, each with the token before it."""
    starts = range(0, len(tokens), longest - 1)
    return [(tokens[start - 1] if start else first, tokens[start : start + longest - 1]) for start in starts]


def _nats(lm: Any, context: int, tokens: Sequence[int]) -> float:
    """Sum of the negative log-likelihoods of tokens after one token of context."""
    import torch

    ids = torch.tensor([[context, *tokens]], device=lm.device)
    with torch.inference_mode():
        logits = lm.model(input_ids=ids[:, :-1], use_cache=False).logits[0].float()
        return float(torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="sum"))
