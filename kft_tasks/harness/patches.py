"""Everything that kft patches in lm-eval or in Python at run time. Nothing here writes to an installation.

lm-eval looks up a model's ``generate_until`` on its class when it calls it, and builds its requests after the model;
so a class that is patched when a task is made reaches the model of the same run.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

from lm_eval.models.huggingface import HFLM

from kft_tasks.answering.plain_instance import plain_instance
from kft_tasks.answering.request_seeds import generate, sample_seed, takes_seeds
from kft_tasks.errors import KftError
from kft_tasks.harness.hf_model import generate_until, stock_generate_until
from kft_tasks.harness.instance import KnowledgeInstance
from kft_tasks.visible_text import visible_message

_patched: set[Callable[..., Any]] = set()


def show_errors_in_one_line() -> None:
    """Let a :class:`KftError` end lm-eval's command line as one message instead of a traceback; exit code 1.

    Nothing changes elsewhere (notebooks, scripts, ``kft`` itself).
    """
    before = sys.excepthook
    if "lm_eval._cli" not in sys.modules or before in _patched:
        return

    def show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if isinstance(error, KftError):
            sys.stderr.write(visible_message(f"Error: {error}") + "\n")
        else:
            before(kind, error, trace)

    _patched.add(show)
    sys.excepthook = show


def use_engine_for_hf() -> None:
    """Let plain ``--model hf`` answer kft's requests on the engine (off with ``KFT_FAST=0``).

    Subclasses that override ``generate_until`` are not affected.
    """
    if HFLM.generate_until is stock_generate_until:
        HFLM.generate_until = generate_until


def seed_requests_in_harness() -> None:
    """Add seeds to kft's requests when lm-eval itself sends them to a server or to vLLM.

    Called when requests are built: by then the module of the model's class has been imported.
    """
    for module, name in (("lm_eval.models.api_models", "TemplateAPI"), ("lm_eval.models.vllm_causallms", "VLLM")):
        cls = getattr(sys.modules.get(module), name, None)
        if cls is not None and cls.generate_until not in _patched:
            cls.generate_until = _with_seeds(cls.generate_until)
            _patched.add(cls.generate_until)


def _with_seeds(stock: Callable[..., list[str]]) -> Callable[..., list[str]]:
    def generate_until(self: Any, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        ours = [request for request in requests if isinstance(request, KnowledgeInstance)]
        if not ours or not takes_seeds(self):
            return stock(self, requests, disable_tqdm=disable_tqdm)
        rest = [request for request in requests if not isinstance(request, KnowledgeInstance)]
        others = iter(stock(self, rest, disable_tqdm=disable_tqdm) if rest else ())
        stops = [request.stop if request.skip_blank_lines else () for request in ours]
        answers = iter(generate(self, _seeded(ours), stops))
        return [next(answers if isinstance(request, KnowledgeInstance) else others) for request in requests]

    return generate_until


def _seeded(instances: Sequence[KnowledgeInstance]) -> list[Any]:
    """The same requests, with a separate seed for each repeat of a sampled one."""
    repeated: Counter[int] = Counter()
    result = []
    for instance in instances:
        settings = instance.settings
        if settings["do_sample"]:
            number = repeated[id(instance)] % instance.repeats  # a rank with fewer requests is padded with its last one
            repeated[id(instance)] += 1
            settings = {**settings, "seed": sample_seed(instance.request.key, number)}
        result.append(
            plain_instance(instance.request.prompt, settings, instance.doc, instance.task_name, instance.doc_id)
        )
    return result
