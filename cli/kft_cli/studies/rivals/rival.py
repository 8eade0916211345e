"""What the benchmark asks of another engine, and how its cost is counted: all processes, loading apart from asking."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol as Interface

import psutil


@dataclass(frozen=True)
class Wanted:
    """What an engine is to generate.

    Attributes:
        folder: of the model, in transformers' format.
        dtype: "float32" or "bfloat16".
        threads: CPU threads.
        max_tokens: length limit of an answer.
        stop: strings that end an answer.
        temperature, top_k: of samples.
    """

    folder: Path
    dtype: str
    threads: int
    max_tokens: int
    stop: tuple[str, ...]
    temperature: float
    top_k: int


class Rival(Interface):
    """An engine that is loaded."""

    prefilled: int
    """Prompt tokens that it computed, as far as it reports them."""
    decoded: int
    """Answer tokens that it computed."""

    def greedy(self, prompts: Sequence[str]) -> list[str]:
        """Greedy answers."""
        ...

    def sample(self, prompts: Sequence[str], count: int) -> list[list[str]]:
        """``count`` sampled answers to each prompt."""
        ...

    def close(self) -> None:
        """End its processes."""
        ...


@dataclass(frozen=True)
class Spent:
    """What was spent up to a moment.

    Attributes:
        seconds: on the clock.
        cpu_seconds: of this process and all its descendants.
    """

    seconds: float
    cpu_seconds: float

    def since(self, earlier: Spent) -> dict[str, float]:
        """What was spent since ``earlier``."""
        return {
            "seconds": self.seconds - earlier.seconds,
            "cpu_seconds": self.cpu_seconds - earlier.cpu_seconds,
        }


def spent() -> Spent:
    """What was spent so far; of processes that have ended only what their parents waited for."""
    own = os.times()
    cpu = own.user + own.system + own.children_user + own.children_system
    for child in psutil.Process().children(recursive=True):
        try:
            times = child.cpu_times()
        except psutil.NoSuchProcess:
            continue
        cpu += times.user + times.system + times.children_user + times.children_system
    return Spent(time.perf_counter(), cpu)


def peak_mb() -> float:
    """Largest resident memory of this process and each of its descendants, added up, in MiB."""
    this = psutil.Process()
    return sum(_peak_of(process) for process in [this, *this.children(recursive=True)])


def _peak_of(process: psutil.Process) -> float:
    try:
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
    except OSError:  # it has ended, or this is not Linux
        status = ""
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return float(line.split()[1]) / 1024
    try:
        return float(process.memory_info().rss) / 2**20
    except psutil.NoSuchProcess:
        return 0.0
