"""Where the CPU time of a detection goes: ``PYTHONPATH=results/speed python -m step_costs.profile FILE``.

One thread detects some worldfacts questions while the functions below are timed; FILE takes the result as JSON. Every
product of a linear layer is timed with the floating point operations that it takes, the output layer by itself, and
afterwards a plain product of the same size as the middle linear product, as the machine's own speed.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import torch

from kft_cli.display.console import progress_bar
from kft_cli.pipeline.machine import hardware, versions
from kft_cli.pipeline.pipeline import Pipeline
from kft_tasks.engine import attention, model, prefix_cache, trie
from kft_tasks.files import write_json
from kft_train.recipes.recipe import load_recipe

_QUESTIONS = 60
_OUTPUT_ROWS = 40_000  # a linear layer with more rows is the output layer


class Clock:
    """CPU-seconds, calls and floating point operations by name."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.calls: Counter[str] = Counter()
        self.operations: Counter[str] = Counter()

    def time(self, owner: Any, name: str, label: str) -> None:
        """Time a function of a module or class from now on."""
        function: Callable[..., Any] = getattr(owner, name)

        def timed(*args: Any, **options: Any) -> Any:
            begin = time.process_time()
            try:
                return function(*args, **options)
            finally:
                self.seconds[label] += time.process_time() - begin
                self.calls[label] += 1

        setattr(owner, name, timed)

    def time_linear(self) -> None:
        """Time every product of a linear layer from now on."""
        linear = torch.nn.functional.linear

        def timed(rows: Any, weight: Any, bias: Any = None) -> Any:
            begin = time.process_time()
            result = linear(rows, weight, bias)
            label = "output layer" if weight.shape[0] > _OUTPUT_ROWS else "linear layers"
            self.seconds[label] += time.process_time() - begin
            self.calls[label] += 1
            self.operations[label] += 2 * rows.numel() * weight.shape[0]
            return result

        torch.nn.functional.linear = timed


def measure_product(rows: int, inner: int, columns: int) -> float:
    """Floating point operations per CPU-second of a plain product of float32 matrices."""
    left, right = torch.randn(rows, inner), torch.randn(inner, columns)
    torch.mm(left, right)
    repeats = max(2, int(2e10 / (2 * rows * inner * columns)))
    begin = time.process_time()
    for _ in range(repeats):
        torch.mm(left, right)
    return 2 * rows * inner * columns * repeats / (time.process_time() - begin)


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
def main(file: Path) -> None:
    """Write the profile of a detection of worldfacts questions to FILE."""
    torch.set_num_threads(1)
    clock = Clock()
    clock.time(attention, "_attention", "attention")
    clock.time_linear()
    clock.time(model.PackedModel, "forward", "all calls of the model")
    clock.time(prefix_cache.PrefixCache, "append_to", "of these: exemplars")
    clock.time(trie.PromptTrie, "_choose", "choosing tokens")
    recipe = load_recipe("worldfacts-full", (f"questions.limit.train={_QUESTIONS}", "model.dtype=float32"))
    with tempfile.TemporaryDirectory() as folder:
        pipeline = Pipeline(recipe, Path(folder) / "run", ["profile"])
        pipeline._model(None).answerer(recipe.protocol_for("detection"))  # loading is left out
        clock.seconds.clear()
        clock.calls.clear()
        clock.operations.clear()
        begin = time.process_time()
        pipeline.do(pipeline.steps[0], progress_bar)
        total = time.process_time() - begin
    parts = {
        name: {"cpu_seconds": seconds, "calls": clock.calls[name], "operations": clock.operations[name]}
        for name, seconds in sorted(clock.seconds.items(), key=lambda item: -item[1])
    }
    products = {f"{rows} x 576 x 1536": measure_product(rows, 576, 1536) for rows in (16, 64, 256, 1024, 4096)}
    products |= {f"{rows} x 576 x 49152": measure_product(rows, 576, 49152) for rows in (16, 64, 256)}
    about = {"hardware": hardware(), "versions": versions(), "questions": _QUESTIONS}
    write_json(file, {**about, "cpu_seconds": total, "parts": parts, "products": products})


if __name__ == "__main__":
    main()
