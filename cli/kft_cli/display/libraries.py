"""What other libraries print and do that users of the command line cannot act on."""

from __future__ import annotations

import os
import warnings


def calm_libraries() -> None:
    """Set what libraries read when they are imported."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # idle threads that spin slow each other down if another program keeps a core busy: steps took 13 s instead of 2
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # large tensors on huge pages: without, page faults on new memory take 9 % of the CPU time of a detection
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    for library in ("transformers", "peft", "trl", "accelerate", "lm_eval"):  # about each other; users cannot act on it
        warnings.filterwarnings("ignore", category=FutureWarning, module=library)
