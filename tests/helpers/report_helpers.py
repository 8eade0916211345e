"""Run folders made in code with kft's own writers: small ones with exact counts, and one large enough to look at."""

from __future__ import annotations

import random
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kft_tasks.categories.category import KnowledgeCategory, Tally
from kft_tasks.categories.category_file import CategorizedQuestion, Header, write_category_file
from kft_tasks.evaluation.evaluate import Answered, write_answers
from kft_tasks.files import write_json
from kft_tasks.protocol.identity import ModelIdentity, QuestionsIdentity
from kft_tasks.protocol.protocol import Protocol
from kft_tasks.questions import Question, digest_questions
from kft_train.data.mixture import build_mixture, write_mixture
from kft_train.recipes.recipe import Recipe, parse_recipe

H, M, W, U = KnowledgeCategory
PROTOCOL = {"exemplar_sets": 4, "shots": 4, "samples": 8}
WEIGHTS = "ab" * 32


def make_recipe(**changes: Any) -> Recipe:
    tree: dict[str, Any] = {
        "name": "tiny",
        "description": "two stages on synthetic questions",
        "seed": 3,
        "model": {"id": "tiny-model"},
        "questions": {"set": "worldfacts"},
        "protocol": dict(PROTOCOL),
        "stages": [
            {"name": "stage1", "mixture": [{"name": "maybe_known", "now": ["MaybeKnown"]}]},
            {
                "name": "stage2",
                "mixture": [
                    {"name": "still_maybe_known", "before": ["MaybeKnown"], "now": ["MaybeKnown"]},
                    {"name": "upgraded", "before": ["WeaklyKnown", "Unknown"], "now": ["MaybeKnown"]},
                    {"name": "replay", "now": ["HighlyKnown"], "ratio": 0.2},
                ],
            },
        ],
        "evaluation": {"shots": [4, 0], "measurement": False, "other_type": False},
    }
    return parse_recipe({**tree, **changes}, "test")


def make_question(number: int, split: str = "train", type_: str = "capital") -> Question:
    return Question(f"{split}-{number:04d}", f"What is {split} fact {number}?", (f"gold {number}",), type_, split)


def categorized(question: Question, category: KnowledgeCategory, wrong: str = "wrong") -> CategorizedQuestion:
    """A question with the answers that give it this category under ``PROTOCOL``, asked lazily."""
    right = question.answers[0]
    greedy: dict[KnowledgeCategory, list[str | None]] = {
        H: [right] * 4,
        M: [right, wrong, None, None],
        W: [wrong] * 4,
        U: [wrong] * 4,
    }
    tallies = {H: Tally(4, 4), M: Tally(1, 2), W: Tally(0, 4), U: Tally(0, 4)}
    sampled: tuple[tuple[str, ...] | None, ...] = (None,) * 4
    tally = Tally()
    if category is W:
        sampled, tally = ((right, *[wrong] * 7), None, None, None), Tally(1, 8)
    if category is U:
        sampled, tally = ((wrong,) * 8,) * 4, Tally(0, 32)
    return CategorizedQuestion(question, category, tallies[category], tally, tuple(greedy[category]), sampled)


def measured(question: Question, right: int) -> CategorizedQuestion:
    """A question of which ``right`` of four greedy answers are right, all asked, and none sampled."""
    category = {0: U, 4: H}.get(right, M)
    given = [question.answers[0]] * right + ["wrong"] * (4 - right)
    return CategorizedQuestion(question, category, Tally(right, 4), Tally(), tuple(given), (None,) * 4)


def write_detection(
    folder: Path,
    items: Sequence[CategorizedQuestion],
    *,
    adapter: str | None = None,
    seed: int = 3,
    split: str = "train",
    samples: int = 8,
) -> None:
    questions = [item.question for item in items]
    counts: dict[str, int] = {}
    for item in items:
        counts[item.category.value] = counts.get(item.category.value, 0) + 1
    identity = QuestionsIdentity("worldfacts", "1", split, len(items), digest_questions(questions), "ee" * 32)
    protocol = Protocol.from_mapping({**PROTOCOL, "seed": seed, "samples": samples})
    header = Header(
        "0.1.0", ModelIdentity("tiny-model", WEIGHTS, adapter, "float32"), protocol, identity, False, counts
    )
    write_category_file(folder / "categories.jsonl", header, items)


def write_step(folder: Path, seconds: float, made: int = 0, saved: int = 0, trained: int = 0) -> None:
    tokens = {"trained": trained} if trained else {"prefilled": 10 * made, "decoded": 3 * made}
    step = {"step": folder.name, "inputs": "00", "finished": "2025-01-01T00:00:00+00:00", "seconds": seconds}
    step |= {"cpu_seconds": 1.9 * seconds, "tokens": tokens, "generations": {"made": made, "saved": saved}}
    write_json(folder / "step.json", step)


def write_training(folder: Path, right: Sequence[int], asked: int, scorer: str = "exact_match") -> None:
    """``right`` of each epoch, from epoch 0 on."""
    best = max(range(1, len(right)), key=lambda epoch: (right[epoch], -epoch))
    epochs = [
        {
            "epoch": epoch,
            "step": 10 * epoch,
            "loss": 2.0 / epoch if epoch else None,
            "validation_loss": 3.0 - 0.1 * epoch,
            scorer: count / asked,
            "right": count,
            "asked": asked,
        }
        for epoch, count in enumerate(right)
    ]
    summary: dict[str, Any] = {"format": "kft-training/1", "epochs": epochs, "chosen_epoch": best}
    summary |= {"better_than_start": right[best] > right[0], "stopped_early": len(right) < 6}
    summary["cost"] = {"steps": 10, "input_tokens": 5000, "loss_tokens": 800, "seconds": 61.0}
    write_json(folder / "training.json", summary)


def answered(
    number: int, shots: int, right: bool | None, type_: str = "capital", exemplar_set: int = 0, *, other: bool = False
) -> Answered:
    """``right`` is None for an answer of nothing but spaces."""
    question = make_question(number, "test", type_)
    given = {True: question.answers[0], False: "wrong", None: " \n"}[right]
    return Answered(
        id=question.id,
        type=type_,
        question=question.question,
        answers=question.answers,
        shots=shots,
        given=given,
        right=bool(right),
        exemplar_set=exemplar_set,
        other_type=other,
    )


Right = bool | None
Answers = Sequence[Right | Sequence[Right]]
"""Right, wrong or empty by question, or for each exemplar set."""


def _answer_lines(rights: Answers, shots: int, types: Sequence[str], *, other: bool = False) -> list[Answered]:
    return [
        answered(number, shots, each, types[number % len(types)], index, other=other)
        for number, right in enumerate(rights)
        for index, each in enumerate(right if isinstance(right, Sequence) else [right])
    ]


Categories = Sequence[KnowledgeCategory]


def make_run(
    folder: Path,
    detections: Mapping[str, Categories],
    answers: Mapping[str, Mapping[int, Answers]],
    *,
    measurements: Mapping[str, Sequence[int]] | None = None,
    others: Mapping[str, Answers] | None = None,
    retest: Categories | None = None,
    first: Categories | None = None,
    wrong: str = "wrong",
    validation: Mapping[str, Sequence[int]] | None = None,
    asked: int = 50,
    recipe: Recipe | None = None,
    types: Sequence[str] = ("capital",),
) -> Path:
    """Write a whole run folder; lists are in the order of question numbers.

    Args:
        detections: categories by point; not of the last point where there are measurements.
        measurements: right greedy answers out of four, by point (controls included).
        others: test answers with exemplars of another type, by point.
        retest: categories of the base model asked again, as runs of older versions have them.
    """
    recipe = recipe or make_recipe(
        evaluation={
            "shots": list(next(iter(answers.values()))),
            "measurement": measurements is not None,
            "other_type": others is not None,
            "control": any("-continued" in point for point in answers),
        }
    )
    points = ["base", *(stage.name for stage in recipe.stages)]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "recipe.yaml").write_text(recipe.to_yaml(), encoding="utf-8")
    about: dict[str, Any] = {"kft_version": "0.1.0", "recipe": recipe.name, "recipe_digest": recipe.digest()}
    about |= {"command": ["kft", "run", "tiny.yaml", "--output", "runs/tiny"], "points": points}
    about |= {"versions": {"python": "3.11", "torch": "2.13.0"}, "stages": points[1:]}
    about["hardware"] = {"cpu": "Test CPU", "cores": 2, "memory_gb": 8.0, "accelerator": None, "platform": "Linux"}
    write_json(folder / "run.json", about)
    items = {}
    for index, point in enumerate(points):
        if point not in detections:
            continue
        items[point] = [
            categorized(make_question(number, type_=types[number % len(types)]), category, wrong)
            for number, category in enumerate(detections[point])
        ]
        write_detection(folder / f"detect-{point}", items[point], adapter=f"{index:02d}" * 32 if index else None)
        write_step(folder / f"detect-{point}", 10.0 + index, made=100, saved=900)
    for point in answers:
        lines = [
            line for shots in recipe.evaluation.shots for line in _answer_lines(answers[point][shots], shots, types)
        ]
        lines += _answer_lines(others[point], max(recipe.evaluation.shots), types, other=True) if others else []
        write_answers(folder / f"evaluate-{point}" / "answers.jsonl", lines)
        write_step(folder / f"evaluate-{point}", 5.0, made=len(lines))
    for point, rights in (measurements or {}).items():
        asked_again = [measured(make_question(i, type_=types[i % len(types)]), right) for i, right in enumerate(rights)]
        adapter = f"{points.index(point):02d}" * 32 if point in points[1:] else None if point == "base" else "cc" * 32
        write_detection(folder / f"measure-{point}", asked_again, adapter=adapter, seed=10_003, samples=0)
        write_step(folder / f"measure-{point}", 8.0, made=4 * len(rights))
    for earlier in points[1:-1]:
        if recipe.evaluation.control:
            write_training(folder / f"{earlier}-continued", [26, 27, 25], asked)
            write_mixture(
                folder / f"{earlier}-continued" / "mixture.jsonl",
                build_mixture(recipe.stages[0].mixture, items["base"], None, 3),
            )
            write_step(folder / f"{earlier}-continued", 60.0, trained=5000)
    for index, stage in enumerate(recipe.stages):
        earlier = {item.question.id: item.category for item in items[points[index - 1]]} if index else None
        write_mixture(
            folder / stage.name / "mixture.jsonl", build_mixture(stage.mixture, items[points[index]], earlier, 3)
        )
        right = (validation or {"stage1": [20, 24, 26, 25], "stage2": [26, 26, 25]})[stage.name]
        write_training(folder / stage.name, right, asked)
        write_step(folder / stage.name, 61.0, trained=5000)
    if retest is not None:
        again = [
            categorized(make_question(number, type_=types[number % len(types)]), category)
            for number, category in enumerate(retest)
        ]
        write_detection(folder / "retest-base", again, seed=4)
        write_step(folder / "retest-base", 9.0, made=110, saved=890)
    if first is not None:
        known = [
            categorized(make_question(number, "test", types[number % len(types)]), category)
            for number, category in enumerate(first)
        ]
        write_detection(folder / "test-categories", known, split="test")
        write_step(folder / "test-categories", 4.0, made=50, saved=50)
    return folder


def small_run(folder: Path, **changes: Any) -> Path:
    """Ten training questions and eight test questions, with counts that can be checked by hand."""
    detections = {
        #          0  1  2  3  4  5  6  7  8  9
        "base": [H, H, H, M, M, M, W, W, U, U],
        "stage1": [H, H, M, H, H, M, M, W, W, U],
        "stage2": [H, M, W, H, H, H, M, M, W, U],
    }
    answers = {
        "base": {4: [True] * 4 + [False] * 4, 0: [True] * 2 + [False] * 6},
        "stage1": {4: [True] * 5 + [False] * 3, 0: [True] * 3 + [False] * 5},
        "stage2": {4: [False] + [True] * 6 + [False], 0: [True] * 2 + [False] * 6},
    }
    given: dict[str, Any] = {"retest": [H, H, M, H, M, W, W, M, U, U], "first": [H, H, M, M, M, W, U, U]}
    return make_run(folder, detections, answers, **{**given, **changes})


_RISE = {
    H: ((H, 88), (M, 10), (W, 1), (U, 1)),
    M: ((H, 50), (M, 38), (W, 8), (U, 4)),
    W: ((H, 8), (M, 30), (W, 44), (U, 18)),
    U: ((H, 2), (M, 10), (W, 18), (U, 70)),
}
_NOISE = {
    H: ((H, 90), (M, 9), (W, 1)),
    M: ((H, 12), (M, 74), (W, 9), (U, 5)),
    W: ((M, 18), (W, 56), (U, 26)),
    U: ((M, 5), (W, 15), (U, 80)),
}


def large_run(folder: Path, seed: int = 0, **changes: Any) -> Path:
    """500 training and 250 test questions that behave like a real run."""
    rng = random.Random(seed)
    base = rng.choices([H, M, W, U], [33, 30, 14, 23], k=500)

    def move(categories: Categories, by: Mapping[Any, Any]) -> list[KnowledgeCategory]:
        return [rng.choices(*zip(*by[category], strict=True))[0] for category in categories]

    stage1 = move(base, _RISE)
    known = rng.choices([H, M, W, U], [33, 30, 14, 23], k=250)
    chance = {H: 0.99, M: 0.5, W: 0.05, U: 0.01}

    def test(rise: float) -> list[bool]:
        return [rng.random() < min(0.98, chance[category] + rise * (category is not H)) for category in known]

    answers = {
        point: {4: test(rise), 0: test(rise - 0.1)}
        for point, rise in (("base", 0.0), ("stage1", 0.1), ("stage2", 0.15))
    }
    detections = {"base": base, "stage1": stage1, "stage2": move(stage1, _NOISE)}
    types = ("capital_of_country", "country_of_city", "symbol_of_element", "currency_of_country", "state_of_city")
    given: dict[str, Any] = {"retest": move(base, _NOISE), "first": known, "types": types}
    given |= {"validation": {"stage1": [50, 58, 63, 61, 60], "stage2": [63, 64, 62, 62]}, "asked": 120}
    return make_run(folder, detections, answers, **{**given, **changes})


NULL_TYPES = tuple(f"type_{number:02d}" for number in range(21))


def null_run(
    folder: Path, seed: int = 0, *, train: int = 300, flips: float = 0.0, empty: bool = False, **changes: Any
) -> Path:
    """A run whose training changes nothing, with 210 test questions of 21 types.

    Args:
        folder: where to write it.
        train: number of training questions.
        seed: of everything drawn.
        flips: share of test answers drawn again at each point; 0 asks an unchanged model the same prompts again.
        empty: whether the base model's answers without exemplars are empty, as all later ones are then.
        changes: other arguments of :func:`make_run`.
    """
    rng = random.Random(seed)
    base = rng.choices([H, M, W, U], [30, 17, 9, 44], k=train)
    known = rng.choices([H, M, W, U], [30, 17, 9, 44], k=210)
    chance = {H: 1.0, M: 0.5, W: 0.0, U: 0.0}
    right = {4: [rng.random() < chance[category] for category in known]}
    right[0] = [one and rng.random() < 0.5 for one in right[4]]

    def asked(shots: int) -> list[bool | None]:
        if empty and shots == 0:
            return [None] * len(known)
        return [rng.random() < 0.4 if rng.random() < flips else one for one in right[shots]]

    answers = {point: {shots: asked(shots) for shots in (4, 0)} for point in ("base", "stage1", "stage2")}
    again = [rng.choices(*zip(*_NOISE[category], strict=True))[0] for category in base]
    given: dict[str, Any] = {"retest": again, "first": known, "types": NULL_TYPES, "asked": 80}
    given |= {"validation": {"stage1": [24, 23, 26, 25], "stage2": [26, 25, 27, 24]}}  # the best of several rises
    return make_run(folder, dict.fromkeys(answers, base), answers, **{**given, **changes})


if __name__ == "__main__":
    from kft_cli.report.report import write_report

    print(write_report(large_run(Path(sys.argv[1]))))
