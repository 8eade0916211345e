"""Exhaustive category files from scripted scores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from kft_tasks.categories.category_file import CategorizedQuestion, Header, SetAnswers, categorize, write_category_file
from kft_tasks.protocol.identity import ModelIdentity, QuestionsIdentity
from kft_tasks.protocol.protocol import Protocol
from kft_tasks.questions import Question, digest_questions

RIGHT, WRONG = "yes", "no"

Pattern = tuple[Sequence[int], Sequence[int]]
"""(1 for a right greedy answer or 0, per exemplar set; number of right samples, per exemplar set)."""


def categorized(name: str, pattern: Pattern, protocol: Protocol, *, type_: str = "t") -> CategorizedQuestion:
    greedy = [RIGHT if right else WRONG for right in pattern[0]]
    sampled = [(RIGHT,) * hits + (WRONG,) * (protocol.samples - hits) for hits in pattern[1]]
    question = Question(name, f"Is it {name}?", (RIGHT,), type_, "test")
    sets = [SetAnswers(*one) for one in zip(greedy, map(bool, pattern[0]), sampled, pattern[1], strict=True)]
    item = categorize(question, protocol, sets)
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
