from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

sys.path.insert(0, str(Path(__file__).parents[1]))  # for `tiny`
sys.path.insert(0, str(Path(__file__).parent))  # for `task_helpers`
os.environ.setdefault("HF_HUB_OFFLINE", "1")
settings.register_profile("kft", deadline=None, derandomize=True, database=None, max_examples=200)
settings.load_profile("kft")


@pytest.fixture(autouse=True)
def user_state_in_a_temporary_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from kft_tasks.sets import SETS

    for name in ("KFT_FAST", "KFT_LM_EVAL_HOOK", "KFT_DATA", *(info.env for info in SETS.values())):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KFT_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Folder of a tiny random model by architecture, made once."""
    from kft_tasks.models import quiet_transformers
    from tiny import make_tiny_model

    root = tmp_path_factory.mktemp("tiny")

    def folder(architecture: str) -> Path:
        if not (root / architecture).is_dir():
            with quiet_transformers():
                _liven(make_tiny_model(root / architecture, architecture))
        return root / architecture

    return folder


def _liven(folder: Path) -> None:
    """Let the layers outweigh the embeddings, so that answers differ: a random model tends to repeat its last token."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    outputs = ("o_proj.weight", "down_proj.weight", "dense.weight", "dense_4h_to_h.weight")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(outputs):
                parameter *= 8
            elif "gemma2" in str(folder) and "post_" in name:
                parameter += 7  # these norms undo the scale of what they are given
    model.save_pretrained(folder)


@pytest.fixture(scope="session")
def tiny_lm(tiny_folder: Callable[[str], Path]) -> Iterator[Callable[..., Any]]:
    """A new lm-eval model on a tiny folder: ``tiny_lm("llama", batch_size=4)``."""
    from lm_eval.models.huggingface import HFLM

    from kft_tasks.models import quiet_transformers

    def make(architecture: str = "llama", *, cls: type = HFLM, batch_size: int = 4, **kwargs: Any) -> Any:
        with quiet_transformers():
            return cls(
                pretrained=str(tiny_folder(architecture)),
                dtype="float32",
                device="cpu",
                batch_size=batch_size,
                **kwargs,
            )

    stock = HFLM.generate_until
    yield make
    HFLM.generate_until = stock
