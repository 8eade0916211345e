from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from kft_tasks.question_sets.info import check_options
from kft_tasks.question_sets.loaders.entityquestions import INFO, EntityQuestions
from kft_tasks.questions import SPLITS, Question

SHARED = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture(autouse=True)
def no_data_and_no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every test starts without local data, with an empty cache, and cannot reach a network."""
    import huggingface_hub

    from kft_tasks.question_sets.registry import SETS

    for name in ("KFT_DATA", *(info.env for info in SETS.values())):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KFT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def refuse(*args: object, **kwargs: object) -> str:
        raise OSError("no network in tests")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)


@dataclass
class Tally:
    """What came out of the real EntityQuestions, read once for all tests."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    texts: dict[str, set[str]] = field(default_factory=dict)
    ids: set[str] = field(default_factory=set)
    odd: list[Question] = field(default_factory=list)
    multiple: dict[str, int] = field(default_factory=dict)

    def of(self, *splits: str) -> int:
        return sum(count for (split, _), count in self.counts.items() if split in splits)


@pytest.fixture(scope="session")
def entityquestions() -> Tally:
    folder = SHARED / "entityquestions"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not here")
    questions = EntityQuestions(folder, check_options(INFO, {}))
    tally = Tally()
    for split in SPLITS:
        texts = tally.texts.setdefault(split, set())
        for question in questions.split(split):
            tally.counts[split, question.type] += 1
            tally.ids.add(question.id)
            texts.add(question.type + question.question)
            if not question.subject or len(question.answers) != 1:
                tally.odd.append(question)
        tally.multiple[split] = questions.dropped[split]["more than one answer"]
    return tally
