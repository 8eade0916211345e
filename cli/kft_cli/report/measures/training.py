"""What the stages trained on, and what that did to trained and untrained questions."""

from __future__ import annotations

from collections import Counter
from typing import Any

from kft_cli.report.measures.mastery import Moved, told_categories
from kft_cli.report.measures.measured import BELOW
from kft_cli.report.run_data import RunData, Stage
from kft_cli.stats.intervals import wilson_share
from kft_cli.stats.movement import is_forgotten, is_upgraded
from kft_tasks.categories.category import KnowledgeCategory


def describe_stage(data: RunData, stage: Stage) -> dict[str, Any]:
    """What a stage trained on, why, and how each epoch did in validation."""
    reasons: dict[str, Counter[str]] = {part.name: Counter() for part in stage.mixture.parts}
    for item in stage.mixture.items:
        reasons[item.part][item.reason] += 1
    settings = next(one for one in data.recipe.stages if one.name == stage.name)
    scorer = data.base.header.protocol.scorer
    return {
        "name": stage.name,
        "before": stage.before,
        "settings": settings.model_dump(mode="json"),
        "questions": len(stage.mixture.items),
        "parts": [
            {
                "name": part.name,
                "available": part.available,
                "taken": part.taken,
                "reasons": dict(sorted(reasons[part.name].items(), key=lambda pair: (-pair[1], pair[0]))),
            }
            for part in stage.mixture.parts
        ],
        "scorer": scorer,
        "epochs": [
            {
                **{key: row.get(key) for key in ("epoch", "loss", "validation_loss")},
                **wilson_share(row["right"], row["asked"]).to_json(),
            }
            for row in stage.training["epochs"]
        ],
        "chosen_epoch": stage.training["chosen_epoch"],
        "better_than_start": stage.training["better_than_start"],
        "stopped_early": stage.training.get("stopped_early"),
        "training_cost": stage.training["cost"],
    }


def measure_trained(data: RunData) -> list[dict[str, Any]]:
    """Upgraded and forgotten questions among those trained on and those not, by category before, stage by stage.

    There is no span over several stages: a later stage trains on questions because they rose in an earlier one. Nothing
    is told where every point was measured: :func:`kft_cli.report.measures.measured.measure_measured` tells it better,
    because there the detection that groups a question is not the one that its change starts from.
    """
    if data.measured:
        return []
    return [{"before": stage.before, "after": stage.after, "rows": _trained_rows(data, stage)} for stage in data.stages]


def _trained_rows(data: RunData, stage: Stage) -> list[dict[str, Any]]:
    one, two = (told_categories(data, data.told[point]) for point in (stage.before, stage.after))
    trained = {item.question.id for item in stage.mixture.items}
    groups = {category.value: [category] for category in KnowledgeCategory}
    groups[BELOW] = [category for category in KnowledgeCategory if category is not KnowledgeCategory.HIGHLY_KNOWN]
    rows: list[dict[str, Any]] = []
    for inside in (True, False):
        for name, members in groups.items():
            ids = [id_ for id_, own in one.items() if own in members and (id_ in trained) is inside]
            if not ids or (name == BELOW and rows and rows[-1]["share"]["n"] == len(ids)):
                continue  # empty, or the same questions as the only category below HighlyKnown
            highest = name == KnowledgeCategory.HIGHLY_KNOWN.value
            moved: Moved = is_forgotten if highest else is_upgraded
            share = wilson_share(sum(moved(one[id_], two[id_]) for id_ in ids), len(ids))
            what = "forgotten" if highest else "upgraded"
            rows.append({"trained": inside, "category": name, "movement": what, "share": share.to_json()})
    return rows
