"""Run folders of an experiment with known numbers of gained and lost answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from report_helpers import H, M, U, W, make_recipe, make_run

TYPES = ("capital", "currency", "river", "language")
EVALUATION = {"shots": [4], "measurement": True, "other_type": False, "first_categories": True}


def make_arm(folder: Path, seed: int, *, gained: int, stages: int) -> Path:
    """24 training and 24 test questions; ``gained`` more right test answers at the last point (fewer, below 0)."""
    tree: dict[str, Any] = {"seed": 3, "evaluation": EVALUATION}
    if stages == 1:
        tree["stages"] = [{"name": "stage1", "mixture": [{"name": "maybe_known", "now": ["MaybeKnown"]}]}]
    recipe = make_recipe(**tree)
    points = ["base", *(stage.name for stage in recipe.stages)]
    base = [(number + seed) % 3 == 0 for number in range(24)]
    wrong = [number for number, right in enumerate(base) if not right][: max(0, gained)]
    lost = [number for number, right in enumerate(base) if right][: max(0, -gained)]
    last = [(right or number in wrong) and number not in lost for number, right in enumerate(base)]
    answers = {point: {4: base if point == "base" else last} for point in points}
    kinds = [H, H, M, M, W, U] * 4
    measurements = {
        point: [4 if kind is H else 2 if kind is M else 1 if at and number % 5 == 0 else 0 for number, kind in enumerate(kinds)]
        for at, point in enumerate(points)
    }  # fmt: skip
    return make_run(
        folder,
        dict.fromkeys(points[:-1], kinds),
        answers,
        recipe=recipe,
        measurements=measurements,
        validation={name: [20, 24] for name in points[1:]},
        types=TYPES,
        first=[H, M, W, U] * 6,
    )
