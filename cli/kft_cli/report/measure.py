"""What is measured in a run, part by part, as JSON values: the sections of ``report.json``."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kft_cli.report.paper import comparable
from kft_cli.report.report_data import CATEGORIES, Detection, RunData, Stage, command_of, question_digest
from kft_cli.stats.intervals import holm, paired_difference, wilson_share
from kft_cli.stats.movement import Matrix, category_shares, is_forgotten, is_upgraded, movement, transition_matrix
from kft_tasks.categories.category import KnowledgeCategory
from kft_tasks.categories.category_file import CategorizedQuestion, CategoryFile
from kft_tasks.evaluation.evaluate import Answered

BELOW = "all below HighlyKnown"
EXAMPLES = 8  # of each kind; more is not read
_SHOWN_CHARACTERS = 300  # of an answer in report.json
_ALPHA = 0.05

Test = Callable[[KnowledgeCategory, KnowledgeCategory], bool]


def describe_run(data: RunData) -> dict[str, Any]:
    """Model, questions, protocol and settings."""
    base, questions = data.detections["base"].header, data.recipe.questions
    validation = data.stages[0].training["epochs"][0]["asked"]
    return {
        "name": data.recipe.name,
        "description": data.recipe.description,
        "points": list(data.points),
        "model": data.recipe.model.id,
        "weights": base.model.weights,
        "dtype": base.model.dtype,
        "question_set": questions.set,
        "question_set_version": base.questions.version,
        "questions": {"train": base.questions.count, "validation": validation, "test": len(_any_answers(data))},
        "protocol": base.protocol.to_json(),
        "validation_shots": data.recipe.evaluation.validation_shots,
        "exhaustive": base.exhaustive,
        "seed": data.recipe.seed,
        "settings": data.recipe.model_dump(mode="json", exclude={"name", "description"}),
    }


def _any_answers(data: RunData) -> list[Answered]:
    return next(iter(data.answers["base"].values()))


def measure_categories(detection: Detection) -> dict[str, Any]:
    """Count, share and interval of each category."""
    return {category.value: share.to_json() for category, share in category_shares(detection.categories).items()}


def _named(matrix: Matrix) -> dict[str, dict[str, int]]:
    return {row.value: {column.value: count for column, count in line.items()} for row, line in matrix.items()}


def measure_transitions(data: RunData) -> list[dict[str, Any]]:
    """All pairs of points; the comparisons with the control are corrected together (Holm)."""
    steps = [_transition(data, before, after) for before, after in data.pairs]
    rows = [row for step in steps if step["against_control"] for row in step["against_control"].values()]
    for row, p in zip(rows, holm([row["mcnemar_p"] for row in rows]), strict=True):
        row["holm_p"] = p
    return steps


def _transition(data: RunData, before: str, after: str) -> dict[str, Any]:
    one, two = data.detections[before].categories, data.detections[after].categories
    matrix = transition_matrix(one, two)
    result: dict[str, Any] = {"before": before, "after": after, "matrix": _named(matrix)}
    result["movement"] = movement(matrix).to_json()
    result["against_control"] = None
    if before == "base" and data.retest is not None:
        result["against_control"] = _against_control(one, two, data.retest.categories)
    return result


def _against_control(
    base: Mapping[str, KnowledgeCategory],
    after: Mapping[str, KnowledgeCategory],
    retest: Mapping[str, KnowledgeCategory],
) -> dict[str, Any]:
    """Paired over the same questions: did training move more of them than asking the base model once more?"""
    highest = KnowledgeCategory.HIGHLY_KNOWN
    could_rise = [id_ for id_, category in base.items() if category is not highest]
    could_be_forgotten = [id_ for id_, category in base.items() if category is highest]

    def compare(ids: Iterable[str], moved: Test) -> dict[str, Any]:
        ids = list(ids)
        by_chance = [moved(base[id_], retest[id_]) for id_ in ids]
        return paired_difference(by_chance, [moved(base[id_], after[id_]) for id_ in ids]).to_json()

    return {"upgraded": compare(could_rise, is_upgraded), "forgotten": compare(could_be_forgotten, is_forgotten)}


def measure_control(data: RunData) -> dict[str, Any] | None:
    """What moves when the base model is detected twice, or None where it was not."""
    if data.retest is None:
        return None
    matrix = transition_matrix(data.detections["base"].categories, data.retest.categories)
    protocol, again = data.detections["base"].header.protocol.to_json(), data.retest.header.protocol.to_json()
    return {
        "matrix": _named(matrix),
        "movement": movement(matrix).to_json(),
        "shares": measure_categories(data.retest),
        "seed": again["seed"],
        "same_seed": again["seed"] == protocol["seed"],
        "other_settings": sorted(key for key in protocol if key != "seed" and protocol[key] != again[key]),
    }


def measure_test(data: RunData) -> dict[str, Any]:
    """Test accuracy at each point and every paired change, overall, by first category and by type."""
    answers = _any_answers(data)
    accuracy = [
        {
            "point": point,
            "shots": shots,
            **wilson_share(sum(item.right for item in items), len(items)).to_json(),
            "right": "".join("1" if item.right else "0" for item in items),
        }
        for shots in data.recipe.evaluation.shots
        for point, items in ((point, data.answers[point][shots]) for point in data.points)
    ]
    categories = {} if data.first_categories is None else data.first_categories.categories
    by_category = _groups(data, lambda item: categories.get(item.id), list(KnowledgeCategory))
    return {
        "n": len(answers),
        "digest": question_digest(answers),
        "shots": list(data.recipe.evaluation.shots),
        "accuracy": accuracy,
        "differences": _differences(data),
        "by_category": by_category if data.first_categories else None,
        "by_type": _groups(data, lambda item: item.type, sorted({item.type for item in answers})),
    }


def _differences(data: RunData) -> list[dict[str, Any]]:
    rows = []
    for shots in data.recipe.evaluation.shots:
        for before, after in data.pairs:
            one, two = data.answers[before][shots], data.answers[after][shots]
            values = paired_difference([item.right for item in one], [item.right for item in two]).to_json()
            rows.append({"shots": shots, "before": before, "after": after, **values})
    return _holm_rows(rows)


def _holm_rows(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    corrected = holm([row["mcnemar_p"] for row in rows])
    return [{**row, "holm_p": p} for row, p in zip(rows, corrected, strict=True)]


def _groups(data: RunData, group_of: Callable[[Answered], Any], names: Sequence[Any]) -> list[dict[str, Any]]:
    """Accuracy at each point and the change from first to last, by group of test questions; empty groups left out."""
    rows = []
    for shots in data.recipe.evaluation.shots:
        for name in names:
            right = {
                point: [item.right for item in data.answers[point][shots] if group_of(item) == name]
                for point in data.points
            }
            first, last = right[data.points[0]], right[data.points[-1]]
            if first:
                shares = {point: wilson_share(sum(each), len(each)).to_json() for point, each in right.items()}
                values = paired_difference(first, last).to_json()
                rows.append({"group": str(name), "shots": shots, "accuracy": shares, **values})
    return _holm_rows(rows)


def measure_verdict(data: RunData, test: Mapping[str, Any]) -> dict[str, Any]:
    """What a reader wants to know first. "clear": Holm-corrected p under 0.05 and an interval without 0."""
    last = [row for row in test["differences"] if (row["before"], row["after"]) == ("base", data.points[-1])]
    first_log, last_log = data.stages[0].training, data.stages[-1].training
    start = first_log["epochs"][0]
    chosen = _chosen(last_log)
    return {
        "test": [{"shots": row["shots"], "outcome": _outcome(row)} for row in last],
        "validation": {
            "before": wilson_share(start["right"], start["asked"]).to_json(),
            "after": wilson_share(chosen["right"], chosen["asked"]).to_json(),
        },
    }


def _outcome(row: Mapping[str, Any]) -> str:
    clear = row["holm_p"] < _ALPHA and row["low"] is not None and (row["low"] > 0 or row["high"] < 0)
    if not clear:
        return "no clear change"
    return "rose" if row["difference"] > 0 else "fell"


def _chosen(training: Mapping[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = next(row for row in training["epochs"] if row["epoch"] == training["chosen_epoch"])
    return row


def describe_stage(data: RunData, stage: Stage) -> dict[str, Any]:
    """What a stage trained on, why, and how its epochs did in validation."""
    reasons: dict[str, Counter[str]] = {part.name: Counter() for part in stage.mixture.parts}
    for item in stage.mixture.items:
        reasons[item.part][item.reason] += 1
    settings = next(one for one in data.recipe.stages if one.name == stage.name)
    scorer = data.detections["base"].header.protocol.scorer
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
    """Upgrades and forgetting among questions that were trained on and those that were not, by category before."""
    mixtures = {stage.name: {item.question.id for item in stage.mixture.items} for stage in data.stages}
    spans = [(stage.before, stage.after, mixtures[stage.name]) for stage in data.stages]
    if len(spans) > 1:
        spans.append(("base", data.points[-1], set().union(*mixtures.values())))
    return [
        {"before": before, "after": after, "rows": _trained_rows(data, before, after, trained)}
        for before, after, trained in spans
    ]


def _trained_rows(data: RunData, before: str, after: str, trained: set[str]) -> list[dict[str, Any]]:
    one, two = data.detections[before].categories, data.detections[after].categories
    retest = data.retest.categories if data.retest is not None and before == "base" else None
    groups = {category.value: [category] for category in KnowledgeCategory}
    groups[BELOW] = [category for category in KnowledgeCategory if category is not KnowledgeCategory.HIGHLY_KNOWN]
    rows: list[dict[str, Any]] = []
    for inside in (True, False):
        for name, members in groups.items():
            ids = [id_ for id_, own in one.items() if own in members and (id_ in trained) is inside]
            if not ids or (name == BELOW and rows and rows[-1]["share"]["n"] == len(ids)):
                continue  # nothing there, or the same as the one category that is there
            highest = name == KnowledgeCategory.HIGHLY_KNOWN.value
            moved: Test = is_forgotten if highest else is_upgraded
            row: dict[str, Any] = {"trained": inside, "category": name}
            row["movement"] = "forgotten" if highest else "upgraded"
            by_training = [moved(one[id_], two[id_]) for id_ in ids]
            row["share"] = wilson_share(sum(by_training), len(ids)).to_json()
            row["control"] = row["against_control"] = None
            if retest is not None:
                by_chance = [moved(one[id_], retest[id_]) for id_ in ids]
                row["control"] = wilson_share(sum(by_chance), len(ids)).to_json()
                row["against_control"] = paired_difference(by_chance, by_training).to_json()
            rows.append(row)
    return rows


def draw_examples(data: RunData) -> dict[str, Any]:
    """Upgraded and forgotten questions between first and last point, drawn by a hash of the id: nobody picked them."""
    before, after = data.points[0], data.points[-1]
    one, two = data.detections[before].categories, data.detections[after].categories
    trained = {stage.name: {item.question.id for item in stage.mixture.items} for stage in data.stages}
    result: dict[str, Any] = {"before": before, "after": after}
    for name, moved in (("upgraded", is_upgraded), ("forgotten", is_forgotten)):
        ids = [id_ for id_, category in one.items() if moved(category, two[id_])]
        drawn = sorted(ids, key=lambda id_: hashlib.blake2b(f"example|{id_}".encode()).digest())[:EXAMPLES]
        old, new = (_items(data.folder / f"detect-{point}" / CATEGORIES, drawn) for point in (before, after))
        shown = [
            {**_example(old[id_], new[id_]), "trained_in": [stage for stage, known in trained.items() if id_ in known]}
            for id_ in drawn
        ]
        result[name] = {"n": len(ids), "shown": shown}
    return result


def _items(path: Path, ids: Iterable[str]) -> dict[str, CategorizedQuestion]:
    wanted = set(ids)
    return {item.question.id: item for item in CategoryFile(path) if item.question.id in wanted}


def _example(before: CategorizedQuestion, after: CategorizedQuestion) -> dict[str, Any]:
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
            }
            for name, item in (("before", before), ("after", after))
        },
    }


def _given(item: CategorizedQuestion) -> list[dict[str, Any]]:
    """Greedy answers given, most frequent first, with how often."""
    counts = Counter(_clean(given) for given in item.greedy_answers if given is not None)
    return [{"answer": answer, "times": times} for answer, times in counts.most_common(5)]


def _clean(text: str) -> str:
    """Cut to a readable length; half a surrogate pair, which no file can hold, becomes a question mark."""
    return text[:_SHOWN_CHARACTERS].encode("utf-8", "replace").decode("utf-8")


def measure_cost(data: RunData) -> dict[str, Any]:
    """Seconds, tokens and generations of every step, and their sums."""
    rows = [
        {
            "step": step["step"],
            "seconds": step["seconds"],
            "cpu_seconds": step.get("cpu_seconds"),
            **{key: (step.get("tokens") or {}).get(key) for key in ("prefilled", "decoded", "trained")},
            **{key: (step.get("generations") or {}).get(key) for key in ("made", "saved")},
        }
        for step in data.steps
    ]
    total = {key: sum(row[key] or 0 for row in rows) for key in rows[0] if key != "step"}
    return {"steps": rows, "total": total}


def describe_repetition(data: RunData) -> dict[str, Any]:
    """Command, versions, hardware, seeds, digests and the resolved recipe."""
    base = data.detections["base"].header
    seeds = {"recipe": data.recipe.seed, "protocol": base.protocol.seed}
    if data.retest is not None:
        seeds["retest of the base model"] = data.retest.header.protocol.seed
    adapters = {f"adapter after {point}": data.detections[point].header.model.adapter for point in data.points[1:]}
    return {
        "command": command_of(data.about),
        "kft_version": data.about.get("kft_version"),
        "created": data.about.get("created"),
        "versions": data.about.get("versions") or {},
        "hardware": data.about.get("hardware") or {},
        "seeds": seeds,
        "digests": {
            "recipe": data.recipe.digest(),
            "model weights": base.model.weights,
            **adapters,
            "protocol": base.protocol.digest(),
            "training questions": base.questions.digest,
            "exemplars": base.questions.exemplars,
            "test questions": question_digest(_any_answers(data)),
        },
        "files": data.digests,
        "recipe": data.recipe_text,
    }


def measure_comparable(data: RunData, transitions: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the run and the paper have in common, see :mod:`kft_cli.report.paper`."""
    counts = Counter(category.value for category in data.detections["base"].categories.values())
    chain = transitions[: len(data.stages)]
    return comparable(data.recipe.name, {c.value: counts[c.value] for c in KnowledgeCategory}, chain)


def rounded(value: Any) -> Any:
    """Six significant digits: what is beyond differs between machines and means nothing."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {str(key): rounded(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(item) for item in value]
    return value
