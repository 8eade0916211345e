"""A step of the engine copies little between host and device, and waits for the device once."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from kft_tasks.engine import attention, transfer, trie
from kft_tasks.engine.engine import Engine

ENGINE = Path(transfer.__file__).parent
PER_STEP = {"to_device": 3, "top_on_host": 1}  # token ids; places of queries, keys and outputs; masks


class _Waits(TorchDispatchMode):
    """Counts operations whose result Python needs: on a GPU each waits for all that was started before."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if name in ("_local_scalar_dense", "nonzero", "is_nonzero", "equal", "masked_select"):
            self.seen[name] += 1
        return func(*args, **(kwargs or {}))


@contextmanager
def _counting(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    seen: Counter[str] = Counter()

    def counted(name: str, stock: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            seen[name] += 1
            return stock(*args)

        return call

    calls = {name: counted(name, getattr(transfer, name)) for name in PER_STEP}
    for module, name in ((transfer, "to_device"), (attention, "to_device"), (trie, "top_on_host")):
        monkeypatch.setattr(module, name, calls[name])
    yield seen


def test_a_step_sends_three_copies_and_waits_once(tiny_lm: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    lm = tiny_lm("llama")
    engine = Engine(lm.model, lm.tokenizer)
    forward, steps = engine.model.forward, Counter[str]()

    def stepped(*args: Any) -> Any:
        steps["steps"] += 1
        return forward(*args)

    monkeypatch.setattr(engine.model, "forward", stepped)
    engine.model.margin = 0.0  # near ties are settled by plain calls, as in float32 only
    prompts = [[number % 50 + 1, 7, 8, 9, number % 11 + 1, number % 3 + 1] for number in range(12)]
    opened = engine.open(prompts, max_tokens=6, stop=(), top_k=8, groups=[number % 2 for number in range(12)])
    with _counting(monkeypatch) as seen, _Waits() as waits:
        opened.sample(range(12), list(range(12)), 4, 1.0)
    assert steps["steps"] >= 6
    for name, allowed in PER_STEP.items():
        assert seen[name] <= allowed * steps["steps"], name
    assert seen["top_on_host"] >= steps["steps"] - 2  # prefixes give no logits
    assert waits.seen == {}


def test_no_other_module_of_the_engine_copies_by_itself() -> None:
    found = []
    for path in ENGINE.glob("*.py"):
        if path.name in ("transfer.py", "engine.py", "folding.py"):  # the check at the start; once per model
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            called = node.func if isinstance(node, ast.Call) else None
            if isinstance(called, ast.Attribute) and called.attr in ("cpu", "item", "tolist", "numpy", "to", "cuda"):
                found.append(f"{path.name}:{called.lineno} {ast.unparse(called)}")
    assert found == []


def test_arrays_arrive_in_their_shapes_and_types() -> None:
    for kind in (np.int64, np.bool_):
        arrays = [np.arange(6).reshape(2, 3).astype(kind), np.ones((1, 4), dtype=kind), np.zeros(0, dtype=kind)]
        for array, tensor in zip(arrays, transfer.to_device(arrays, torch.device("cpu")), strict=True):
            assert tensor.shape == array.shape
            assert (tensor.numpy() == array).all()


def test_the_best_logits_come_with_their_exact_ids() -> None:
    logits = torch.zeros(2, 200_000)
    logits[0, 199_999], logits[0, 3], logits[1, 100_001] = 2.5, 1.25, 0.125
    ids, values = transfer.top_on_host(logits, 2)
    assert ids[0].tolist() == [199_999, 3]
    assert values[0].tolist() == [2.5, 1.25]
    assert (ids[1, 0], values[1, 0]) == (100_001, 0.125)
