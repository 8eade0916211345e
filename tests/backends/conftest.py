from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "tasks"))  # for `task_helpers`
os.environ.setdefault("HF_HUB_OFFLINE", "1")


@pytest.fixture(autouse=True)
def user_state_in_a_temporary_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("KFT_FAST", "KFT_LM_EVAL_HOOK", "KFT_DATA", "RANK", "WORLD_SIZE", "LOCAL_RANK", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KFT_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny random Llama."""
    from kft_tasks.models import quiet_transformers
    from tiny import make_tiny_model

    with quiet_transformers():
        return make_tiny_model(tmp_path_factory.mktemp("tiny") / "llama")


@pytest.fixture
def stock_lm_eval() -> Iterator[None]:
    """Lm-eval's classes as they were: kft's tasks change how they generate."""
    from lm_eval.models.api_models import TemplateAPI
    from lm_eval.models.huggingface import HFLM

    methods = {cls: cls.generate_until for cls in (TemplateAPI, HFLM)}
    yield
    for cls, method in methods.items():
        cls.generate_until = method
