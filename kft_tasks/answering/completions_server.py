"""Answers from a server with OpenAI's completions interface through lm-eval: its dialect, and a seed for every sample.

lm-eval 0.4.13 sends the same seed with every request, so that k samples of a prompt would be the same sample k times.
Here every sampled request carries its own seed. Servers differ in how they accept top-k and the like, and some accept
a temperature and still answer greedily: the first request finds out.
"""

from __future__ import annotations

import contextlib
import logging
import weakref
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from kft_tasks.answering.plain_instance import plain_instance
from kft_tasks.answering.quiet_bars import quiet_bars
from kft_tasks.answering.server_dialects import WHOLE_VOCABULARY, Dialect, Settings, candidates
from kft_tasks.engine.stop_strings import cut_at
from kft_tasks.errors import UnavailableError

logger = logging.getLogger(__name__)

_TRIAL_SEEDS = (1, 2, 3, 4, 1)
_dialects: weakref.WeakKeyDictionary[Any, Dialect] = weakref.WeakKeyDictionary()
_sampling: weakref.WeakKeyDictionary[Any, bool] = weakref.WeakKeyDictionary()  # seen to sample; do seeds count?
_REJECTED = (400, 404, 405, 415, 422, 501)  # the request is wrong, not the moment


def generate(lm: Any, requests: Sequence[Any]) -> list[str]:
    """Answer requests (lm-eval Instances); those with a ``seed`` are sent singly, ``num_concurrent`` at a time."""
    with quiet_bars():
        return _generate(lm, requests)


def _generate(lm: Any, requests: Sequence[Any]) -> list[str]:
    if sampled := [request for request in requests if request.args[1]["do_sample"]]:
        check_sampling(lm, sampled[0])
    dialect = connect(lm, requests[0])
    batches: list[list[int]] = [[]]
    for index, request in enumerate(requests):
        if "seed" in request.args[1]:
            batches.append([index])  # lm-eval groups requests by their settings, and works on one group at a time
        else:
            batches[0].append(index)
    translated = [
        plain_instance(request.args[0], dialect(_without_empty_stop(lm, request.args[1]))) for request in requests
    ]

    def answer(batch: Sequence[int]) -> list[str]:
        texts: list[str] = lm.generate_until([translated[index] for index in batch], disable_tqdm=True)
        # servers may ignore stop strings, or leave them at the end
        return [cut_at(text, requests[index].args[1]["until"]) for index, text in zip(batch, texts, strict=True)]

    unseeded, *seeded = batches
    found = dict(zip(unseeded, answer(unseeded), strict=True)) if unseeded else {}
    with ThreadPoolExecutor(max(1, getattr(lm, "_concurrent", 1))) as pool:
        futures = [pool.submit(answer, batch) for batch in seeded]
        try:
            for batch, future in zip(seeded, futures, strict=True):
                found |= dict(zip(batch, future.result(), strict=True))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [found[index] for index in range(len(requests))]


def _without_empty_stop(lm: Any, settings: Settings) -> Settings:
    """Send null instead of an empty list of stop strings, which OpenAI's own servers reject."""
    return settings if settings["until"] or lm.eos_string else {**settings, "stop": None}


def connect(lm: Any, request: Any) -> Dialect:
    """The dialect of a model's server, determined once with the prompt of ``request``.

    Raises:
        UnavailableError: the server accepts no top_k, and ``request`` has one.
    """
    if lm not in _dialects:
        with _one_try(lm), quiet_bars():
            _dialects[lm] = _find_dialect(lm, request)
    return _dialects[lm]


def _find_dialect(lm: Any, request: Any) -> Dialect:
    reason = ""
    no_limit = request.args[1].get("top_k", WHOLE_VOCABULARY) >= WHOLE_VOCABULARY
    for dialect in candidates(lm, whole_vocabulary=no_limit):
        try:
            _trial_answer(lm, dialect, request, 1)
        except Exception as error:
            if _status(error) not in _REJECTED:
                raise
            reason = str(error)
        else:
            return dialect
    raise UnavailableError(
        f"{_address(lm)} does not accept completion requests with top_k ({reason}). Check base_url and the model's "
        f"name; if the server cannot limit samples to the top k, set top_k to {WHOLE_VOCABULARY} for the whole "
        "vocabulary."
    )


def check_sampling(lm: Any, request: Any) -> bool:
    """Check once, with a sampled request, that different seeds give different samples.

    Returns:
        whether the same seed gives the same sample again.

    Raises:
        UnavailableError: the answer is the same for every seed.
    """
    if lm in _sampling:
        return _sampling[lm]
    dialect = connect(lm, request)
    with quiet_bars():
        answers = [_trial_answer(lm, dialect, request, seed) for seed in _TRIAL_SEEDS]
    if len(set(answers)) == 1:
        raise UnavailableError(
            f"{_address(lm)} gave the same answer for four seeds at temperature 2: it does not sample, and all samples "
            "would be the same. Use a server that samples, or set samples to 0."
        )
    repeats = answers[0] == answers[-1]
    if not repeats:
        logger.warning("%s ignores seeds: repeating the detection will draw different samples.", _address(lm))
    _sampling[lm] = repeats
    return repeats


def _trial_answer(lm: Any, dialect: Dialect, request: Any, seed: int) -> str:
    prompt, settings = request.args
    trial = {"min_p": 0.0, **settings, "until": ["\n\n\n\n"], "max_gen_toks": 16, "seed": seed}
    trial |= {"do_sample": True, "temperature": 2.0, "top_k": max(40, settings.get("top_k", 0))}
    answers: list[str] = lm.generate_until([plain_instance(prompt, dialect(trial))], disable_tqdm=True)
    return answers[0]


def _status(error: BaseException) -> int | None:
    """The HTTP status in an exception of requests or aiohttp."""
    status = getattr(getattr(error, "response", None), "status_code", None) or getattr(error, "status", None)
    return status if isinstance(status, int) else None


def _address(lm: Any) -> str:
    return f"The server at {lm.base_url}"


@contextlib.contextmanager
def _one_try(lm: Any) -> Iterator[None]:
    """Neither retry nor log a rejected trial request."""
    api_logger, retries = logging.getLogger("lm_eval.models.api_models"), lm.max_retries
    level = api_logger.level
    api_logger.setLevel(logging.CRITICAL)
    lm.max_retries = 1
    try:
        yield
    finally:
        lm.max_retries = retries
        api_logger.setLevel(level)
