from __future__ import annotations

import os
from pathlib import Path

import pytest

_USERS_CACHE = os.environ.get("KFT_CACHE")


@pytest.fixture(scope="session")
def embedded_model() -> Path:
    """The real small model, from the user's own cache; for tests marked ``model``."""
    from kft_tasks.models import model_folder

    with pytest.MonkeyPatch.context() as patch:
        if _USERS_CACHE is None:
            patch.delenv("KFT_CACHE", raising=False)
        else:
            patch.setenv("KFT_CACHE", _USERS_CACHE)
        return model_folder("smollm2-135m")
