"""Which model to use, as named by the user."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kft_tasks.launcher import local_rank


@dataclass(frozen=True)
class ModelChoice:
    """Which model to use, as named by the user.

    Attributes:
        id: alias, local folder or hub id; for a server, the name it serves the model under.
        adapter: a PEFT folder, or None.
        dtype: "auto", "float32", "bfloat16" or "float16".
        device: as lm-eval takes it; None chooses CUDA if available.
        batch_size: for lm-eval's own generation, if the engine cannot be used.
        backend: one of :data:`kft_tasks.models.backends.BACKENDS`.
        backend_args: arguments of lm-eval's class for it.
    """

    id: str
    adapter: Path | None = None
    dtype: str = "auto"
    device: str | None = None
    revision: str | None = None
    batch_size: int = 16
    backend: str = "hf"
    backend_args: Mapping[str, Any] = field(default_factory=dict)

    def place(self) -> str:
        """The device to use; under a launcher each process has its own GPU."""
        if self.device == "cuda" and (rank := local_rank()) is not None:
            return f"cuda:{rank}"
        return self.device or default_device()


def default_device() -> str:
    """The device lm-eval would use: "cuda", "mps" or "cpu"; under a launcher each process has its own GPU."""
    import torch

    if torch.cuda.is_available():
        return f"cuda:{local_rank() or 0}"
    return "mps" if torch.backends.mps.is_available() else "cpu"
