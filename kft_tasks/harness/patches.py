"""Everything that kft changes in lm-eval or in Python while it runs. Nothing here writes to an installation.

lm-eval looks a model's ``generate_until`` up on its class when it is called, and builds its requests after the model;
so a class patched when a task is made reaches the model of the same run.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from kft_tasks.answering.request_seeds import generate, sample_seed, takes_seeds
from kft_tasks.errors import KftError
from kft_tasks.harness.hf_model import generate_until, stock_generate_until
from kft_tasks.harness.instance import KnowledgeInstance

_patched: set[Callable[..., Any]] = set()


def show_errors_in_one_line() -> None:
    """Let a :class:`KftError` end lm-eval's command line as one message instead of a traceback; exit code 1.

    Elsewhere (notebooks, scripts, ``kft`` itself) nothing changes.
    """
    before = sys.excepthook
    if "lm_eval._cli" not in sys.modules or before in _patched:
        return

    def show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if isinstance(error, KftError):
            sys.stderr.write(f"Error: {error}\n")
        else:
            before(kind, error, trace)

    _patched.add(show)
    sys.excepthook = show


def use_engine_for_hf() -> None:
    """Let plain ``--model hf`` answer kft's requests on the engine (off with ``KFT_FAST=0``).

    Subclasses with a generation of their own are not touched.
    """
    if HFLM.generate_until is stock_generate_until:
        HFLM.generate_until = generate_until


def seed_requests_in_harness() -> None:
    """Give kft's requests their seeds when lm-eval itself sends them to a server or to vLLM.

    Called when requests are built: the module of the model's class has been imported by then.
    """
    for module, name in (("lm_eval.models.api_models", "TemplateAPI"), ("lm_eval.models.vllm_causallms", "VLLM")):
        cls = getattr(sys.modules.get(module), name, None)
        if cls is not None and cls.generate_until not in _patched:
            cls.generate_until = _with_seeds(cls.generate_until)
            _patched.add(cls.generate_until)


def _with_seeds(stock: Callable[..., list[str]]) -> Callable[..., list[str]]:
    def generate_until(self: Any, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        ours = [request for request in requests if _is_ours(request)]
        if not ours or not takes_seeds(self):
            return stock(self, requests, disable_tqdm=disable_tqdm)
        rest = [request for request in requests if not _is_ours(request)]
        others = iter(stock(self, rest, disable_tqdm=disable_tqdm) if rest else ())
        answers = iter(generate(self, _seeded(ours)))
        return [next(answers if _is_ours(request) else others) for request in requests]

    return generate_until


def _is_ours(request: Any) -> bool:
    return isinstance(request, KnowledgeInstance) and request.request is not None


def _seeded(requests: Sequence[Any]) -> list[Any]:
    """The same requests, each repeat of a sampled one with a seed of its own."""
    given: Counter[int] = Counter()
    result = []
    for request in requests:
        prompt, settings = request.args
        if settings["do_sample"]:
            number = given[id(request)] % request.repeats  # a rank that is short repeats its last request
            given[id(request)] += 1
            settings = {**settings, "seed": sample_seed(request.request.key, number)}
        result.append(Instance("generate_until", request.doc, (prompt, settings), 0, request.metadata))
    return result
