"""A seed for every sample on engines that take one: kft detect and lm-eval's command line send the same requests."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from kft_tasks import served
from kft_tasks.sampling import sample_keys


def sample_seed(key: int, number: int) -> int:
    """Seed of sample ``number`` of the ask with this key; 31 bits, which every engine takes.

    Depends on seed of the protocol, question, exemplar set and number only: not on what else is asked, or when.
    """
    return int(sample_keys(key, number + 1)[number]) >> 33


def takes_seeds(lm: Any) -> bool:
    """Does this lm-eval model take a seed in a request's settings? HFLM refuses it, sglang's class has none."""
    return served.is_served(lm) or _is_vllm(lm)


def _is_vllm(lm: Any) -> bool:
    module = sys.modules.get("lm_eval.models.vllm_causallms")
    return module is not None and isinstance(lm, module.VLLM)


def generate(lm: Any, requests: Sequence[Any]) -> list[str]:
    """Answer requests whose settings have seeds where they are sampled."""
    if served.is_served(lm):
        return served.generate(lm, requests)
    with served.quiet_bars():
        answers: list[str] = lm.generate_until(list(requests), disable_tqdm=True)
    return answers


def seed_requests_in_harness() -> None:
    """Give kft's requests their seeds when lm-eval itself sends them to a server or to vLLM.

    Called when requests are built: the model's class is imported by then, and its method is looked up later.
    """
    for module, name in (("lm_eval.models.api_models", "TemplateAPI"), ("lm_eval.models.vllm_causallms", "VLLM")):
        cls = getattr(sys.modules.get(module), name, None)
        if cls is not None and not hasattr(cls.generate_until, "_kft_stock"):
            cls.generate_until = _with_seeds(cls.generate_until)


def _with_seeds(stock: Callable[..., list[str]]) -> Callable[..., list[str]]:
    def generate_until(self: Any, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        ours = [request for request in requests if getattr(request, "ask", None) is not None]
        if not ours or not takes_seeds(self):
            return stock(self, requests, disable_tqdm=disable_tqdm)
        rest = [request for request in requests if getattr(request, "ask", None) is None]
        others = iter(stock(self, rest, disable_tqdm=disable_tqdm) if rest else ())
        answers = iter(generate(self, _seeded(ours)))
        return [next(others if getattr(request, "ask", None) is None else answers) for request in requests]

    generate_until._kft_stock = stock  # type: ignore[attr-defined]
    return generate_until


def _seeded(requests: Sequence[Any]) -> list[Any]:
    """Of a request that stands here k times because it has k repeats, k requests with a seed each."""
    from lm_eval.api.instance import Instance

    given: Counter[int] = Counter()
    result = []
    for request in requests:
        prompt, settings = request.args
        if settings["do_sample"]:
            number = given[id(request)] % request.repeats  # ranks that are short repeat their last request
            given[id(request)] += 1
            settings = {**settings, "seed": sample_seed(request.ask.key, number)}
        result.append(Instance("generate_until", request.doc, (prompt, settings), 0, request.metadata))
    return result
