"""Exhaustive category files from scripted scores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from kft_tasks.category_file import (
    CategorizedQuestion,
    Header,
    ModelIdentity,
    QuestionsIdentity,
    categorize,
    write_category_file,
)
from kft_tasks.protocol import Protocol
from kft_tasks.questions import Question, digest_questions

RIGHT, WRONG = "yes", "no"

Pattern = tuple[Sequence[int], Sequence[int]]
"""(greedy answer right? one 0 or 1 an exemplar set; right samples, one count an exemplar set)."""


def categorized(name: str, pattern: Pattern, protocol: Protocol, *, type_: str = "t") -> CategorizedQuestion:
    greedy = [RIGHT if right else WRONG for right in pattern[0]]
    sampled = [(RIGHT,) * hits + (WRONG,) * (protocol.samples - hits) for hits in pattern[1]]
    question = Question(name, f"Is it {name}?", (RIGHT,), type_, "test")
    item = categorize(question, protocol, greedy, sampled, [bool(right) for right in pattern[0]], pattern[1])
    assert item is not None
    return item


def write_file(
    path: Path,
    patterns: Mapping[str, Pattern],
    protocol: Protocol,
    *,
    exhaustive: bool = True,
    weights: str = "w" * 64,
) -> Path:
    items = [categorized(name, pattern, protocol) for name, pattern in patterns.items()]
    header = Header(
        kft_version="0.1.0",
        model=ModelIdentity("model", weights, None, "float32"),
        protocol=protocol,
        questions=QuestionsIdentity(
            "list", "1", "test", len(items), digest_questions(item.question for item in items), "e" * 64
        ),
        exhaustive=exhaustive,
        counts=Counter(item.category.value for item in items),
    )
    write_category_file(path, header, items)
    return path
