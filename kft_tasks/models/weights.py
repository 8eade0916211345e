"""What a model's weights digest to, the precision they run in, and transformers without its chatter."""

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
    """No progress bars and no advice from transformers while it loads; errors still raise."""
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
    """Make "auto" concrete: bfloat16 where the hardware multiplies it natively, else float32."""
    import torch

    if dtype != "auto":
        if dtype not in ("float32", "bfloat16", "float16"):
            raise UsageError(f"Unknown dtype {dtype!r}. {suggest(dtype, ('auto', 'float32', 'bfloat16', 'float16'))}")
        return dtype
    if device.startswith("cuda"):
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float16"
    native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return "bfloat16" if native else "float32"


def weights_digest(folder: Path) -> str:
    """SHA-256 over the safetensors files of a model folder; remembered by path, size and time of change.

    Raises:
        DataError: the folder holds none (pickled weights are never loaded).
    """
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise DataError(f"{folder}: no .safetensors weights. Convert the model; pickled weights are not loaded.")
    stamps = [[file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in files]
    memory = cache_folder() / "digests" / f"{sha256_of_json([str(folder.resolve()), stamps])[:32]}.json"
    if memory.is_file():
        return str(read_json(memory)["weights"])
    value = sha256_of_json([sha256_of_file(file) for file in files])
    with contextlib.suppress(DataError):  # a read-only cache costs time, nothing else
        write_json(memory, {"folder": str(folder.resolve()), "weights": value})
    return value


def adapter_digest(folder: Path) -> str:
    """SHA-256 over a PEFT adapter: its weights and its configuration without the path of the base model.

    Raises:
        DataError: the folder is not an adapter.
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
