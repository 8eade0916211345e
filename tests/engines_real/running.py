"""Servers of other engines on loopback, for the duration of a test module."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil

START_SECONDS = 900  # vLLM takes a minute on an idle machine and ten on a busy one


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def server(command: Sequence[str], port: int, log: Path) -> Iterator[str]:
    """Run a server until the block ends; yields the address of its completions."""
    with log.open("wb") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            _await(f"http://127.0.0.1:{port}/v1/models", process, log)
            yield f"http://127.0.0.1:{port}/v1/completions"
        finally:
            end_tree(process.pid)
            process.wait(30)


def _await(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            break
        with contextlib.suppress(urllib.error.URLError, OSError), urllib.request.urlopen(address, timeout=5) as reply:
            if reply.status == 200:
                return
        time.sleep(1)
    raise AssertionError(f"the server did not start: {log.read_text(errors='replace')[-2000:]}")


def end_tree(pid: int) -> None:
    """End a process and all that it started."""
    try:
        root = psutil.Process(pid)
    except psutil.NoSuchProcess:
        return
    tree = [root, *root.children(recursive=True)]
    for process in tree:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGTERM)
    _, staying = psutil.wait_procs(tree, timeout=20)
    for process in staying:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(staying, timeout=10)
