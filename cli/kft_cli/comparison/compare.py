"""Several runs side by side, and the paper's counts beside them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kft_cli.display.tables import (
    NONE,
    Align,
    Block,
    Section,
    Table,
    count_and_share,
    difference,
    duration,
    make_table,
    markdown_document,
    number,
    p_value,
    plain,
    points,
    share,
    terminal_text,
    visible,
)
from kft_cli.report.paper import load_paper, paper_runs
from kft_cli.report.render_paper import comparable_movements, comparable_shares, growth_words
from kft_cli.report.report import build_report, read_report
from kft_cli.report.report_data import is_run
from kft_cli.stats.intervals import holm, paired_difference
from kft_cli.stats.spread import spread
from kft_tasks.errors import DataError, UsageError

FORMAT = "kft-comparison/1"
PAPER = "paper"
_SEEDS = ("seed", "protocol.seed")


def compare_runs(runs: Sequence[Path]) -> dict[str, Any]:
    """Compare run folders, report folders or ``report.json`` files; ``paper`` stands for the paper's counts.

    Raises:
        UsageError: nothing to compare, or the same run twice.
        DataError: a path that is none of these, or an unfinished run.
    """
    paths = [path for path in runs if str(path) != PAPER or path.exists()]
    with_paper = len(paths) < len(runs)
    if not paths:
        raise UsageError("Name at least one run; `paper` alone has nothing to be compared with.")
    reports = [_load(path) for path in paths]
    names = _names(paths, reports)
    settings = [_flat(report["run"]["settings"]) | _identity(report) for report in reports]
    return {
        "format": FORMAT,
        "runs": [_entry(name, report) for name, report in zip(names, reports, strict=True)],
        "settings": _differing(names, settings),
        "test": _test_rows(names, reports),
        "paired": _paired(names, reports),
        "seeds": _seeds(names, reports, settings),
        "paper": {"citation": load_paper()["citation"], "runs": paper_runs()} if with_paper else None,
    }


def render_comparison(
    comparison: Mapping[str, Any], *, terminal: bool = False, title: str = "Comparison of runs"
) -> str:
    """A comparison as Markdown, or as text for a terminal."""
    sections = comparison_sections(comparison)
    return terminal_text(sections) if terminal else markdown_document(plain(title), sections)


def comparison_sections(comparison: Mapping[str, Any]) -> list[Section]:
    """The sections of a comparison."""
    sections = [
        Section("Settings that differ", tuple(_settings_blocks(comparison))),
        Section("Categories of the training questions", (_categories(comparison),)),
        Section("What moved from the base model to the last stage", (_moved(comparison),)),
        Section("Test accuracy", tuple(_test_blocks(comparison))),
    ]
    if comparison["seeds"]:
        sections.append(Section("Several seeds", tuple(_seed_blocks(comparison))))
    sections.append(Section("Cost", (_cost(comparison),)))
    if comparison["paper"]:
        sections.append(Section("Beside the paper", tuple(_paper(comparison))))
    return sections


def _load(path: Path) -> dict[str, Any]:
    """The report of a path. A run folder is measured anew, so that an old report in it does not count."""
    if path.is_file():
        return read_report(path)
    if is_run(path):
        return build_report(path)
    for file in (path / "report.json", path / "report" / "report.json"):
        if file.is_file():
            return read_report(file)
    raise DataError(f"{path}: is no run folder and holds no report.json. Make a run with `kft run RECIPE -o {path}`.")


def _names(paths: Sequence[Path], reports: Sequence[Mapping[str, Any]]) -> list[str]:
    """Recipe names where they tell the runs apart, else paths."""
    names = [str(report["run"]["name"]) for report in reports]
    if len(set(names)) < len(names):
        names = [str(path) for path in paths]
    if len(set(names)) < len(names):
        raise UsageError(f"{_twice(names)} is named twice. Name each run once.")
    return names


def _twice(names: Sequence[str]) -> str:
    return next(name for index, name in enumerate(names) if name in names[:index])


def _entry(name: str, report: Mapping[str, Any]) -> dict[str, Any]:
    last = report["transitions"][-1]
    return {
        "name": name,
        "points": report["run"]["points"],
        "questions": report["run"]["questions"],
        "categories": report["categories"],
        "movement": last["movement"],
        "against_control": last["against_control"],
        "control": report["control"]["movement"] if report["control"] else None,
        "cost": report["cost"]["total"],
        "hardware": report["repeat"]["hardware"],
        "comparable": {**report["comparable"], "name": name},
    }


def _identity(report: Mapping[str, Any]) -> dict[str, Any]:
    """What a run was made on besides its recipe."""
    digests = report["repeat"]["digests"]
    return {
        "number of stages": len(report["stages"]),
        "weights of the base model": digests["model weights"],
        "training questions": digests["training questions"],
        "test questions": digests["test questions"],
        "kft version": report["repeat"]["kft_version"],
    }


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    """Nested settings as ``{"stages.0.learning_rate": 0.0003}``; mixtures stay whole, part by part."""
    if isinstance(value, Mapping) and value:
        items = ((f"{path}.{key}" if path else str(key), item) for key, item in value.items())
        return dict(itertools.chain.from_iterable(_flat(item, key).items() for key, item in items))
    if isinstance(value, list) and path == "stages":
        return dict(itertools.chain.from_iterable(_flat(item, f"{path}.{i}").items() for i, item in enumerate(value)))
    if isinstance(value, list) and path.endswith(".mixture"):
        return {path: [{key: item for key, item in part.items() if item is not None} for part in value]}
    return {path: value}


def _differing(names: Sequence[str], settings: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Settings with their values by run; a run that lacks a stage has no values for it."""
    keys = dict.fromkeys(itertools.chain.from_iterable(settings))
    rows = []
    for key in keys:
        values = {name: one[key] for name, one in zip(names, settings, strict=True) if key in one}
        first = next(iter(values.values()))
        if any(value != first for value in values.values()):
            rows.append({"key": key, "values": values})
    return rows


def _test_rows(names: Sequence[str], reports: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Accuracy at base and at the last point of each run, and the change, by number of shots."""
    rows = []
    for name, report in zip(names, reports, strict=True):
        last, found = report["run"]["points"][-1], {}
        for row in report["test"]["accuracy"]:
            found[row["point"], row["shots"]] = {key: row[key] for key in ("count", "n", "share", "low", "high")}
        changes = {(row["shots"], row["before"], row["after"]): row for row in report["test"]["differences"]}
        for shots in report["test"]["shots"]:
            row = {"run": name, "shots": shots, "base": found["base", shots], "last": found[last, shots]}
            rows.append({**row, "point": last, "change": changes[shots, "base", last]})
    return rows


def _paired(names: Sequence[str], reports: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Every run against the first one named, at the last point, where the test questions are the same."""
    rows: list[dict[str, Any]] = []
    first = reports[0]
    for name, report in zip(names[1:], reports[1:], strict=True):
        same = first["test"]["digest"] == report["test"]["digest"]
        for shots in first["test"]["shots"]:
            if shots in report["test"]["shots"]:
                row = {"from": names[0], "to": name, "shots": shots, "paired": same}
                rows.append({**row, **(_difference(first, report, shots) if same else {})})
    compared = [row for row in rows if row["paired"]]
    for row, p in zip(compared, holm([row["mcnemar_p"] for row in compared]), strict=True):
        row["holm_p"] = p
    return rows


def _difference(first: Mapping[str, Any], second: Mapping[str, Any], shots: int) -> dict[str, Any]:
    return paired_difference(_right(first, shots), _right(second, shots)).to_json()


def _right(report: Mapping[str, Any], shots: int) -> list[bool]:
    last = report["run"]["points"][-1]
    row = next(row for row in report["test"]["accuracy"] if (row["point"], row["shots"]) == (last, shots))
    return [digit == "1" for digit in row["right"]]


def _seeds(
    names: Sequence[str], reports: Sequence[Mapping[str, Any]], settings: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Runs that differ in seeds only, taken together: mean and spread of test accuracy and of its change."""
    rows = []
    for members in _same_but_seed(settings):
        chosen = [reports[index] for index in members]
        for shots in chosen[0]["test"]["shots"]:
            last = [sum(right) / len(right) for right in (_right(report, shots) for report in chosen)]
            changes = [_change(report, shots) for report in chosen]
            row = {"runs": [names[index] for index in members], "shots": shots}
            rows.append({**row, "accuracy": spread(last).to_json(), "change": spread(changes).to_json()})
    return rows


def _same_but_seed(settings: Sequence[Mapping[str, Any]]) -> list[list[int]]:
    groups: list[list[int]] = []
    rest = [{key: value for key, value in one.items() if key not in _SEEDS} for one in settings]
    for index, one in enumerate(rest):
        group = next((group for group in groups if rest[group[0]] == one), None)
        if group is None:
            groups.append([index])
        elif all(settings[index]["seed"] != settings[other]["seed"] for other in group):
            group.append(index)  # a run with a seed that is there already is the same run again
    return [group for group in groups if len(group) > 1]


def _change(report: Mapping[str, Any], shots: int) -> float:
    last = report["run"]["points"][-1]
    rows = report["test"]["differences"]
    row = next(row for row in rows if (row["shots"], row["before"], row["after"]) == (shots, "base", last))
    return float(row["difference"])


def _settings_blocks(comparison: Mapping[str, Any]) -> list[Block]:
    names = [run["name"] for run in comparison["runs"]]
    if len(names) == 1:
        return ["One run only."]
    if not comparison["settings"]:
        return ["None: the runs were made with the same settings, model and questions."]
    rows = [
        [row["key"], *(_value(row["values"][name]) if name in row["values"] else NONE for name in names)]
        for row in comparison["settings"]
    ]
    columns: tuple[tuple[str, Align], ...] = tuple((visible(head, 60), "left") for head in ("setting", *names))
    return [Table(columns, tuple(tuple(row) for row in rows))]


def _value(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(part, Mapping) for part in value):
        return "; ".join(_part(part) for part in value)
    if isinstance(value, list):
        return "+".join(_value(item) for item in value)
    if isinstance(value, str) and len(value) == 64:
        return value[:12]  # a digest
    return visible("none" if value is None else str(value), 200)


def _part(part: Mapping[str, Any]) -> str:
    """One part of a mixture: "replay (now HighlyKnown, ratio 0.2)"."""
    rest = ", ".join(f"{key} {_value(item)}" for key, item in part.items() if key != "name")
    return f"{part['name']} ({rest})" if rest else str(part["name"])


def _categories(comparison: Mapping[str, Any]) -> Table:
    rows = [
        [run["name"], point, *(f"{number(one['count'])}: {share(one)}" for one in run["categories"][point].values())]
        for run in comparison["runs"]
        for point in run["points"]
    ]
    heads = "run | point | HighlyKnown > | MaybeKnown > | WeaklyKnown > | Unknown >"
    sizes = {number(run["questions"]["train"]) for run in comparison["runs"]}
    caption = f"Questions, and their share in % with 95 % interval. n = {' and '.join(sorted(sizes))}."
    return make_table(heads, rows, caption)


def _moved(comparison: Mapping[str, Any]) -> Table:
    rows = []
    for run in comparison["runs"]:
        moved, control, against = run["movement"], run["control"], run["against_control"]
        row = [run["name"]]
        for name in ("upgraded", "forgotten"):
            row += [count_and_share(moved[name]), count_and_share(control[name]) if control else NONE]
            row.append(difference(against[name]) if against else NONE)
        rows.append(row)
    caption = (
        "*Upgraded*: category rose, of those that could rise; *forgotten*: HighlyKnown no longer, of those that were. "
        "*By chance*: the same with the untrained model asked twice; *more*: the difference on the same questions, in "
        "percentage points. In brackets: 95 % intervals. A dash: no control was run."
    )
    heads = "run | upgraded > | by chance > | more > | forgotten > | by chance > | more >"
    return make_table(heads, rows, caption)


def _test_blocks(comparison: Mapping[str, Any]) -> list[Block]:
    rows = [
        [
            row["run"],
            str(row["shots"]),
            number(row["last"]["n"]),
            share(row["base"]),
            share(row["last"]),
            difference(row["change"]),
        ]
        for row in comparison["test"]
    ]
    caption = "In %, with 95 % intervals; change on the same questions, in percentage points."
    heads = "run | exemplars | n > | base > | last stage > | change >"
    return [make_table(heads, rows, caption), *_paired_blocks(comparison)]


def _paired_blocks(comparison: Mapping[str, Any]) -> list[Block]:
    pairs = comparison["paired"]
    if not pairs:
        return []
    rows = [_paired_row(row) for row in pairs]
    caption = (
        "Every run against the first one named, after their last stages, question by question: percentage points with "
        "95 % interval (Newcombe's), McNemar's exact p, corrected (Holm) for all rows. It holds for these runs; "
        "whether another seed would give the same, only several seeds tell."
    )
    heads = "from → to | exemplars | n > | gained > | lost > | difference > | p, Holm >"
    return ["**Against the first run**", make_table(heads, rows, caption)]


def _paired_row(row: Mapping[str, Any]) -> list[str]:
    start = [f"{row['from']} → {row['to']}", str(row["shots"])]
    if not row["paired"]:
        return [*start, NONE, NONE, NONE, "not paired: other test questions", NONE]
    counts = [number(row[key]) for key in ("n", "gained", "lost")]
    return [*start, *counts, difference(row), p_value(row["holm_p"])]


def _seed_blocks(comparison: Mapping[str, Any]) -> list[Block]:
    rows = [
        [
            ", ".join(row["runs"]),
            str(row["shots"]),
            number(row["accuracy"]["n"]),
            _mean(row["accuracy"], f"{100 * row['accuracy']['mean']:.1f}"),
            _mean(row["change"], points(row["change"]["mean"])),
            f"{points(row['change']['least'])} to {points(row['change']['most'])}",
            f"{points(row['change']['low'])} to {points(row['change']['high'])}",
        ]
        for row in comparison["seeds"]
    ]
    caption = (
        "Runs that differ in their seed only. Mean ± sample standard deviation over seeds, in %, and in percentage "
        "points for the change from the base model; interval: Student's t for the mean, 95 %."
    )
    heads = "runs | exemplars | seeds > | last stage > | change > | least to most > | interval of the mean >"
    return [make_table(heads, rows, caption)]


def _mean(values: Mapping[str, Any], mean: str) -> str:
    return f"{mean} ± {100 * values['deviation']:.1f}"


def _cost(comparison: Mapping[str, Any]) -> Table:
    keys = ("prefilled", "decoded", "trained", "made", "saved")
    rows = [
        [
            run["name"],
            duration(run["cost"]["seconds"]),
            duration(run["cost"]["cpu_seconds"]),
            *(number(run["cost"][key]) for key in keys),
            visible(str(run["hardware"].get("accelerator") or run["hardware"].get("cpu") or NONE), 60),
        ]
        for run in comparison["runs"]
    ]
    heads = "run | time > | CPU time > | read > | written > | trained > | answers made > | saved > | machine"
    return make_table(heads, rows, "Tokens read (prompts), written (answers) and trained; answers made and saved.")


def _paper(comparison: Mapping[str, Any]) -> list[Block]:
    runs = [*(run["comparable"] for run in comparison["runs"]), *comparison["paper"]["runs"]]
    words = (
        f"Counts of {plain(comparison['paper']['citation'])}, for orientation only: **model, questions and protocol "
        "differ**."
    )
    return [words, comparable_shares(runs), comparable_movements(runs), *growth_words(runs)]
