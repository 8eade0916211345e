"""Install the tested torch: the CPU build where the machine has no NVIDIA GPU. Called by the Makefile.

Without this, pip on Linux takes the CUDA build and several gigabytes of libraries. It tries, in order, the CPU build
from the sources that pip is configured with, PyTorch's own index of CPU builds, and what pip chooses by itself.
"""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

CPU_INDEX = "https://download.pytorch.org/whl/cpu"


def main(constraints: str) -> int:
    """Install torch at the version in ``constraints``; returns pip's exit code."""
    found = re.search(r"^torch==([\d.]+)", Path(constraints).read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        sys.exit(f"{constraints}: has no line torch==VERSION.")
    wanted = f"torch=={found[1]}"
    attempts: list[list[str]] = [[wanted]]
    if platform.system() == "Linux" and shutil.which("nvidia-smi") is None:
        attempts.insert(0, [f"{wanted}+cpu", "--index-url", CPU_INDEX, "--extra-index-url", "https://pypi.org/simple"])
        attempts.insert(0, [f"{wanted}+cpu"])
    for number, attempt in enumerate(attempts, start=1):
        last = number == len(attempts)
        quick = [] if last else ["--retries", "0", "--timeout", "15"]
        command = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "-q",
            "--no-compile",
            "--disable-pip-version-check",
            *quick,
            *attempt,
        ]
        print(f"torch: pip install {' '.join(attempt)}", flush=True)
        code = subprocess.run(command, check=False, stderr=None if last else subprocess.DEVNULL).returncode
        if code == 0:
            return 0
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
