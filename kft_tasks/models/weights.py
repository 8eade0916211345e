"""Digests of a model's weights, the precision they run in, and transformers without its chatter."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kft_tasks.errors import DataError, UsageError, suggest
from kft_tasks.files import cache_folder, open_input, read_json, sha256_of_file, sha256_of_json, write_json
from kft_tasks.models.adapter_config import read_adapter_config
from kft_tasks.protocol.identity import ModelIdentity

_SAMPLE = 1 << 20  # bytes of each end of a file


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


def weights_digest(folder: Path, *, verify: bool = False) -> str:
    """SHA-256 over the safetensors files of a model folder.

    It is remembered in kft's cache as long as every file keeps its place, size, modification time, inode and the bytes
    at its start and end.

    Args:
        folder: of the model.
        verify: read all files whatever is remembered, and remember what is found.

    Raises:
        DataError: the folder holds none (pickled weights are never loaded), or one cannot be read.
    """
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise DataError(f"{folder}: no .safetensors weights. Convert the model; pickled weights are not loaded.")
    cached = cache_folder() / "digests" / f"{sha256_of_json([str(folder.resolve()), *map(_stamp, files)])[:32]}.json"
    known = None if verify else _remembered(cached)
    if known is not None:
        return known
    value = sha256_of_json([sha256_of_file(file) for file in files])
    with contextlib.suppress(DataError):  # a read-only cache costs time, nothing else
        write_json(cached, {"folder": str(folder.resolve()), "weights": value})
    return value


def _stamp(file: Path) -> list[Any]:
    """What a changed file has different: its times can be set back, and a program may write in place."""
    with open_input(file) as stream:
        status = os.fstat(stream.fileno())
        sample = hashlib.sha256(stream.read(_SAMPLE))
        stream.seek(max(0, status.st_size - _SAMPLE))
        sample.update(stream.read(_SAMPLE))
    return [file.name, status.st_size, status.st_mtime_ns, status.st_ino, sample.hexdigest()]


def _remembered(cached: Path) -> str | None:
    """The digest in a file of the cache; None if there is none, or the file is damaged."""
    if not cached.is_file():
        return None
    with contextlib.suppress(DataError):
        value = read_json(cached, dict).get("weights")
        if isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value):
            return value
    return None


def adapter_weights(folder: Path) -> Path:
    """The file with the weights of a PEFT adapter, which PEFT prefers to any other in the folder.

    Raises:
        DataError: the folder has none, or only pickled weights, which are never loaded.
    """
    weights = folder / "adapter_model.safetensors"
    if weights.is_file():
        return weights
    if any(folder.glob("*.bin")):
        raise DataError(
            f"{folder}: the adapter has pickled weights only (.bin), which are not loaded. "
            "Save it again with safetensors (`save_pretrained`)."
        )
    raise DataError(f"{folder}: no adapter (adapter_model.safetensors is missing). Give a folder saved by PEFT.")


def adapter_digest(folder: Path) -> str:
    """SHA-256 over a PEFT adapter: its weights and its configuration without the path of the base model.

    Raises:
        DataError: the folder is not an adapter's.
    """
    weights = adapter_weights(folder)
    config = read_adapter_config(folder)
    config.pop("base_model_name_or_path", None)
    return sha256_of_json([sha256_of_file(weights), config])


def identify(
    name: str, folder: Path, dtype: str, adapter: Path | None = None, *, verify: bool = False
) -> ModelIdentity:
    """The identity that a category file records; ``verify`` reads all weights, see :func:`weights_digest`."""
    return ModelIdentity(
        name, weights_digest(folder, verify=verify), adapter_digest(adapter) if adapter else None, dtype
    )
