"""Mutated files through every reader: one clear error or the data, never a traceback, a hang or a full memory."""

from __future__ import annotations

import os

from attacking import MEMORY, fuzz


def test_mutated_files_are_read_or_refused() -> None:
    """``make attack`` runs more of them: KFT_ATTACK_CASES and KFT_ATTACK_SEED."""
    cases, seed = int(os.environ.get("KFT_ATTACK_CASES", "300")), int(os.environ.get("KFT_ATTACK_SEED", "1"))
    result = fuzz(seed, cases)
    assert result["wrong"] == {}
    assert result["peak"] < MEMORY
    assert sum(result["counts"].values()) == cases
    assert min(result["counts"]["read"], result["counts"]["refused"]) > cases // 10  # both are reached
