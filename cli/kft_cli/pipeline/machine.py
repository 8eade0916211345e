"""What a run ran on: versions and hardware, so that it can be repeated."""

from __future__ import annotations

import datetime
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from kft_tasks.models.choice import default_device

PACKAGES = ("kft", "lm_eval", "torch", "transformers", "peft", "trl", "datasets", "accelerate", "numpy")


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that results depend on."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def now() -> str:
    """The time in UTC in ISO format, to the second."""
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")


def available_threads() -> int:
    """Threads that torch computes with in this process: the cores, or what OMP_NUM_THREADS says."""
    import torch

    return int(torch.get_num_threads())


def automatic_workers(model: Path) -> int:
    """Processes for the steps of a run: two on a CPU with two threads and memory for a second model, else one.

    Args:
        model: folder of the model.
    """
    import psutil

    weights = sum(file.stat().st_size for file in model.glob("*.safetensors"))
    room = psutil.virtual_memory().available > _MODEL_SHARE * weights + _OTHER_BYTES
    return 2 if default_device() == "cpu" and available_threads() > 1 and room else 1


_MODEL_SHARE = 8  # of the weights' size: two models in float32 where the files have 2 bytes a weight, twice over
_OTHER_BYTES = 4 << 30  # interpreters, libraries, keys and values


def hardware() -> dict[str, Any]:
    """Processor, cores, memory in GB (10^9 bytes), torch's threads and accelerator."""
    import torch

    return {
        "platform": platform.platform(),
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "memory_gb": _memory_gb(),
        "threads": torch.get_num_threads(),
        "accelerator": torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
    }


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _memory_gb() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)
    except (ValueError, OSError, AttributeError):
        return None
