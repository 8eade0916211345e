"""Examples of questions that moved."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from kft_cli.report.measures.mastery import told_categories
from kft_cli.report.run_data import RunData
from kft_cli.stats.movement import is_forgotten, is_upgraded
from kft_tasks.categories.category_file import CategorizedQuestion, CategoryFile
from kft_tasks.hashing import keyed_digest
from kft_tasks.scoring.explanation import explain

EXAMPLES = 8  # of each kind; nobody reads more
_SHOWN_CHARACTERS = 300  # of a text in report.json


def draw_examples(data: RunData) -> dict[str, Any]:
    """Questions upgraded or forgotten from first to last point, drawn by a hash of their id: nobody picks them."""
    before, after = data.points[0], data.points[-1]
    one, two = (told_categories(data, data.told[point]) for point in (before, after))
    trained = {stage.name: {item.question.id for item in stage.mixture.items} for stage in data.stages}
    result: dict[str, Any] = {"before": before, "after": after}
    for name, moved in (("upgraded", is_upgraded), ("forgotten", is_forgotten)):
        ids = [id_ for id_, category in one.items() if moved(category, two[id_])]
        drawn = sorted(ids, key=lambda id_: keyed_digest("example", id_, size=64))[:EXAMPLES]
        old, new = (_items(data.told[point].path, drawn) for point in (before, after))
        rules = [data.told[point].header.protocol.scorer for point in (before, after)]
        shown = [
            {
                **_example(old[id_], new[id_], rules),
                "trained_in": [stage for stage, known in trained.items() if id_ in known],
            }
            for id_ in drawn
        ]
        result[name] = {"n": len(ids), "shown": shown}
    return result


def _items(path: Path, ids: Iterable[str]) -> dict[str, CategorizedQuestion]:
    wanted = set(ids)
    return {item.question.id: item for item in CategoryFile(path) if item.question.id in wanted}


def _example(before: CategorizedQuestion, after: CategorizedQuestion, rules: Sequence[str]) -> dict[str, Any]:
    question = before.question
    return {
        "id": question.id,
        "type": question.type,
        "question": _clean(question.question),
        "answers": [_clean(answer) for answer in question.answers],
        **{
            name: {
                "category": item.category.value,
                "greedy": {"right": item.greedy.right, "asked": item.greedy.asked},
                "given": _given(item),
                **_why(item, rule),
            }
            for name, item, rule in zip(("before", "after"), (before, after), rules, strict=True)
        },
    }


def _given(item: CategorizedQuestion) -> list[dict[str, Any]]:
    """Greedy answers, most frequent first, and how often each was given."""
    counts = Counter(_clean(given) for given in item.greedy_answers if given is not None)
    return [{"answer": answer, "times": times} for answer, times in counts.most_common(5)]


def _why(item: CategorizedQuestion, rule: str) -> dict[str, Any]:
    """Why the rule of this version finds the most frequent greedy answer right or wrong; nothing if none was given."""
    counts = Counter(given for given in item.greedy_answers if given is not None)
    if not counts:
        return {}
    answer = counts.most_common(1)[0][0]
    found = explain(rule, answer, item.question.answers, item.question.question)
    texts = {"answer": answer, "rule": found.rule, "words": found.words}
    return {"why": {"right": found.verdict, **{key: _clean(text) for key, text in texts.items()}}}


def _clean(text: str) -> str:
    """Cut to a readable length; a lone surrogate, which UTF-8 cannot encode, becomes a question mark."""
    return text[:_SHOWN_CHARACTERS].encode("utf-8", "replace").decode("utf-8")
