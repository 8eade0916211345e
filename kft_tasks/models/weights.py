"""Digests of a model's weights, the precision they run in, and transformers without its chatter."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kft_tasks.errors import DataError, UsageError, suggest
from kft_tasks.files import cache_folder, read_json, sha256_of_file, sha256_of_json, write_json
from kft_tasks.protocol.identity import ModelIdentity


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Silence progress bars and advice of transformers while it loads; errors are still raised."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def resolve_dtype(dtype: str, device: str = "cpu") -> str:
    """Resolve "auto": bfloat16 if the device multiplies it natively, else float16 on CUDA and float32 elsewhere.

    Raises:
        UsageError: an unknown dtype.
    """
    if dtype != "auto":
        if dtype not in ("float32", "bfloat16", "float16"):
            raise UsageError(f"Unknown dtype {dtype!r}. {suggest(dtype, ('auto', 'float32', 'bfloat16', 'float16'))}")
        return dtype
    if has_native_bfloat16(device):
        return "bfloat16"
    return "float16" if device.startswith("cuda") else "float32"


def has_native_bfloat16(device: str = "cpu") -> bool:
    """Whether a device ("cpu", "cuda:0", "mps" ...) multiplies bfloat16 in hardware."""
    import torch

    if device.startswith("cuda"):
        return bool(torch.cuda.is_bf16_supported())
    return device == "cpu" and bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def weights_digest(folder: Path) -> str:
    """SHA-256 over the safetensors files of a model folder, cached by path, size and modification time.

    Raises:
        DataError: the folder holds none (pickled weights are never loaded).
    """
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise DataError(f"{folder}: no .safetensors weights. Convert the model; pickled weights are not loaded.")
    stamps = [[file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in files]
    cached = cache_folder() / "digests" / f"{sha256_of_json([str(folder.resolve()), stamps])[:32]}.json"
    if cached.is_file():
        return str(read_json(cached)["weights"])
    value = sha256_of_json([sha256_of_file(file) for file in files])
    with contextlib.suppress(DataError):  # a read-only cache costs time, nothing else
        write_json(cached, {"folder": str(folder.resolve()), "weights": value})
    return value


def adapter_digest(folder: Path) -> str:
    """SHA-256 over a PEFT adapter: its weights and its configuration without the path of the base model.

    Raises:
        DataError: the folder is not an adapter's.
    """
    weights = folder / "adapter_model.safetensors"
    if not weights.is_file():
        raise DataError(f"{folder}: no adapter (adapter_model.safetensors is missing). Give a folder saved by PEFT.")
    config: dict[str, Any] = read_json(folder / "adapter_config.json")
    config.pop("base_model_name_or_path", None)
    return sha256_of_json([sha256_of_file(weights), config])


def identify(name: str, folder: Path, dtype: str, adapter: Path | None = None) -> ModelIdentity:
    """The identity that a category file records."""
    return ModelIdentity(name, weights_digest(folder), adapter_digest(adapter) if adapter else None, dtype)
