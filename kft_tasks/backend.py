"""Where lm-eval's model with kft's engine was in version 0.1.0: code that names this module is told the new one."""

from __future__ import annotations

from typing import NoReturn

from kft_tasks.task import refuse_moved

_MOVED = {
    "KftHF": "kft_tasks.harness.hf_model",
    "generate_until": "kft_tasks.harness.hf_model",
    "use_engine_for_hf": "kft_tasks.harness.patches",
    "engine_for": "kft_tasks.answering.hf_engine",
    "encode": "kft_tasks.answering.hf_engine",
}


def __getattr__(name: str) -> NoReturn:
    refuse_moved(__name__, _MOVED, name)
