"""Answers that begin on the next line, from engines that end an answer at the first stop string.

Where blank lines before an answer are skipped, a request has no stop strings (:mod:`kft_tasks.protocol.generation`):
the engine generates up to the length limit, and the answer is cut from that. Most answers are much shorter. So where a
request that is sent again gets the same tokens, it is sent with stop strings first, and without them only if the answer
comes back empty. Where samples cannot be repeated, that would change how they are distributed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from kft_tasks.answering.plain_instance import plain_instance
from kft_tasks.engine.stop_strings import cut_at


def skip_blank_lines(
    ask: Callable[[Sequence[Any]], list[str]],
    requests: Sequence[Any],
    stops: Sequence[Sequence[str]],
    repeatable: Sequence[bool],
) -> list[str]:
    """Answers to requests, cut at the first stop string that follows a character other than white space.

    Args:
        ask: answers requests, in order; it is called a second time for those that begin with a stop string.
        requests: lm-eval Instances without stop strings in their settings.
        stops: the stop strings of each request; none for a request that is not to be cut.
        repeatable: of each request, whether it gets the same tokens again.
    """
    early = [bool(stop) and again for stop, again in zip(stops, repeatable, strict=True)]
    first = [
        _with_stop(request, stop) if ends else request
        for request, stop, ends in zip(requests, stops, early, strict=True)
    ]
    texts = ask(first)
    empty = [index for index, text in enumerate(texts) if early[index] and not text.strip()]
    if empty:
        for index, text in zip(empty, ask([requests[index] for index in empty]), strict=True):
            texts[index] = text
    return [cut_at(text, stop, skip_blank_lines=True) for text, stop in zip(texts, stops, strict=True)]


def _with_stop(request: Any, stop: Sequence[str]) -> Any:
    prompt, settings = request.args
    return plain_instance(prompt, {**settings, "until": list(stop)}, request.doc, request.task_name, request.doc_id)
