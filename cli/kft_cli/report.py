"""The report of a run: everything measured, as JSON values; and the folder with its Markdown and figures."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kft_cli.paper import comparable, load_paper, paper_runs
from kft_cli.report_data import CATEGORIES, Detection, RunData, Stage, command_of, question_digest, read_run
from kft_cli.statistics import (
    Matrix,
    category_shares,
    holm,
    is_forgotten,
    is_upgraded,
    movement,
    paired_difference,
    transition_matrix,
    wilson_share,
)
from kft_tasks.categories import KnowledgeCategory
from kft_tasks.category_file import CategorizedQuestion, CategoryFile
from kft_tasks.errors import DataError, StateError
from kft_tasks.evaluate import Answered
from kft_tasks.files import read_json, write_json, written_beside

FORMAT = "kft-report/1"
EXAMPLES = 8  # of each kind; more is not read
_SHOWN_CHARACTERS = 300  # of an answer in report.json
_ALPHA = 0.05

Test = Callable[[KnowledgeCategory, KnowledgeCategory], bool]


def build_report(run: Path) -> dict[str, Any]:
    """Everything measured in a finished run, as JSON values; no figure without its n.

    Raises:
        DataError: a part of the run is missing or does not belong to it.
    """
    data = read_run(run)
    transitions = [_transition(data, before, after) for before, after in data.pairs]
    test = _test(data)
    report = {
        "format": FORMAT,
        "run": _about(data),
        "verdict": _verdict(data, test),
        "categories": {point: _shares(detection) for point, detection in data.detections.items()},
        "transitions": transitions,
        "control": _control(data),
        "test": test,
        "stages": [_stage(data, stage) for stage in data.stages],
        "trained": _trained(data),
        "examples": _examples(data),
        "cost": _cost(data),
        "repeat": _repeat(data),
        "comparable": _comparable(data, transitions),
        "paper": {"citation": load_paper()["citation"], "runs": paper_runs()},
    }
    rounded: dict[str, Any] = _rounded(report)
    return rounded


def write_report(run: Path, target: Path | None = None) -> Path:
    """Write ``report.json``, ``report.md`` and ``figures/`` into ``target`` (``RUN/report``), whole or not at all.

    The same run folder gives the same bytes. An earlier report in ``target`` is replaced.

    Returns:
        The path of ``report.md``.

    Raises:
        DataError: a part of the run is missing, or the folder cannot be written.
        StateError: ``target`` holds something else than a report.
    """
    from kft_cli.figures import draw_figures
    from kft_cli.render import render_report

    target = target or run / "report"
    _check_target(target)
    report = build_report(run)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise DataError(f"{target}: cannot be written ({error.strerror}). Choose a folder you may write to.") from error
    try:
        scratch.chmod(0o755)
        write_json(scratch / "report.json", report)
        draw_figures(report, scratch / "figures")
        with written_beside(scratch / "report.md") as stream:
            stream.write(render_report(report))
        _put_in_place(scratch, target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return target / "report.md"


def read_report(path: Path) -> dict[str, Any]:
    """Read a ``report.json``.

    Raises:
        DataError: it is no report of this format.
    """
    report = read_json(path)
    if not isinstance(report, dict) or report.get("format") != FORMAT:
        raise DataError(f"{path}: is not a report of format {FORMAT}. Write it again with `kft report RUN`.")
    return report


def _check_target(target: Path) -> None:
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    file = target / "report.json"
    if not file.is_file() or str(read_json(file).get("format", "")).partition("/")[0] != "kft-report":
        raise StateError(f"{target}: exists and is not a report of kft. Choose another folder.")


def _put_in_place(scratch: Path, target: Path) -> None:
    old = scratch.with_name(scratch.name + ".old")
    if target.exists():
        target.rename(old)
    scratch.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def _about(data: RunData) -> dict[str, Any]:
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
        "exhaustive": base.exhaustive,
        "seed": data.recipe.seed,
        "settings": data.recipe.model_dump(mode="json", exclude={"name", "description"}),
    }


def _any_answers(data: RunData) -> list[Answered]:
    return next(iter(data.answers["base"].values()))


def _shares(detection: Detection) -> dict[str, Any]:
    return {category.value: share.to_json() for category, share in category_shares(detection.categories).items()}


def _named(matrix: Matrix) -> dict[str, dict[str, int]]:
    return {row.value: {column.value: count for column, count in line.items()} for row, line in matrix.items()}


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
    base: Mapping[str, KnowledgeCategory], after: Mapping[str, KnowledgeCategory], retest: Mapping[str, KnowledgeCategory]
) -> dict[str, Any]:
    """Paired over the same questions: did training move more of them than asking the base model once more?"""
    highest = KnowledgeCategory.HIGHLY_KNOWN
    could_rise = [id_ for id_, category in base.items() if category is not highest]
    could_be_forgotten = [id_ for id_, category in base.items() if category is highest]

    def compare(ids: Iterable[str], moved: Test) -> dict[str, Any]:
        ids = list(ids)
        by_chance = [moved(base[id_], retest[id_]) for id_ in ids]
        return paired_difference(by_chance, [moved(base[id_], after[id_]) for id_ in ids]).to_json()

    result = {"upgraded": compare(could_rise, is_upgraded), "forgotten": compare(could_be_forgotten, is_forgotten)}
    return _with_holm(result)


def _with_holm(differences: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    corrected = holm([values["mcnemar_p"] for values in differences.values()])
    return {name: {**values, "holm_p": p} for (name, values), p in zip(differences.items(), corrected, strict=True)}


def _control(data: RunData) -> dict[str, Any] | None:
    if data.retest is None:
        return None
    matrix = transition_matrix(data.detections["base"].categories, data.retest.categories)
    protocol, again = data.detections["base"].header.protocol.to_json(), data.retest.header.protocol.to_json()
    return {
        "matrix": _named(matrix),
        "movement": movement(matrix).to_json(),
        "shares": _shares(data.retest),
        "seed": again["seed"],
        "same_seed": again["seed"] == protocol["seed"],
        "other_settings": sorted(key for key in protocol if key != "seed" and protocol[key] != again[key]),
    }


def _test(data: RunData) -> dict[str, Any]:
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
    first = data.first_categories.categories if data.first_categories else None
    return {
        "n": len(answers),
        "digest": question_digest(answers),
        "shots": list(data.recipe.evaluation.shots),
        "accuracy": accuracy,
        "differences": _differences(data),
        "by_category": _groups(data, lambda item: first.get(item.id), list(KnowledgeCategory)) if first else None,
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


def _verdict(data: RunData, test: Mapping[str, Any]) -> dict[str, Any]:
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


def _stage(data: RunData, stage: Stage) -> dict[str, Any]:
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


def _trained(data: RunData) -> list[dict[str, Any]]:
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
    rows = []
    for inside in (True, False):
        for category in KnowledgeCategory:
            ids = [id_ for id_, own in one.items() if own is category and (id_ in trained) is inside]
            if not ids:
                continue
            moved: Test = is_forgotten if category is KnowledgeCategory.HIGHLY_KNOWN else is_upgraded
            row: dict[str, Any] = {"trained": inside, "category": category.value}
            row["movement"] = "forgotten" if category is KnowledgeCategory.HIGHLY_KNOWN else "upgraded"
            row["share"] = wilson_share(sum(moved(category, two[id_]) for id_ in ids), len(ids)).to_json()
            row["control"] = None
            if retest is not None:
                row["control"] = wilson_share(sum(moved(category, retest[id_]) for id_ in ids), len(ids)).to_json()
            rows.append(row)
    return rows


def _examples(data: RunData) -> dict[str, Any]:
    """Upgraded and forgotten questions between first and last point, drawn by a hash of the id: nobody picked them."""
    before, after = data.points[0], data.points[-1]
    one, two = data.detections[before].categories, data.detections[after].categories
    result: dict[str, Any] = {"before": before, "after": after}
    for name, moved in (("upgraded", is_upgraded), ("forgotten", is_forgotten)):
        ids = [id_ for id_, category in one.items() if moved(category, two[id_])]
        drawn = sorted(ids, key=lambda id_: hashlib.blake2b(f"example|{id_}".encode()).digest())[:EXAMPLES]
        old, new = (_items(data.folder / f"detect-{point}" / CATEGORIES, drawn) for point in (before, after))
        result[name] = {"n": len(ids), "shown": [_example(old[id_], new[id_]) for id_ in drawn]}
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


def _cost(data: RunData) -> dict[str, Any]:
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


def _repeat(data: RunData) -> dict[str, Any]:
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


def _comparable(data: RunData, transitions: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    counts = Counter(category.value for category in data.detections["base"].categories.values())
    chain = transitions[: len(data.stages)]
    return comparable(data.recipe.name, {c.value: counts[c.value] for c in KnowledgeCategory}, chain)


def _rounded(value: Any) -> Any:
    """Six significant digits: what is beyond differs between machines and means nothing."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {str(key): _rounded(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(item) for item in value]
    return value
