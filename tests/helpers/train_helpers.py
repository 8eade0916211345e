"""Requests for tiny stages; also a program that a test can kill: ``python train_helpers.py FOLDER SPEC``."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from kft_tasks.categories.category import KnowledgeCategory
from kft_tasks.protocol.protocol import Protocol
from kft_tasks.questions import Question
from kft_train.data.mixture import Mixture, MixtureItem, PartCount
from kft_train.data.rows import ValidationPrompt
from kft_train.recipes.recipe import AdapterConfig, StageConfig
from kft_train.stage.request import StageRequest
from kft_train.stage.train import train_stage

MAYBE = KnowledgeCategory.MAYBE_KNOWN
WORDS = ["ash", "birch", "cedar", "elm", "fir", "hazel", "larch", "maple", "oak", "pine", "rowan", "yew"]


def make_question(number: int, split: str = "train") -> Question:
    """A question about a tree; validation asks in other words, since it must not repeat what is trained."""
    text = f"Name tree {number}?" if split == "validation" else f"Tree {number}?"
    return Question(f"{split}-{number}", text, (WORDS[number % len(WORDS)],), "tree", split)


def make_mixture(count: int = 20) -> Mixture:
    items = tuple(MixtureItem(make_question(i), "all", "MaybeKnown now", MAYBE) for i in range(count))
    return Mixture(items, (PartCount("all", count, count),), 0)


def make_stage(**changes: Any) -> StageConfig:
    values = {
        "name": "stage1",
        "mixture": [{"name": "all"}],
        "start": "new",
        "num_train_epochs": 3,
        "learning_rate": 1e-2,
        "per_device_train_batch_size": 4,
        "save_steps": 2,
        "patience": None,
    }
    return StageConfig.model_validate({**values, **changes})


def make_request(model: Path, folder: Path, *, count: int = 20, **changes: Any) -> StageRequest:
    fields = {key: changes.pop(key) for key in ("previous", "output", "adapter", "protocol") if key in changes}
    shots = (make_question(1, "exemplars"),)
    prompts = tuple(ValidationPrompt(make_question(i, "validation"), shots if i % 2 else ()) for i in range(6))
    values: dict[str, Any] = {
        "stage": make_stage(**changes),
        "adapter": AdapterConfig(r=4, lora_alpha=8, lora_dropout=0.1),
        "protocol": Protocol(max_tokens=4, shots=1),
        "seed": 5,
        "model": str(model),
        "mixture": make_mixture(count),
        "validation": prompts,
        "work": folder / "work",
        "output": folder / "stage1",
    }
    return StageRequest(**{**values, **fields})


def main() -> None:
    """Train the stage of ``FOLDER`` slowly enough to be killed; print each step."""
    folder, spec = Path(sys.argv[1]), json.loads(sys.argv[2])
    pause = spec.pop("pause", 0.0)
    fields = {key: Path(spec.pop(key)) for key in ("previous",) if key in spec}

    def report(done: int, total: int, note: str) -> None:
        print(done, note, flush=True)
        time.sleep(pause)

    train_stage(make_request(Path(spec.pop("model")), folder, **fields, **spec), report)


if __name__ == "__main__":
    main()
